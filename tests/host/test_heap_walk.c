/*
 * Walking the heap: from every address, what a walk finds is compared with where the blocks and
 * objects were put. Then with damage, which ends a walk but lets it believe nothing.
 *
 *   |U 40008|f 608|U 608|C chunk: o o o ...|U 408|~~~
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <heap.h>
#include "heap_arena.h"
#include "mem/first_fit.h"
#include "mem/heap_walk.h"
#include "mem/small.h"
#include "support.h"

#define WINDOW (256 * KIB)
#define BLOCKS 5u
#define HOLE   1u
#define CHUNK  3u
#define OBJECT 48u

static vaddr_t blocks[BLOCKS + 1]; /* payloads; the last is what the top's would be */
static struct chunk *chunk;
static uint32_t idle; /* a bit for each object of the chunk */

static vaddr_t object(uint32_t index)
{
    return (vaddr_t)chunk + sizeof(*chunk) + index * OBJECT;
}

/* The objects 1, 3 and the last are idle. */
static void start(void)
{
    reset_small(WINDOW);
    blocks[0] = (vaddr_t)kmalloc(40000);
    blocks[HOLE] = (vaddr_t)kmalloc(600);
    blocks[2] = (vaddr_t)kmalloc(600);
    blocks[CHUNK] = (vaddr_t)kmalloc(OBJECT) - sizeof(struct chunk);
    chunk = (struct chunk *)blocks[CHUNK];
    for (uint32_t i = 1; i + 1 < chunk->count; i++)
        assert_int_equal((vaddr_t)kmalloc(OBJECT), object(i));
    blocks[4] = (vaddr_t)kmalloc(400);
    blocks[BLOCKS] = blocks[4] + 408;
    kfree((void *)blocks[HOLE]);
    kfree((void *)object(1));
    kfree((void *)object(3));
    idle = 1u << 1 | 1u << 3 | 1u << (chunk->count - 1);
    assert_int_equal(blocks[0], (vaddr_t)at(8));
    assert_int_equal(blocks[2] - blocks[HOLE], 608);
    check_sound();
}

/* The number of the block that an address lies in, its own payload and the next one's head. */
static uint32_t block_of(vaddr_t address)
{
    uint32_t i = BLOCKS;

    while (i > 0 && address < blocks[i])
        i--;
    return i;
}

/* The object that an address lies in, or the chunk's count of objects. */
static uint32_t object_of(vaddr_t address)
{
    uint32_t i = 0;

    while (i < chunk->count && (address < object(i) || address >= object(i + 1)))
        i++;
    return i;
}

/* Every address of the blocks, and some to both sides. */
#define FROM (blocks[0] - 64)
#define TO   (blocks[BLOCKS] + 64)

static enum heap_walk_place expected_place(vaddr_t address)
{
    if (address < blocks[0] || address >= (vaddr_t)at(WINDOW))
        return HEAP_WALK_OUTSIDE;

    uint32_t block = block_of(address), i = object_of(address);
    if (block == HOLE || block == BLOCKS)
        return HEAP_WALK_FREE;
    return block == CHUNK && i < chunk->count && (idle & 1u << i) ? HEAP_WALK_FREE
                                                                  : HEAP_WALK_INSIDE;
}

static void test_places(void **state)
{
    (void)state;
    start();
    for (vaddr_t address = FROM; address < TO; address++)
        assert_int_equal(heap_walk_find(address), expected_place(address));
    for (size_t offset = WINDOW - 8; offset < WINDOW + 8; offset++)
        assert_int_equal(heap_walk_find((vaddr_t)at(offset)), expected_place((vaddr_t)at(offset)));
    assert_int_equal(heap_walk_find(0), HEAP_WALK_OUTSIDE);
    assert_int_equal(heap_walk_find(UINTPTR_MAX), HEAP_WALK_OUTSIDE);
}

/* What lies behind a broken head is in no block that could be named; the top is where it was. */
static void test_places_behind_damage(void **state)
{
    (void)state;
    for (uint32_t broken = 0; broken < BLOCKS; broken++) {
        start();
        payload_block((void *)blocks[broken])->head = 0;
        for (vaddr_t address = FROM; address < TO; address++) {
            enum heap_walk_place place = expected_place(address);

            if (address >= blocks[broken] && address < blocks[BLOCKS])
                place = address == blocks[broken] ? HEAP_WALK_SMASHED : HEAP_WALK_INSIDE;
            assert_int_equal(heap_walk_find(address), place);
        }
    }
}

