/*
 * The guarded kmalloc() where memory is broken on the rarer ways: the last block of the heap, the
 * smallest ones, heads forged in objects; what a freed block tells of those who had it; and what a
 * listing says of allocations without a guard.
 *
 * In the pictures U is a used block, f a free one, | a border and ~ the wilderness.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <heap.h>
#include <mem/starve.h>
#include "heap_arena.h"
#include "mem/guard.h"
#include "mem/heap_core.h"
#include "support.h"

static void free_stops(const char *text, void *ptr)
{
    EXPECT_PANIC(text, kfree(ptr));
    sys.spinning = false;
}

/* The four places that a block is freed from: what is in front and behind it is used or free. */
struct place {
    uint8_t *front, *block, *behind;
};

static struct place place_block(bool front_free, bool last)
{
    reset(64 * KIB);
    assert_non_null(kmalloc(100));
    struct place place = { kmalloc(100), kmalloc(100), last ? NULL : kmalloc(100) };
    if (front_free)
        kfree(place.front);
    return place;
}

/* Wherever it lies, a block that was overflowed is refused, and one that was not is given back. */
static void test_overflow_in_each_place(void **state)
{
    (void)state;
    for (volatile int i = 0; i < 4; i++) {
        struct place place = place_block(i & 1, i & 2);
        char text[80];

        place.block[100] ^= 1;
        snprintf(text, sizeof(text), "kfree: heap overflow: something wrote behind the block at %p",
                 (void *)place.block);
        free_stops(text, place.block);
        place.block[100] ^= 1;
        kfree(place.block);
        free_stops("double free", place.block);
        check_sound();
    }
}

/* What is allocated is counted, and given back is counted, once each and wherever it lies. */
static void test_counted_in_each_place(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct place place = place_block(i & 1, i & 2);
        struct heap_stats before = heap_get_stats();

        kfree(place.block);
        assert_int_equal(heap_get_stats().frees, before.frees + 1);
        assert_int_equal(heap_get_stats().allocs, before.allocs);
        assert_int_equal(heap_get_stats().blocks, before.blocks - 1);
    }
}

/*
 * A head that has lost the flag of the free block in front is smashed, also that of the last block.
 *
 *   |U|f|U, says that what is in front is used|U or ~~~
 */
static void test_lost_flag_in_each_place(void **state)
{
    (void)state;
    for (volatile int last = 0; last < 2; last++) {
        struct place place = place_block(true, last);
        char text[96];

        payload_block(place.block)->head ^= PREV_FREE;
        snprintf(text, sizeof(text),
                 "kfree: heap underflow: the head of the block at %p is smashed: 0x%08x",
                 (void *)place.block, payload_block(place.block)->head);
        free_stops(text, place.block);
        payload_block(place.block)->head ^= PREV_FREE;
        kfree(place.block);
        check_sound();
    }
}

/*
 * Bytes in front of a block that look like a free block's size, or nearly, are only bytes: of the
 * smallest size, of what reaches to the first head, and of more than there is.
 */
static void test_sizes_in_front_that_are_none(void **state)
{
    static const uint32_t sizes[] = { 0, 8, 15, 16, 17, 20, 24, 64, 72, 80, 1000, 0xfffffff0 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(sizes); j++) {
            reset(64 * KIB);
            uint32_t *bare = heap_alloc(60);
            void *next = kmalloc(300);
            for (size_t k = 0; k < 14; k++)
                bare[k] = sizes[j];
            bare[14] = sizes[i];
            kfree(next);
            heap_free(bare);
            check_sound();
        }
    }
}

/* Even a head and a guard that are right in every bit pass for none within an object. */
static void test_block_forged_in_an_object(void **state)
{
    (void)state;
    for (volatile size_t at_byte = 8; at_byte <= 128; at_byte += 8) {
        reset_small(256 * KIB);
        assert_non_null(kmalloc(40000));
        uint8_t *object = kmalloc(230);
        assert_non_null(kmalloc(400));
        struct block *forged = payload_block(object + at_byte);
        write_used(forged, 64);
        write_used(block_at(block_address(forged) + 64), 16);
        guard_set((vaddr_t)object + at_byte, 60, 40, 0x1234);
        assert_true(block_is_sound(forged));
        free_stops("invalid free", object + at_byte);
        kfree(object);
        check_sound();
    }
}

/*
 * Right behind the last object of a chunk begins none, whatever the next block's bytes say there.
 *
 *   |C o o o ... last|  |U 408: ... guard ...|
 */
