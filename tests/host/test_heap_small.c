/*
 * Small objects, case by case: when a class gets a chunk, which object is taken, what becomes of
 * chunks that are full or empty, and what happens without memory.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include <heap.h>
#include "heap_arena.h"
#include "support.h"

#define SHARE      (32 * KIB) /* bytes in use for each class that has chunks */
#define CHUNK_HEAD 24u
#define PER_CHUNK  21u /* objects of 48 bytes: those that begin in 1024 - 24 bytes */
#define SMALL      256u

/* A heap in which `used` bytes are, in one block: offset 8 + used is free. */
static void start(size_t window, size_t used)
{
    reset_small(window);
    new_block(used, 8);
}

/* Takes `count` objects of 48 bytes, those of a chunk at `offset`. */
static void take_objects(size_t offset, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_ptr_equal(kmalloc(41 + i % 8), at(offset + CHUNK_HEAD + 48 * i));
}

static void free_objects(size_t offset, size_t count)
{
    for (size_t i = 0; i < count; i++)
        kfree(at(offset + CHUNK_HEAD + 48 * i));
}

#define CHUNK_SIZE (4 + CHUNK_HEAD + 48 * PER_CHUNK + 4) /* its block, a multiple of 8 */

/* Below the share all requests are blocks; from it on the first class has a chunk, not a second. */
static void test_share(void **state)
{
    (void)state;
    start(256 * KIB, SHARE - 64);
    new_block(48, 8 + SHARE - 64);
    assert_ptr_equal(kmalloc(44), at(8 + SHARE - 16));
    assert_ptr_equal(kmalloc(44), at(8 + SHARE + 32 + CHUNK_HEAD));  /* not a block */
    assert_ptr_equal(kmalloc(100), at(8 + SHARE + 32 + CHUNK_SIZE)); /* a block: another class */
    assert_ptr_equal(kmalloc(44), at(8 + SHARE + 32 + CHUNK_HEAD + 48));
    check_sound();
}

/* Requests of 1 to 16 bytes share a class, those of 257 have none. */
static void test_classes(void **state)
{
    (void)state;
    for (size_t request = 1; request <= SMALL + 8; request++) {
        size_t size = request <= 16 ? 16 : (request + 7) / 8 * 8;

        start(256 * KIB, SHARE);
        uint8_t *first = kmalloc(request), *second = kmalloc(request);
        if (request <= SMALL) {
            assert_ptr_equal(first, at(8 + SHARE + CHUNK_HEAD));
            assert_ptr_equal(second, first + size);
            assert_int_equal(kmalloc_usable_size(first), size);
            assert_int_equal(heap_get_stats().used, SHARE + 2 * size);
        } else {
            assert_ptr_equal(first, at(8 + SHARE));
        }
        assert_int_equal(heap_get_stats().blocks, 3);
        memset(first, 0xff, kmalloc_usable_size(first));
        memset(second, 0xff, kmalloc_usable_size(second));
        check_sound();
    }
}

