/*
 * The kernel heap, first fit alone: where blocks go, pages that come, go and fail, other threads in
 * between. Pages really are closed until the heap has asked for them.
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
#include "support.h"

/* ---- Placement, case by case ---- */

/*
 * The first payload is at base + 8; a block is max(16, request + 4 rounded up to 8) bytes.
 *
 *   0   4   8        24        40             64
 *   |   |hd|U 1..12  |hd|U     |hd|U 13..20   |~~~
 */
static void test_block_sizes(void **state)
{
    (void)state;
    for (size_t request = 1; request <= 200; request++) {
        size_t size = request <= 12 ? 16 : (request + 4 + 7) / 8 * 8;

        reset(64 * KIB);
        assert_ptr_equal(kmalloc(request), at(8));
        assert_ptr_equal(kmalloc(1), at(8 + size));
        assert_int_equal(kmalloc_usable_size(at(8)), size - 4);
        assert_int_equal(heap_get_stats().used, size + 16);
        check_sound();
    }
}

/*
 * The lowest free block that is large enough serves, not the best; its rest stays free.
 *
 *   |U 16|f 64   |U 16|f 32|U 16|~~~      kmalloc of a block of 32:
 *   |U 16|U 32|f |U 16|f 32|U 16|~~~
 */
static void test_lowest_fit(void **state)
{
    (void)state;
    reset(64 * KIB);
    new_block(16, 8);
    void *large = new_block(64, 24);
    new_block(16, 88);
    void *exact = new_block(32, 104);
    new_block(16, 136);
    kfree(exact);
    kfree(large);
    new_block(32, 24);
    new_block(40, 152);
    new_block(32, 56);
    new_block(32, 104);
    check_sound();
}

/*
 * A rest of 8 bytes can hold no block and stays with the block; one of 16 becomes free.
 *
 *   |f 48        |U|        |U 40   : 8 |U|        |U 32   |f 16|U|
 */
static void test_small_rest_stays(void **state)
{
    (void)state;
    reset(64 * KIB);
    void *block = new_block(48, 8);
    new_block(16, 56);
    kfree(block);
    block = new_block(40, 8);
    assert_int_equal(kmalloc_usable_size(block), 44);
    new_block(16, 72);
    kfree(block);
    new_block(32, 8);
    new_block(16, 40);
    check_sound();
}

/*
 * Freed in any order, neighbours merge at once: three blocks serve as one, or are the wilderness.
 *
 *   |U 16|1 32|2 32|3 32|U 16|~~~      |U 16|f 96          |U 16|~~~
 */
static void test_merging(void **state)
{
    static const uint8_t orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
                                          { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };

    (void)state;
    for (size_t i = 0; i < 2 * ARRAY_SIZE(orders); i++) {
        bool closed = i % 2 == 0; /* a used block stands between the three and the wilderness */
        void *block[3];

        reset(64 * KIB);
        new_block(16, 8);
        for (size_t j = 0; j < 3; j++)
            block[j] = new_block(32, 24 + 32 * j);
        if (closed)
            new_block(16, 120);
        for (size_t j = 0; j < 3; j++) {
            kfree(block[orders[i / 2][j]]);
            check_sound();
        }
        new_block(96, 24);
        new_block(16, closed ? 136 : 120);
    }
}

/*
 * An aligned block takes the first aligned payload whose gap in front is 0 or at least 16.
 *
 *   8       32                     40: a gap of 8 cannot be a block, so the next one
 *   |f gap 24|U at 32|~~~          |U 32|f gap 24|U at 64|~~~       (alignment 32)
 */
static void test_aligned(void **state)
{
    (void)state;
    reset(64 * KIB);
    assert_ptr_equal(kmalloc_aligned(28, 32), at(32));
    new_block(24, 8);

    reset(64 * KIB);
    new_block(16, 8);
    assert_ptr_equal(kmalloc_aligned(12, 32), at(64)); /* at 32 the gap would be 8 */
    assert_ptr_equal(kmalloc_aligned(12, 16), at(48)); /* at 32 likewise */
    check_sound();

    for (size_t align = 1; align <= HEAP_MAX_ALIGN; align *= 2) {
        reset(64 * KIB);
        for (int i = 0; i < 8; i++)
            assert_int_equal((vaddr_t)kmalloc_aligned(20, align) % (align < 8 ? 8 : align), 0);
        check_sound();
    }
}