static void test_object_forged_behind_the_last(void **state)
{
    (void)state;
    reset_small(256 * KIB);
    assert_non_null(kmalloc(40000));
    uint8_t *object = kmalloc(230);
    const struct chunk *chunk = small_chunk_near((vaddr_t)object);
    uint8_t *behind = (uint8_t *)chunk_objects(chunk) + (size_t)chunk->count * chunk->size;
    assert_true(chunk->count < CHUNK_OBJECTS);
    assert_ptr_equal(kmalloc(400), behind + 8);
    guard_set((vaddr_t)behind, chunk->size, 40, 0x1234);
    free_stops("invalid free", behind);
    kfree(object);
    check_sound();
}

/* A chunk whose objects have all come back is the class's spare one, and a second goes at once. */
static void test_emptied_chunks(void **state)
{
    static void *objects[200];

    (void)state;
    reset_small(MIB);
    assert_non_null(kmalloc(400000));
    void *empty = kmalloc(40);
    const struct small_class *class = &small.classes[48 / HEAP_ALIGN];
    kfree(empty);
    assert_ptr_equal(class->spare, small_chunk_near((vaddr_t)empty));
    assert_null(small.partial[48 / HEAP_ALIGN]);
    for (size_t i = 0; i < ARRAY_SIZE(objects); i++)
        objects[i] = kmalloc(40);
    assert_true(class->chunks > 2);
    for (size_t i = 0; i < ARRAY_SIZE(objects); i++)
        kfree(objects[i]);
    assert_int_equal(class->chunks, 1);
    assert_non_null(class->spare);
    check_sound();
}

/* Who complains is said, and whatever stands where the top is, no block begins there. */
static void test_callers_are_named(void **state)
{
    (void)state;
    reset(64 * KIB);
    uint8_t *block = kmalloc(100);
    free_stops("kfree: invalid free", block + 8);
    EXPECT_PANIC("krealloc: invalid free", assert_null(krealloc(block + 8, 20)));
    sys.spinning = false;
    EXPECT_PANIC("kmalloc_usable_size: invalid free",
                 assert_int_equal(kmalloc_usable_size(block + 8), 0));
    sys.spinning = false;
    write_used(block_at(first_fit.top), PREV_FREE);
    free_stops("kfree: double free", (void *)(first_fit.top + HEAP_HEAD));
    kfree(block);
    check_sound();
}

/* An object that was freed, with and without its guard, is free; a live one was overflowed. */
static void test_objects(void **state)
{
    (void)state;
    reset_small(256 * KIB);
    assert_non_null(kmalloc(40000));
    uint8_t *object = kmalloc(40), *other = kmalloc(40);
    kfree(object);
    free_stops("double free", object);
    object[40] ^= 1;
    free_stops("double free", object);
    other[40] ^= 1;
    free_stops("kfree: heap overflow", other);
    free_stops("which has 40 bytes", other);
    other[40] ^= 1;
    kfree(other);
    check_sound();
}

/* ---- Requests ---- */

/* A class with a spare chunk is served from it, however little else is in use. */
static void test_spare_chunk_serves(void **state)
{
    (void)state;
    reset_small(256 * KIB);
    void *wall = kmalloc(40000), *object = kmalloc(40);
    kfree(object);
    kfree(wall);
    assert_ptr_equal(kmalloc(40), object);
    assert_int_equal(small.active, 1);
    check_sound();
}

/* While requests are counted, those that do not fail get all that they would get else. */
static void test_allocated_while_counted(void **state)
{
    (void)state;
    starve_begin(1000, false);
    for (int i = 0; i < 2; i++) {
        reset_small(256 * KIB);
        if (i == 1)
            assert_non_null(kmalloc(40000));
        for (size_t size = 1; size <= 300; size += 13) {
            uint8_t *first = kmalloc(size), *second = kmalloc(size);

            assert_int_equal(kmalloc_usable_size(first), size);
            memset(first, 0xff, size);
            memset(second, 0xff, size);
            kfree(first);
            kfree(second);
        }
        check_sound();
    }
    starve_end();
    assert_int_equal(starve_get().failed, 0);
}

/* Products that wrap are none, however small what is left of them; a byte can be aligned. */
static void test_borders_of_requests(void **state)
{
    (void)state;
    reset(64 * KIB);
    assert_null(kcalloc(0x80000001, 2));
    assert_null(kcalloc(0x10001, 0x10000));
    assert_null(kcalloc(0, 8));
    uint8_t *byte = kmalloc_aligned(1, 64);
    assert_non_null(byte);
    assert_int_equal((vaddr_t)byte % 64, 0);
    assert_int_equal(kmalloc_usable_size(byte), 1);
    check_sound();
}

/* ---- Who had it ---- */

static vaddr_t here; /* the function whose calls are looked at */

#define FUNCTION_SIZE 0x2000u