/* Chunks are larger in a larger heap: up to 2 KiB when each class's share is twice as large. */
static void test_chunk_sizes(void **state)
{
    static const struct {
        size_t used, request, objects;
    } cases[] = {
        { SHARE, 256, 4 },     { SHARE, 40, 25 },
        { SHARE, 24, 32 },     { SHARE + SHARE / 2, 256, 6 },
        { SHARE, 48, 21 },     { SHARE + SHARE / 2, 40, 32 },
        { 2 * SHARE, 256, 8 }, { 4 * SHARE, 256, 8 },
        { 4 * SHARE, 8, 32 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        size_t size = cases[i].request < 16 ? 16 : cases[i].request;
        uint8_t *first, *last;

        start(256 * KIB, cases[i].used);
        first = last = kmalloc(cases[i].request);
        for (size_t n = 1; n < cases[i].objects; n++)
            last = kmalloc(cases[i].request);
        assert_ptr_equal(last, first + (cases[i].objects - 1) * size);
        assert_ptr_not_equal(kmalloc(cases[i].request), last + size);
        check_sound();
    }
}

/* The lowest idle object of the chunk that had room last. */
static void test_order(void **state)
{
    static uint8_t *object[160];

    (void)state;
    start(256 * KIB, 2 * SHARE);
    for (size_t i = 0; i < ARRAY_SIZE(object); i++)
        object[i] = kmalloc(48);
    kfree(object[50]); /* of the second chunk, and ... */
    kfree(object[7]);  /* ... of the first */
    kfree(object[3]);
    assert_ptr_equal(kmalloc(48), object[3]);
    assert_ptr_equal(kmalloc(48), object[7]);
    assert_ptr_equal(kmalloc(48), object[50]); /* before the newest chunk, which has room too */
    assert_ptr_equal(kmalloc(48), object[159] + 48);
    check_sound();
}

/*
 * One empty chunk is kept and serves again; a second goes back at once, and its place is free.
 *
 *   |U wall|one: 32 objects|two: 22|U 400|~~~
 */
static void test_spare(void **state)
{
    const size_t one = 8 + 2 * SHARE, two = one + 1568, end = two + 1088;

    (void)state;
    start(256 * KIB, 2 * SHARE);
    take_objects(one, 32);
    take_objects(two, 22);
    new_block(400, end);
    free_objects(two, 22); /* the spare */
    new_block(400, end + 400);
    free_objects(one, 32);
    new_block(400, one); /* |U 400|f|spare|U 400|U 400|~~~ */
    take_objects(two, 22);
    check_sound();
}

/* Where no chunk can be had the request itself may be; before NULL, spare chunks are given back. */
static void test_without_memory(void **state)
{
    const size_t one = 8 + SHARE, window = 64 * KIB;

    (void)state;
    start(window, SHARE);
    new_block(window - one - 200, one);
    assert_ptr_equal(kmalloc(48), at(window - 200)); /* too little for a chunk */
    assert_null(kmalloc(SMALL));
    check_sound();

    start(window, SHARE);
    take_objects(one, PER_CHUNK);
    new_block(window - one - CHUNK_SIZE - 100, one + CHUNK_SIZE);
    free_objects(one, PER_CHUNK);
    assert_null(kmalloc(CHUNK_SIZE)); /* larger than what the spare chunk leaves */
    new_block(CHUNK_SIZE, one);
    check_sound();
}

/*
 * A spare chunk at the top that is given back lets the request begin lower: pages up to its end can
 * be had where those up to the first end asked for could not.
 *
 *   |U      |spare|~~~          |
 *   |U      |U the request      |
 */
static void test_spare_below_top(void **state)
{
    const size_t one = 8 + SHARE, window = 64 * KIB;

    (void)state;
    start(window, SHARE);
    take_objects(one, PER_CHUNK);
    free_objects(one, PER_CHUNK);
    new_block(window - one, one);
    check_sound();
}

/* An object stays where it is while it is large enough, and else moves with what it holds. */
static void test_resizing(void **state)
{
    (void)state;
    start(256 * KIB, SHARE);
    uint8_t *object = kmalloc(48);
    memset(object, 0x5a, 48);
    assert_ptr_equal(krealloc(object, 1), object);
    assert_ptr_equal(krealloc(object, 48), object);
    assert_int_equal(kmalloc_usable_size(object), 48);
    uint8_t *moved = krealloc(object, 49);
    assert_ptr_equal(moved, at(8 + SHARE + CHUNK_SIZE)); /* a block: the class has no share */
    for (int i = 0; i < 48; i++)
        assert_int_equal(moved[i], 0x5a);
    assert_false(heap_is_live(object));
    assert_ptr_equal(krealloc(moved, 20), moved); /* a block stays one */
    assert_ptr_equal(kmalloc(48), object);
    check_sound();
}

/* Alignments above 8 are blocks' alone. */
static void test_aligned(void **state)
{
    (void)state;
    start(256 * KIB, SHARE);
    uint8_t *object = kmalloc(16);
    assert_ptr_equal(kmalloc_aligned(16, 8), object + 16);
    assert_true((uint8_t *)kmalloc_aligned(16, 16) > object + 512);
    check_sound();
}

/* When the last chunk brings the top down, pages go as they do behind a block. */
static void test_pages_behind_chunks(void **state)
{
    (void)state;
    uint8_t *objects[4096];

    start(MIB, 2 * SHARE);
    size_t before = heap_get_stats().mapped;
    for (size_t i = 0; i < ARRAY_SIZE(objects); i++)
        objects[i] = kmalloc(48);
    assert_true(heap_get_stats().mapped > before + 128 * KIB);
    for (size_t i = 0; i < ARRAY_SIZE(objects); i++)
        kfree(objects[i]);
    assert_true(heap_get_stats().mapped <= before + 64 * KIB);
    check_sound();
}

/* Switched off, no object is given, and those that live can be given back. */
static void test_switched_off(void **state)
{
    (void)state;
    start(256 * KIB, SHARE);
    void *object = kmalloc(48);
    heap_use_small(false);
    assert_true(heap_is_live(object));
    assert_ptr_equal(kmalloc(44), at(8 + SHARE + CHUNK_SIZE));
    kfree(object);
    assert_false(heap_is_live(object));
    heap_use_small(true);
    assert_ptr_equal(kmalloc(48), object);
    check_sound();
}

/* A heap that is full of objects and then empty is as good as new. */
static void test_all_given_back(void **state)
{
    static void *objects[4000];

    (void)state;
    start(MIB, 2 * SHARE);
    for (size_t i = 0; i < ARRAY_SIZE(objects); i++)
        objects[i] = kcalloc(1, 1 + i * 7 % SMALL);
    check_sound();
    for (size_t i = 0; i < ARRAY_SIZE(objects); i++)
        kfree(objects[i * 1237 % ARRAY_SIZE(objects)]);
    kfree(at(8));
    assert_int_equal(heap_get_stats().used, 0);
    assert_int_equal(heap_get_stats().blocks, 0);
    check_sound();
    new_block(MIB - 8, 8); /* all the spare chunks go back */
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_share),
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_chunk_sizes),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_spare),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_spare_below_top),
        cmocka_unit_test(test_resizing),
        cmocka_unit_test(test_aligned),
        cmocka_unit_test(test_switched_off),
        cmocka_unit_test(test_pages_behind_chunks),
        cmocka_unit_test(test_all_given_back),
    };

    return cmocka_run_group_tests(tests, open_arena, NULL);
}