/* A chunk may have as many objects as a word has bits: behind its last one there is no other. */
static void test_places_in_a_chunk_of_32(void **state)
{
    (void)state;
    reset_small(WINDOW);
    assert_non_null(kmalloc(40000));
    void *first = kmalloc(16), *second = kmalloc(16);
    const struct chunk *full = small_chunk_near((vaddr_t)first);
    assert_non_null(second);
    assert_int_equal(full->count, CHUNK_OBJECTS);
    kfree(first);
    assert_int_equal(heap_walk_find((vaddr_t)first), HEAP_WALK_FREE);
    assert_int_equal(heap_walk_find((vaddr_t)first + CHUNK_OBJECTS * 16), HEAP_WALK_INSIDE);
}

/* Of a chunk with impossible figures no object is believed. */
static void test_broken_chunk(void **state)
{
    struct heap_object found;
    vaddr_t live;
    size_t room;

    (void)state;
    for (int damage = 0; damage < 3; damage++) {
        start();
        const struct heap_block block = { blocks[CHUNK], 0, HEAP_USED };
        if (damage == 0)
            chunk->size = 0;
        else if (damage == 1)
            chunk->count++;
        else
            chunk->inverse++;
        for (vaddr_t address = blocks[CHUNK]; address < blocks[CHUNK + 1]; address += 4) {
            assert_int_equal(heap_walk_find(address), HEAP_WALK_INSIDE);
            assert_false(heap_walk_object(&block, address, &found));
        }
        assert_true(heap_walk_next_live(blocks[2] + 8, &live, &room));
        assert_int_equal(live, blocks[CHUNK + 1]);
    }
}

/* From every address, the block at or behind it; then the top, if that is at or behind. */
static void test_next_block(void **state)
{
    struct heap_block block;

    (void)state;
    start();
    for (vaddr_t address = FROM; address <= blocks[BLOCKS]; address++) {
        uint32_t i = 0;

        while (blocks[i] < address)
            i++;
        assert_true(heap_walk_next(address, &block));
        assert_int_equal(block.payload, blocks[i]);
        assert_int_equal(block.kind, i == BLOCKS ? HEAP_TOP : i == HOLE ? HEAP_FREE : HEAP_USED);
        if (i < BLOCKS)
            assert_int_equal(block.size, blocks[i + 1] - blocks[i]);
        else
            assert_int_equal(block.size, (first_fit.mapped - blocks[BLOCKS] + HEAP_HEAD) & ~7u);
    }
    for (vaddr_t address = blocks[BLOCKS] + 1; address < TO; address++)
        assert_false(heap_walk_next(address, &block));
    assert_false(heap_walk_next((vaddr_t)at(WINDOW - 8), &block)); /* where no page is */
    assert_false(heap_walk_next(UINTPTR_MAX, &block));
}

/*
 * A listing ends at a broken head, be it asked for the block or for what is behind it. Of a chunk
 * the objects are known nevertheless.
 */
static void test_next_block_behind_damage(void **state)
{
    struct heap_block block;
    vaddr_t live;
    size_t room;

    (void)state;
    for (uint32_t broken = 0; broken < BLOCKS; broken++) {
        start();
        payload_block((void *)blocks[broken])->head = 0;
        for (uint32_t i = 0; i < broken; i++) {
            assert_true(heap_walk_next(blocks[i], &block));
            assert_int_equal(block.payload, blocks[i]);
        }
        assert_false(heap_walk_next(blocks[broken], &block));
        assert_false(heap_walk_next(blocks[broken] + 8, &block));
        assert_int_equal(heap_walk_next_live(blocks[broken], &live, &room), broken == CHUNK);
        if (broken > 0)
            assert_false(heap_walk_next(blocks[broken] - 8, &block));
    }
}