/*
 * An aligned request passes over a free block without room for any alignment (block + alignment
 * + 8 bytes), even where this one would just have fitted.
 *
 *   |U 8..32|f at 32, 80 bytes|U|~~~    block 32, alignment 32: 72 bytes are asked for
 */
static void test_aligned_needs_room(void **state)
{
    (void)state;
    for (size_t size = 32; size <= 88; size += 8) {
        reset(64 * KIB);
        new_block(24, 8);
        void *hole = new_block(size, 32);
        new_block(16, 32 + size);
        kfree(hole);
        if (size >= 72)
            assert_ptr_equal(kmalloc_aligned(28, 32), at(32));
        else
            assert_true(kmalloc_aligned(28, 32) > at(32 + size));
        check_sound();
    }
}

/* krealloc shrinks and grows in place where a neighbour allows, and else moves. */
static void test_resizing(void **state)
{
    (void)state;
    reset(64 * KIB);
    uint8_t *block = new_block(64, 8);
    memset(block, 0x5a, 60);
    new_block(16, 72);

    assert_ptr_equal(krealloc(block, 52), block); /* a tail of 8 stays */
    assert_int_equal(kmalloc_usable_size(block), 60);
    assert_ptr_equal(krealloc(block, 28), block); /* |U 32|f 32|U 16|~~~ */
    assert_ptr_equal(krealloc(block, 44), block); /* |U 48  |f |U 16|~~~ */
    new_block(16, 56);
    assert_ptr_equal(krealloc(block, 45), at(88)); /* |f 48  |U |U 16|U 56|~~~ */
    assert_ptr_equal(krealloc(at(88), 2000), at(88));
    for (int i = 0; i < 28; i++)
        assert_int_equal(((uint8_t *)at(88))[i], 0x5a);
    check_sound();

    assert_ptr_equal(krealloc(NULL, 44), at(8));
    assert_null(krealloc(at(8), 0));
    assert_false(heap_is_live(at(8)));
    assert_int_equal(heap_get_stats().blocks, 3);
}

/* Sizes of 0, beyond the window and around 2^32 give NULL and change nothing. */
static void test_impossible_sizes(void **state)
{
    static const size_t sizes[] = {
        0,          64 * KIB,   64 * KIB + 1, 0x7fffffff, 0x80000000, 0xffffeff8,
        0xfffff000, 0xfffffff0, 0xfffffff8,   0xfffffffb, 0xfffffffc, 0xffffffff,
    };

    (void)state;
    reset(64 * KIB);
    void *block = kmalloc(100);
    struct snapshot shot = take_snapshot();

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        assert_null(kmalloc(sizes[i]));
        assert_null(kcalloc(sizes[i], 1));
        assert_null(kcalloc(1, sizes[i]));
        assert_null(kmalloc_aligned(sizes[i], 8));
        assert_null(kmalloc_aligned(sizes[i], 4096));
        if (sizes[i] != 0)
            assert_null(krealloc(block, sizes[i]));
    }
    assert_null(kcalloc(0x10000, 0x10000)); /* 2^32 */
    assert_null(kcalloc(0x10001, 0x10000));
    assert_null(kcalloc(0x80000001, 2));
    for (uint32_t bit = 13; bit < 32; bit++)
        assert_null(kmalloc_aligned(8, 1u << bit));
    assert_null(kmalloc_aligned(8, 0));
    assert_null(kmalloc_aligned(8, 24));
    kfree(NULL);
    check_unchanged(&shot);
}

/* The window's last byte can be used, and not one more. */
static void test_whole_window(void **state)
{
    (void)state;
    reset(64 * KIB);
    uint8_t *all = kmalloc(64 * KIB - 16);
    assert_ptr_equal(all, at(8));
    memset(all, 0xff, kmalloc_usable_size(all));
    assert_int_equal(sys.heap_pages, 16);
    assert_null(kmalloc(1));
    kfree(all);
    assert_null(kmalloc(64 * KIB - 8 - 3));
    assert_ptr_equal(kmalloc(64 * KIB - 8 - 4), at(8));
    check_sound();
}