static void expect_here(uint32_t address, uint32_t mask)
{
    assert_true(((address - (uint32_t)here) & mask) < FUNCTION_SIZE);
}

/* A freed block keeps who freed it in its second word, and who had allocated it in its third. */
static void test_names_left(void **state)
{
    (void)state;
    here = (vaddr_t)test_names_left;
    for (int i = 0; i < 4; i++) {
        uint32_t *words = (uint32_t *)place_block(i & 1, i & 2).block;

        memset(words, 0, 100);
        kfree(words);
        expect_here(words[1], UINT32_MAX);
        assert_int_not_equal(words[2], 0);
    }
    reset(64 * KIB);
    uint32_t *words = kmalloc(100);
    memset(words, 0, 100);
    kfree(words);
    expect_here(words[1], UINT32_MAX);
    expect_here(words[2] >> GUARD_OWNER, 0xffffff);
}

/* An object keeps who freed it in its second word, and its guard. */
static void test_names_left_in_an_object(void **state)
{
    (void)state;
    here = (vaddr_t)test_names_left_in_an_object;
    reset_small(256 * KIB);
    assert_non_null(kmalloc(40000));
    uint32_t *words = kmalloc(40);
    memset(words, 0, 40);
    kfree(words);
    expect_here(words[1], UINT32_MAX);
    expect_here(*guard_word((vaddr_t)words, 48) >> GUARD_OWNER, 0xffffff);
}

/* Who gives back a block that touches the last granule of a chunk in front is kept as well. */
static void test_name_in_a_block_beside_a_chunk(void **state)
{
    (void)state;
    here = (vaddr_t)test_name_in_a_block_beside_a_chunk;
    reset_small(256 * KIB);
    assert_non_null(kmalloc(40000));
    uint8_t *object = kmalloc(230);
    const struct chunk *chunk = small_chunk_near((vaddr_t)object);
    uint32_t *words = kmalloc(400);
    assert_non_null(kmalloc(400));
    assert_int_equal(entry_chunk(small_last_entry((vaddr_t)words)), chunk);
    memset(words, 0, 400);
    kfree(words);
    expect_here(words[1], UINT32_MAX);
}

/* Of an owner's address 24 bits are kept, every one of them. */
static void test_owner_in_the_guard(void **state)
{
    static uint8_t payload[512];
    const vaddr_t at_payload = (vaddr_t)payload;

    (void)state;
    for (uint32_t bit = 0; bit < 24; bit++) {
        size_t size = 0;
        guard_set(at_payload, 300, 280, 1u << bit);
        assert_int_equal(guard_owner(at_payload, 300), 1u << bit);
        assert_true(guard_tells_size(at_payload, 300, &size) && size == 280);
        guard_set(at_payload, 256, 1, 1u << bit);
        assert_int_equal(guard_owner(at_payload, 256), 1u << bit);
        assert_true(guard_tells_size(at_payload, 256, &size) && size == 1);
    }
}

/* Each call that allocates is the owner; one that resizes is the new one. */
static void test_owners(void **state)
{
    (void)state;
    here = (vaddr_t)test_owners;
    for (int small_objects = 0; small_objects < 2; small_objects++) {
        reset_small(256 * KIB);
        const void *bare = small_objects ? heap_alloc(40000) : NULL; /* lets chunks be made */
        void *first = kmalloc(20);
        void *made[] = { first, kcalloc(3, 8), kmalloc_aligned(20, 64), krealloc(NULL, 20),
                         krealloc(kmalloc(20), 2000) };
        struct heap_allocation allocation = { 0, 0, 0 };
        size_t listed = 0;

        while (heap_next_allocation(allocation.payload, &allocation)) {
            if (allocation.payload == (vaddr_t)bare)
                continue;
            expect_here((uint32_t)allocation.owner, 0xffffff);
            listed++;
        }
        assert_int_equal(listed, ARRAY_SIZE(made));
    }
}

/* What has no guard is listed with all its bytes and belongs to nobody; what was overflowed does.
 */
static void test_listing_without_guards(void **state)
{
    struct heap_allocation allocation;

    (void)state;
    reset(64 * KIB);
    uint8_t *bare = heap_alloc(100), *guarded = kmalloc(100);
    memset(bare, 0, 100);
    assert_true(heap_next_allocation(0, &allocation));
    assert_int_equal(allocation.payload, (vaddr_t)bare);
    assert_int_equal(allocation.size, 100);
    assert_int_equal(allocation.owner, 0);
    assert_true(heap_next_allocation(allocation.payload, &allocation));
    assert_int_equal(allocation.payload, (vaddr_t)guarded);
    assert_int_equal(allocation.size, 100);
    assert_int_not_equal(allocation.owner, 0);
    assert_false(heap_next_allocation(allocation.payload, &allocation));

    *guard_word((vaddr_t)guarded, 100 + GUARD_SIZE) |= 0xff; /* leads nowhere: in front of it */
    assert_true(heap_next_allocation((vaddr_t)bare, &allocation));
    assert_int_equal(allocation.size, 100 + GUARD_SIZE);
    assert_int_not_equal(allocation.owner, 0);
}

