/*
 * Broken calls and broken memory: what the heap says of pointers that are none, of heads that were
 * written over, and what its validator finds.
 *
 * In the pictures U is a used block, f a free one, | a border and ~ the wilderness.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include <heap.h>
#include "heap_arena.h"
#include "mem/first_fit.h"
#include "mem/heap_core.h"
#include "mem/small.h"
#include "support.h"

/* ---- Pointers that are none ---- */

/* A panic leaves the lock taken: nothing goes on. The tests do. */
static void free_stops(const char *text, void *ptr)
{
    EXPECT_PANIC(text, kfree(ptr));
    sys.spinning = false;
}

static void realloc_stops(const char *text, void *ptr, size_t size)
{
    EXPECT_PANIC(text, krealloc(ptr, size) == NULL ? fail() : (void)0);
    sys.spinning = false;
}

static void malloc_stops(const char *text, size_t size)
{
    EXPECT_PANIC(text, kmalloc(size) == NULL ? fail() : (void)0);
    sys.spinning = false;
}

/* All that take a pointer say what is wrong with it and change nothing. */
static void expect_bad_pointer(const char *text, void *ptr)
{
    assert_false(heap_is_live(ptr));
    free_stops(text, ptr);
    realloc_stops(text, ptr, 100);
    EXPECT_PANIC(text, kmalloc_usable_size(ptr) == 0 ? fail() : (void)0);
    sys.spinning = false;
}

static void test_double_free(void **state)
{
    (void)state;
    reset(64 * KIB);
    void *block = kcalloc(1, 100), *behind = kcalloc(1, 100), *last;
    assert_non_null(kmalloc(100));
    last = kmalloc(100);
    kfree(block);
    kfree(last);
    expect_bad_pointer("double free", block);
    expect_bad_pointer("double free", last); /* has become wilderness */
    expect_bad_pointer("double free", (uint8_t *)block + 8);
    kfree(behind);
    expect_bad_pointer("double free", behind); /* merged with what is before it */
    check_sound();
}

/* Freed one after another in all orders, merged or not: a second time is always caught. */
static void test_double_free_in_all_orders(void **state)
{
    static const uint8_t orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
                                          { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };

    (void)state;
    for (size_t i = 0; i < 2 * ARRAY_SIZE(orders); i++) {
        void *block[3];

        reset(64 * KIB);
        for (size_t j = 0; j < 3; j++)
            block[j] = kmalloc(40 + 8 * j);
        if (i % 2 == 0)
            new_block(16, 8 + 48 + 56 + 64);
        for (size_t j = 0; j < 3; j++) {
            kfree(block[orders[i / 2][j]]);
            for (size_t k = 0; k <= j; k++)
                expect_bad_pointer("double free", block[orders[i / 2][k]]);
            check_sound();
        }
    }
}

static void test_not_from_the_heap(void **state)
{
    static uint64_t elsewhere[4];

    (void)state;
    reset(64 * KIB);
    assert_non_null(kmalloc(100));
    expect_bad_pointer("invalid free", at(0));
    expect_bad_pointer("invalid free", (void *)8);
    expect_bad_pointer("invalid free", (void *)0xfffffff8);
    expect_bad_pointer("invalid free", elsewhere);
    expect_bad_pointer("invalid free", at(64 * KIB));
    expect_bad_pointer("invalid free", at(64 * KIB + 8));
    expect_bad_pointer("double free", at(FIRST_BYTES)); /* of the window, but not mapped */
    check_sound();
}

/* What may stand in a program's memory, by number: the word at `address` of a block at `block`. */
#define HOSTILE_KINDS 12u

static uint32_t hostile_word(uint32_t kind, vaddr_t address, vaddr_t block)
{
    const uint32_t *head = (const uint32_t *)(block - HEAP_HEAD);
    const uint32_t words[HOSTILE_KINDS] = {
        0,
        0xffffffff,
        *head,           /* the block's own head, moved */
        *word(4),        /* the first one's */
        (uint32_t)block, /* pointers */
        (uint32_t)address,
        (uint32_t)address | 1,
        16,              /* sizes, as free heads have them */
        32 | BLOCK_USED, /* ... and with flags */
        40 | BLOCK_USED | PREV_FREE,
        HEAD_KEY,
        HEAD_KEY ^ 32,
    };

    return words[kind];
}