static void test_calloc_clears(void **state)
{
    (void)state;
    reset(64 * KIB);
    void *dirty = kmalloc(1000);
    memset(dirty, 0xff, 1000);
    kfree(dirty);

    uint8_t *block = kcalloc(10, 100);
    assert_ptr_equal(block, dirty);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(block[i], 0);
}

/* heap_is_live answers for any address, heads and free blocks included. */
static void test_questions(void **state)
{
    (void)state;
    reset(64 * KIB);
    new_block(32, 8);
    void *hole = new_block(32, 40);
    new_block(32, 72);
    kfree(hole);
    for (size_t offset = 0; offset < 200; offset++)
        assert_int_equal(heap_is_live(at(offset)), offset == 8 || offset == 72);
    assert_false(heap_is_live(NULL));
    assert_false(heap_is_live((void *)UINTPTR_MAX));

    struct heap_block block;
    assert_true(heap_next_block((vaddr_t)at(9), &block)); /* from anywhere, the next one */
    assert_int_equal(block.payload, (vaddr_t)at(40));
}

/* ---- Pages ---- */

/* Pages come as they are needed and go when many lie unused at the top; the first four stay. */
static void test_pages_come_and_go(void **state)
{
    (void)state;
    reset(MIB);
    void *first = kmalloc(FIRST_BYTES - 16);
    assert_int_equal(sys.heap_pages, HEAP_FIRST_PAGES);
    void *second = kmalloc(1);
    assert_int_equal(sys.heap_pages, HEAP_FIRST_PAGES + 1);
    void *third = kmalloc(512 * KIB);
    assert_in_range(sys.heap_pages, 132, 134);

    kfree(third);
    assert_in_range(sys.heap_pages, HEAP_FIRST_PAGES + 1, 30);
    kfree(second);
    kfree(first);
    check_sound();
    assert_in_range(sys.heap_pages, HEAP_FIRST_PAGES, 20);

    /* Where the pages are had again, blocks are as before. */
    assert_ptr_equal(kmalloc(FIRST_BYTES - 16), first);
    assert_ptr_equal(kmalloc(1), second);
    assert_ptr_equal(kmalloc(512 * KIB), third);
}

/* The calls that ask for pages, those of the index too, each given the heap's last block. */
static void *grow_by_malloc(void *last)
{
    (void)last;
    return kmalloc(5000000);
}

static void *grow_by_aligned(void *last)
{
    (void)last;
    return kmalloc_aligned(5000000, 4096);
}

static void *grow_by_calloc(void *last)
{
    (void)last;
    return kcalloc(1000, 5000);
}

static void *grow_by_realloc(void *last)
{
    return krealloc(last, 6000000);
}

/*
 * Whichever request for a page fails, once or from then on: NULL leaves the heap byte for byte as
 * it was, the pages had before are given back, and with memory there again the call succeeds.
 */
static void test_every_page_refused(void **state)
{
    static void *(*const calls[])(void *) = { grow_by_malloc, grow_by_aligned, grow_by_calloc,
                                              grow_by_realloc };
    uint32_t refused = 0;

    (void)state;
    for (size_t i = 0; i < 2 * ARRAY_SIZE(calls); i++) {
        for (uint32_t nth = 1;; nth++) {
            reset(16 * MIB);
            new_block(1000, 8);
            void *last = new_block(16000, 1008);
            struct snapshot shot = take_snapshot();

            fail_requests(nth, i % 2 == 0);
            void *got = calls[i / 2](last);
            bool all_granted = sys.requests < nth;
            if (got != NULL) {
                check_sound();
                drop_snapshot(&shot);
            } else {
                check_unchanged(&shot);
                refused++;
                fail_requests(NEVER, false);
                assert_non_null(calls[i / 2](last));
            }
            if (all_granted) {
                assert_non_null(got);
                break;
            }
        }
    }
    assert_true(refused >= 4 * 7); /* refused once, krealloc moves the block */
}