/* A listing goes on from any address, and has an end at the last one. */
static void test_listing_from_anywhere(void **state)
{
    struct heap_allocation allocation = { 0, 0, 0 };

    (void)state;
    reset(64 * KIB);
    assert_false(heap_next_allocation(0, &allocation));
    uint8_t *first = kmalloc(100), *second = kmalloc(100), *third = kmalloc(100);
    kfree(second);
    for (uint8_t *from = first; from < third; from++) {
        assert_true(heap_next_allocation((vaddr_t)from, &allocation));
        assert_int_equal(allocation.payload, (vaddr_t)third);
    }
    assert_true(heap_next_allocation((vaddr_t)first - 1, &allocation));
    assert_int_equal(allocation.payload, (vaddr_t)first);
    assert_true(heap_next_allocation(1, &allocation));
    assert_int_equal(allocation.payload, (vaddr_t)first);
    assert_false(heap_next_allocation((vaddr_t)third, &allocation));
    assert_false(heap_next_allocation((vaddr_t)third + 1, &allocation));
    assert_false(heap_next_allocation(UINTPTR_MAX, &allocation));
    assert_false(sys.spinning);
}

/* ---- Resizing ---- */

/* What was written moves along, up to the smaller of both sizes, and no byte more. */
static void test_moved_bytes(void **state)
{
    (void)state;
    for (size_t size = 101; size < 400; size += 13) {
        reset(64 * KIB);
        uint8_t *block = kmalloc(100), *wall = kmalloc(16);
        memset(block, 0x5a, 100);
        uint8_t *moved = krealloc(block, size);
        for (size_t i = 0; i < 100; i++)
            assert_int_equal(moved[i], 0x5a);
        assert_int_equal(kmalloc_usable_size(moved), size);
        assert_int_equal(heap_get_stats().blocks, 2);
        kfree(wall);
        kfree(moved);
        assert_int_equal(heap_get_stats().blocks, 0);
    }
}

/* Where there is room behind it or it becomes smaller, a block stays; of size 0 it is freed. */
static void test_resized_in_place(void **state)
{
    (void)state;
    reset(64 * KIB);
    uint8_t *block = kmalloc(100);
    assert_ptr_equal(krealloc(block, 50), block);
    assert_ptr_equal(krealloc(block, 1000), block);
    assert_int_equal(kmalloc_usable_size(block), 1000);
    assert_null(krealloc(block, 0));
    assert_int_equal(heap_get_stats().blocks, 0);
    assert_int_equal(heap_get_stats().used, 0);
    free_stops("double free", block);
}

static void test_usable_size_of_overflowed(void **state)
{
    (void)state;
    reset(64 * KIB);
    uint8_t *block = kmalloc(100);
    block[100] ^= 1;
    EXPECT_PANIC("kmalloc_usable_size: heap overflow",
                 assert_int_equal(kmalloc_usable_size(block), 0));
    EXPECT_PANIC("krealloc: heap overflow", assert_null(krealloc(block, 50)));
    sys.spinning = false;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overflow_in_each_place),
        cmocka_unit_test(test_counted_in_each_place),
        cmocka_unit_test(test_lost_flag_in_each_place),
        cmocka_unit_test(test_sizes_in_front_that_are_none),
        cmocka_unit_test(test_block_forged_in_an_object),
        cmocka_unit_test(test_objects),
        cmocka_unit_test(test_object_forged_behind_the_last),
        cmocka_unit_test(test_emptied_chunks),
        cmocka_unit_test(test_callers_are_named),
        cmocka_unit_test(test_resized_in_place),
        cmocka_unit_test(test_spare_chunk_serves),
        cmocka_unit_test(test_allocated_while_counted),
        cmocka_unit_test(test_borders_of_requests),
        cmocka_unit_test(test_names_left),
        cmocka_unit_test(test_names_left_in_an_object),
        cmocka_unit_test(test_name_in_a_block_beside_a_chunk),
        cmocka_unit_test(test_owner_in_the_guard),
        cmocka_unit_test(test_owners),
        cmocka_unit_test(test_listing_without_guards),
        cmocka_unit_test(test_listing_from_anywhere),
        cmocka_unit_test(test_moved_bytes),
        cmocka_unit_test(test_usable_size_of_overflowed),
    };

    return cmocka_run_group_tests(tests, open_arena, NULL);
}