static void fill_hostile(uint32_t *payload, size_t size, uint32_t kind)
{
    for (size_t i = 0; i < size / 4; i++)
        payload[i] = hostile_word(kind, (vaddr_t)&payload[i], (vaddr_t)payload);
}

/* Whatever a block holds, a pointer into its middle does not pass for one. */
static void test_inside_a_block(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < HOSTILE_KINDS; kind++) {
        reset(64 * KIB);
        new_block(32, 8);
        uint8_t *block = new_block(160, 40), *last = new_block(64, 200);

        fill_hostile((uint32_t *)block, 156, kind);
        fill_hostile((uint32_t *)last, 60, kind);
        for (size_t i = 1; i < 156; i++)
            expect_bad_pointer("invalid free", block + i);
        for (size_t i = 1; i < 60; i++)
            expect_bad_pointer("invalid free", last + i);
        check_sound();
        kfree(block);
        kfree(last);
        check_sound();
    }
}

/* ---- Objects ---- */

#define OBJECT     48u /* bytes */
#define CHUNK_HEAD (uint32_t)sizeof(struct chunk)

/* A heap with a chunk of its first class, all objects of which but the last are live. */
static struct chunk *one_chunk(void)
{
    struct chunk *chunk;

    reset_small(256 * KIB);
    assert_non_null(kmalloc(40000));
    uint8_t *first = kmalloc(OBJECT);
    chunk = (struct chunk *)(first - CHUNK_HEAD);
    for (uint32_t i = 1; i + 1 < chunk->count; i++)
        assert_ptr_equal(kmalloc(OBJECT), first + i * OBJECT);
    return chunk;
}

static uint8_t *object_of(struct chunk *chunk, uint32_t i)
{
    return (uint8_t *)chunk + CHUNK_HEAD + i * OBJECT;
}

/* In a chunk exactly the live objects' addresses are taken, whatever they hold. */
static void test_inside_a_chunk(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < HOSTILE_KINDS; kind++) {
        struct chunk *chunk = one_chunk();
        uint8_t *next_block = kmalloc(400);
        uint32_t count = chunk->count;

        for (uint32_t i = 0; i + 1 < count; i++)
            fill_hostile((uint32_t *)object_of(chunk, i), OBJECT, kind);
        for (uint8_t *ptr = (uint8_t *)chunk; ptr < object_of(chunk, 3); ptr++) {
            if (ptr < object_of(chunk, 0) || (ptr - object_of(chunk, 0)) % OBJECT != 0)
                expect_bad_pointer("invalid free", ptr);
        }
        expect_bad_pointer("double free", object_of(chunk, count - 1)); /* was never taken */
        for (uint8_t *ptr = object_of(chunk, count); ptr < next_block; ptr += 8)
            expect_bad_pointer("invalid free", ptr);
        kfree(object_of(chunk, 1));
        expect_bad_pointer("double free", object_of(chunk, 1));
        check_sound();
    }
}

/*
 * Even a head that is right in every bit passes for none within an object.
 *
 *   |object 240: ...|head 64|            |next head|...|
 */
static void test_head_forged_in_an_object(void **state)
{
    (void)state;
    for (volatile size_t at_byte = 8; at_byte <= 160; at_byte += 8) {
        reset_small(256 * KIB);
        assert_non_null(kmalloc(40000));
        uint8_t *object = kmalloc(240);
        assert_non_null(kmalloc(400));
        struct block *forged = payload_block(object + at_byte);
        write_used(forged, 64);
        write_used(block_at(block_address(forged) + 64), 16);
        assert_true(block_is_sound(forged));
        expect_bad_pointer("invalid free", object + at_byte);
        kfree(object);
        check_sound();
    }
}

/* Whoever resizes is told like whoever frees. */
static void test_resizing_what_is_none(void **state)
{
    (void)state;
    reset(64 * KIB);
    void *block = new_block(32, 8);
    new_block(32, 40);
    EXPECT_PANIC("resizer: invalid free",
                 heap_resize((uint8_t *)block + 8, 20, "resizer") ? fail() : (void)0);
    sys.spinning = false;
    kfree(block);
    EXPECT_PANIC("resizer: double free", heap_resize(block, 20, "resizer") ? fail() : (void)0);
    sys.spinning = false;
    check_sound();
}