/* A free block whose end does not repeat its size is none that one may begin with. */
static void test_next_block_that_only_looks_free(void **state)
{
    struct heap_block block;
    uint32_t *inside;

    (void)state;
    start();
    inside = (uint32_t *)(blocks[2] + 100);
    *inside = 64;
    assert_true(heap_walk_next((vaddr_t)(inside + 1), &block));
    assert_int_equal(block.payload, blocks[CHUNK]);
}

/* A free block is listed also where the heap's own lists have lost it. */
static void test_next_block_that_no_list_knows(void **state)
{
    struct heap_block block;

    (void)state;
    start();
    assert_ptr_equal(first_fit.first[segment_of(blocks[HOLE] - HEAP_HEAD)],
                     payload_block((void *)blocks[HOLE]));
    first_fit.first[segment_of(blocks[HOLE] - HEAP_HEAD)] = NULL;
    assert_true(heap_walk_next(blocks[HOLE], &block));
    assert_int_equal(block.payload, blocks[HOLE]);
    assert_int_equal(block.kind, HEAP_FREE);
}

/* From every address, the object that it lies in; a block that is no chunk has none. */
static void test_objects(void **state)
{
    struct heap_object found;

    (void)state;
    start();
    for (uint32_t i = 0; i < BLOCKS; i++) {
        const struct heap_block block = { blocks[i], blocks[i + 1] - blocks[i], HEAP_USED };

        if (i == HOLE)
            continue;
        for (vaddr_t address = blocks[i]; address < blocks[i + 1]; address++) {
            uint32_t index = object_of(address);

            assert_int_equal(heap_walk_object(&block, address, &found), index < chunk->count);
            if (index == chunk->count)
                continue;
            assert_int_equal(found.payload, object(index));
            assert_int_equal(found.room, OBJECT);
            assert_int_equal(found.idle, (idle >> index & 1) != 0);
        }
    }
}

/* The last object of a chunk is found from where it begins, also if it is shorter than links are.
 */
static void test_next_live_is_the_last(void **state)
{
    void *last = NULL;
    vaddr_t live;
    size_t room;

    (void)state;
    reset_small(WINDOW);
    assert_non_null(kmalloc(40000));
    for (uint32_t i = 0; i < CHUNK_OBJECTS; i++)
        last = kmalloc(16);
    assert_int_equal(small_chunk_near((vaddr_t)last)->idle, 0);
    assert_true(heap_walk_next_live((vaddr_t)last, &live, &room));
    assert_int_equal(live, (vaddr_t)last);
    assert_int_equal(room, 16);
    assert_false(heap_walk_next_live((vaddr_t)last + 1, &live, &room));
}

/* The first live block or object at or behind an address; 0 if there is none. */
static vaddr_t expected_live(vaddr_t address, size_t *room)
{
    for (uint32_t i = 0; i < BLOCKS; i++) {
        for (uint32_t j = 0; i == CHUNK && j < chunk->count; j++) {
            *room = OBJECT;
            if (object(j) >= address && !(idle & 1u << j))
                return object(j);
        }
        *room = blocks[i + 1] - blocks[i] - HEAP_HEAD;
        if (i != HOLE && i != CHUNK && blocks[i] >= address)
            return blocks[i];
    }
    return 0;
}

/* From within a chunk's links the walk goes on behind the chunk: nothing to ask from begins there.
 */
static void test_next_live(void **state)
{
    (void)state;
    start();
    for (vaddr_t address = FROM; address < TO; address++) {
        size_t room = 0, wanted_room = 0;
        vaddr_t live = 0, wanted = expected_live(address, &wanted_room);

        assert_int_equal(heap_walk_next_live(address, &live, &room), wanted != 0);
        if (wanted != 0) {
            assert_int_equal(live, wanted);
            assert_int_equal(room, wanted_room);
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_places_behind_damage),
        cmocka_unit_test(test_places_in_a_chunk_of_32),
        cmocka_unit_test(test_broken_chunk),
        cmocka_unit_test(test_next_block),
        cmocka_unit_test(test_next_block_behind_damage),
        cmocka_unit_test(test_next_block_that_only_looks_free),
        cmocka_unit_test(test_next_block_that_no_list_knows),
        cmocka_unit_test(test_objects),
        cmocka_unit_test(test_next_live_is_the_last),
        cmocka_unit_test(test_next_live),
    };

    return cmocka_run_group_tests(tests, open_arena, NULL);
}