/* ---- Another thread in between ---- */

static void *shared, *others;

static void other_frees(void)
{
    kfree(shared);
}

static void other_allocates(void)
{
    others = kmalloc(100);
}

static void other_grows(void)
{
    others = kmalloc(50000);
}

/*
 * While a thread waits for its turn to grow the heap, another frees: the hole must serve, and no
 * page is mapped.
 *
 *   |U 12000|U 16|~~~   kmalloc(9000) waits;   |f 12000|U 16|~~~   so it goes to the front
 */
static void test_freed_while_waiting(void **state)
{
    (void)state;
    reset(MIB);
    shared = new_block(12000, 8);
    new_block(16, 12008);
    sys.while_waiting = other_frees;
    assert_ptr_equal(kmalloc(9000), at(8));
    assert_int_equal(sys.heap_pages, HEAP_FIRST_PAGES);
    check_sound();
}

/* Another thread takes the very place; or grows the heap itself, by more than is needed. */
static void test_allocated_while_waiting(void **state)
{
    (void)state;
    reset(MIB);
    sys.while_waiting = other_allocates;
    assert_ptr_equal(kmalloc(20000), at(8 + 104));
    assert_ptr_equal(others, at(8));
    check_sound();

    reset(MIB);
    sys.while_waiting = other_grows;
    assert_ptr_equal(kmalloc(20000), at(8 + 50008));
    check_sound();

    /* A block at the end of the heap that is no longer the last when its turn comes must move. */
    reset(MIB);
    uint8_t *block = new_block(1000, 8);
    memset(block, 0x77, 996);
    sys.while_waiting = other_allocates;
    uint8_t *moved = krealloc(block, 20000);
    assert_ptr_equal(moved, at(8 + 1000 + 104));
    for (int i = 0; i < 996; i++)
        assert_int_equal(moved[i], 0x77);
    assert_false(heap_is_live(block));
    check_sound();
}

/* No page can be had, but meanwhile a block was freed: a last search finds it. */
static void test_freed_while_mapping(void **state)
{
    (void)state;
    reset(MIB);
    shared = new_block(12000, 8);
    new_block(16, 12008);
    sys.while_mapping = other_frees;
    fail_requests(1, true);
    assert_ptr_equal(kmalloc(9000), at(8));
    check_sound();
}

/* A large free while another thread grows gives no page back: they are about to be used. */
static void test_no_trim_while_growing(void **state)
{
    (void)state;
    reset(MIB);
    shared = kmalloc(200000);
    sys.while_mapping = other_frees;
    assert_non_null(kmalloc(300000));
    check_sound();
}

/* While pages are given back another thread allocates: never in a page that is going. */
static void test_allocated_while_unmapping(void **state)
{
    (void)state;
    reset(MIB);
    shared = kmalloc(500000);
    sys.while_unmapping = other_allocates;
    kfree(shared);
    assert_ptr_equal(others, at(8));
    memset(others, 0xff, kmalloc_usable_size(others));
    check_sound();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_block_sizes),
        cmocka_unit_test(test_lowest_fit),
        cmocka_unit_test(test_small_rest_stays),
        cmocka_unit_test(test_merging),
        cmocka_unit_test(test_aligned),
        cmocka_unit_test(test_aligned_needs_room),
        cmocka_unit_test(test_resizing),
        cmocka_unit_test(test_impossible_sizes),
        cmocka_unit_test(test_whole_window),
        cmocka_unit_test(test_calloc_clears),
        cmocka_unit_test(test_questions),
        cmocka_unit_test(test_pages_come_and_go),
        cmocka_unit_test(test_every_page_refused),
        cmocka_unit_test(test_freed_while_waiting),
        cmocka_unit_test(test_allocated_while_waiting),
        cmocka_unit_test(test_freed_while_mapping),
        cmocka_unit_test(test_no_trim_while_growing),
        cmocka_unit_test(test_allocated_while_unmapping),
    };

    return cmocka_run_group_tests(tests, open_arena, NULL);
}