/* A spare chunk's objects, and those of a chunk that is gone. */
static void test_object_freed_with_its_chunk(void **state)
{
    (void)state;
    struct chunk *chunk = one_chunk();
    const uint32_t live = chunk->count - 1u;

    assert_non_null(kmalloc(200000)); /* something behind it */
    for (uint32_t i = 0; i < live; i++)
        kfree(object_of(chunk, i));
    expect_bad_pointer("double free", object_of(chunk, 0));
    assert_null(kmalloc(200000)); /* gives the spare chunk back */
    for (uint32_t i = 0; i < live; i++)
        expect_bad_pointer("double free", object_of(chunk, i));
    expect_bad_pointer("double free", chunk);
    check_sound();
}

/* ---- Heads that were written over ---- */

/*
 * A block is written past its end, into the next one's head: that one's free stops, whatever was
 * written. The block's own free stops unless what it meets there looks like a used block, with
 * which it would have nothing to do.
 *
 *   |U 32|U 64    |U or f 32|U 32|~~~
 *             ^^^^^^
 */
static void overflow(bool free_behind, uint32_t kind, size_t length)
{
    reset(64 * KIB);
    new_block(32, 8);
    uint8_t *block = new_block(64, 40);
    void *behind = new_block(32, 104), *next = new_block(32, 136);
    new_block(32, 168);
    if (free_behind)
        kfree(behind);
    fill_hostile((uint32_t *)block, length, kind);

    bool looks_used = (*word(100) & (BLOCK_USED | PREV_FREE)) == BLOCK_USED;
    assert_false(heap_is_live(behind));
    free_stops("kfree: ", behind); /* as smashed, or as free, which it looks like */
    if (free_behind)
        free_stops("smashed", next);
    if (!looks_used)
        free_stops("smashed", block);
}

static void test_overflow(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < HOSTILE_KINDS; kind++) {
        for (size_t length = 64; length <= 84; length += 4) {
            overflow(false, kind, length);
            overflow(true, kind, length);
        }
    }
}

static void test_free_head_smashed(void **state)
{
    static const uint32_t sizes[] = { 24, 40, 64, 4096, 0x7ffffff8, 0xfffffff8, 0x10000 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        reset(64 * KIB);
        new_block(32, 8);
        void *hole = new_block(32, 40);
        void *behind = new_block(32, 72);
        new_block(32, 104);
        kfree(hole);
        *word(36) = sizes[i];
        free_stops("smashed", behind);
        free_stops("smashed", at(8));
        realloc_stops("smashed", at(8), 40);
        malloc_stops("smashed", 20);
    }
}

/* ---- The validator ---- */

/* |A 32|f 64|B 32|C 32|~~~   heads at 4, 36, 100 and 132; the free block's link is at 40 */
static void three_blocks_and_a_hole(void)
{
    reset(64 * KIB);
    new_block(32, 8);
    void *hole = new_block(64, 40);
    new_block(32, 104);
    new_block(32, 136);
    kfree(hole);
}

/* A used head at an offset. */
static void put_head(size_t offset, uint32_t size_and_flags)
{
    *word(offset) = size_and_flags ^ head_mask(at(offset));
}

static void expect_fault(enum heap_fault fault)
{
    assert_int_equal(heap_validate(), fault);
    three_blocks_and_a_hole();
    assert_int_equal(heap_validate(), HEAP_SOUND);
}

/* Each kind of damage to the blocks is found and called by its name. */
static void test_validator_blocks(void **state)
{
    (void)state;
    three_blocks_and_a_hole();
    put_head(4, 32); /* what put_head() writes is the head that stood there */
    assert_int_equal(heap_validate(), HEAP_SOUND);

    put_head(4, 8); /* too small */
    expect_fault(HEAP_BAD_SIZE);
    put_head(4, 32 | BLOCK_CHUNK); /* it is none */
    expect_fault(HEAP_BAD_CHUNK);
    put_head(132, 40); /* past the top */
    expect_fault(HEAP_BAD_SIZE);
    put_head(132, 0xfffffff8);
    expect_fault(HEAP_BAD_SIZE);
    *word(4) = 32 | BLOCK_USED; /* not made for this place */
    expect_fault(HEAP_BAD_SIZE);
    *word(36) = 8;
    expect_fault(HEAP_BAD_SIZE);
    *word(36) = 0;
    expect_fault(HEAP_BAD_SIZE);
    *word(36) = 60;
    expect_fault(HEAP_BAD_SIZE);
    *word(36) = 64 * KIB;
    expect_fault(HEAP_BAD_SIZE);

    *word(96) = 56;
    expect_fault(HEAP_BAD_END);
    put_head(100, 32); /* the block in front is free */
    expect_fault(HEAP_BAD_FLAG);

    *word(36) = 32; /* one free block becomes two */
    *word(64) = 32;
    *word(68) = 32;
    *word(96) = 32;
    expect_fault(HEAP_UNMERGED);

    put_head(100, 64 | PREV_FREE); /* two used blocks become one */
    expect_fault(HEAP_BLOCK_COUNT);
}

static void test_validator_top(void **state)
{
    (void)state;
    three_blocks_and_a_hole();
    first_fit.top = first_fit.base;
    expect_fault(HEAP_BAD_TOP);
    first_fit.top = first_fit.mapped + 4;
    expect_fault(HEAP_BAD_TOP);
    first_fit.reach = first_fit.top - 8;
    expect_fault(HEAP_BAD_TOP);
    first_fit.mapped = first_fit.end + PAGE_SIZE;
    expect_fault(HEAP_BAD_TOP);
    first_fit.top = (vaddr_t)at(100); /* where the free block ends */
    expect_fault(HEAP_FREE_BELOW_TOP);
}

static void test_validator_lists(void **state)
{
    (void)state;
    three_blocks_and_a_hole();
    assert_ptr_equal(first_fit.first[0], at(36));
    first_fit.first[0] = NULL;
    expect_fault(HEAP_BAD_LIST);
    first_fit.first[0] = at(100); /* a used block */
    expect_fault(HEAP_BAD_LIST);
    *word(40) = (uint32_t)(vaddr_t)at(132); /* another one behind it */
    expect_fault(HEAP_BAD_LIST);
    first_fit.first[1] = at(36); /* listed twice */
    expect_fault(HEAP_BAD_LIST);
    first_fit.first[segment_of(first_fit.mapped - 1)] = at(36); /* in the last segment */
    expect_fault(HEAP_BAD_LIST);
    first_fit.outside = at(36); /* both listed and not */
    first_fit.outside_size = 64;
    expect_fault(HEAP_BAD_LIST);
    first_fit.outside = at(100);
    expect_fault(HEAP_BAD_LIST);

    first_fit.tree.leaf[0] = 72;
    expect_fault(HEAP_BAD_TREE);
    first_fit.tree.leaf[1] = 16;
    expect_fault(HEAP_BAD_TREE);
    *first_fit.tree.top = 72;
    expect_fault(HEAP_BAD_TREE);
    *first_fit.tree.top = 0;
    expect_fault(HEAP_BAD_TREE);
    first_fit.tree.nodes[first_fit.tree.root / MAX_TREE_FAN] = 0; /* nothing stops a rise there */
    expect_fault(HEAP_BAD_TREE);
    first_fit.usage.below -= 8;
    expect_fault(HEAP_USED_COUNT);
    first_fit.usage = (struct usage){ .peak = 0, .below = -bytes_used() }; /* less than were */
    expect_fault(HEAP_USED_COUNT);
}

static void expect_chunk_fault(enum heap_fault fault)
{
    assert_int_equal(heap_validate(), fault);
    one_chunk();
    assert_int_equal(heap_validate(), HEAP_SOUND);
}

static void test_validator_chunks(void **state)
{
    (void)state;
    struct chunk *chunk = one_chunk(); /* always at the same place */
    struct small_class *class = &small.classes[OBJECT / HEAP_ALIGN];

    chunk->idle = 1; /* a live object marked as idle, an idle one as live: another count ... */
    chunk->idle |= 2;
    expect_chunk_fault(HEAP_USED_COUNT);
    chunk->idle = 0;
    expect_chunk_fault(HEAP_BAD_CHUNK);
    chunk->idle |= 1u << 31; /* one that there is not */
    expect_chunk_fault(HEAP_BAD_CHUNK);
    chunk->all = chunk->all << 1 | 1; /* more than `count` */
    expect_chunk_fault(HEAP_BAD_CHUNK);
    chunk->all &= ~1u;
    expect_chunk_fault(HEAP_BAD_CHUNK);
    chunk->size = 44;
    expect_chunk_fault(HEAP_BAD_CHUNK);
    chunk->size = 512;
    expect_chunk_fault(HEAP_BAD_CHUNK);
    chunk->size = 0;
    expect_chunk_fault(HEAP_BAD_CHUNK);
    chunk->shift++;
    expect_chunk_fault(HEAP_BAD_CHUNK);
    chunk->inverse++;
    expect_chunk_fault(HEAP_BAD_CHUNK);
    chunk->count--;
    expect_chunk_fault(HEAP_BAD_CHUNK);
    chunk->count++; /* reaches out of its block */
    chunk->all = chunk->all << 1 | 1;
    expect_chunk_fault(HEAP_BAD_CHUNK);

    chunk->previous = chunk;
    expect_chunk_fault(HEAP_BAD_CHUNK);
    chunk->next = chunk; /* a ring */
    expect_chunk_fault(HEAP_BAD_CHUNK);
    class->spare = chunk; /* it has live objects */
    expect_chunk_fault(HEAP_BAD_CHUNK);
    class->chunks++;
    expect_chunk_fault(HEAP_BAD_CHUNK);
    small.active++;
    expect_chunk_fault(HEAP_BAD_CHUNK);
}

static void test_validator_table(void **state)
{
    (void)state;
    struct chunk *chunk = one_chunk();
    uint32_t granule = (uint32_t)((vaddr_t)chunk - first_fit.start) / GRANULE_SIZE;

    assert_int_equal(small.table[granule], chunk_entry(chunk));
    assert_int_equal(small.table[granule + 1], chunk_entry(chunk)); /* where its last one begins */
    small.table[granule + 1] = 0;
    expect_chunk_fault(HEAP_BAD_TABLE);
    small.table[granule + 1] = chunk_entry(at(8));
    expect_chunk_fault(HEAP_BAD_TABLE);
    small.covered = granule * GRANULE_SIZE;
    expect_chunk_fault(HEAP_BAD_TABLE);
}

/* |  first object|second  |: where a granule's border is between the two, each has an entry. */
static void test_validator_first_object(void **state)
{
    const uint32_t size = SMALL_MAX;
    uint32_t first, second;
    size_t wall = 40000;

    (void)state;
    do {
        reset_small(256 * KIB);
        assert_non_null(kmalloc(wall));
        wall += HEAP_ALIGN;
        first = (uint32_t)((vaddr_t)kmalloc(size) - first_fit.start);
        second = first + size;
    } while (first / GRANULE_SIZE == second / GRANULE_SIZE);
    assert_int_equal(heap_validate(), HEAP_SOUND);
    small.table[first / GRANULE_SIZE] = 0;
    assert_int_equal(heap_validate(), HEAP_BAD_TABLE);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_double_free),
        cmocka_unit_test(test_double_free_in_all_orders),
        cmocka_unit_test(test_not_from_the_heap),
        cmocka_unit_test(test_inside_a_block),
        cmocka_unit_test(test_inside_a_chunk),
        cmocka_unit_test(test_head_forged_in_an_object),
        cmocka_unit_test(test_resizing_what_is_none),
        cmocka_unit_test(test_object_freed_with_its_chunk),
        cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_free_head_smashed),
        cmocka_unit_test(test_validator_blocks),
        cmocka_unit_test(test_validator_top),
        cmocka_unit_test(test_validator_lists),
        cmocka_unit_test(test_validator_chunks),
        cmocka_unit_test(test_validator_table),
        cmocka_unit_test(test_validator_first_object),
    };

    return cmocka_run_group_tests(tests, open_arena, NULL);
}
