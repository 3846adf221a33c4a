/*
 * The heap where mutation runs (tests/mutate.py) found that nobody looked: what a panic names,
 * words that point out of the heap, figures at their borders.
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
#include "heap_arena.h"
#include "mem/first_fit.h"
#include "mem/heap_core.h"
#include "mem/heap_index.h"
#include "mem/small.h"
#include "support.h"

/* The panic of a free head that was written over names its block and what stands there. */
static void test_smashed_names_the_block(void **state)
{
    char text[64];

    (void)state;
    reset(64 * KIB);
    new_block(32, 8);
    void *hole = new_block(32, 40);
    new_block(32, 72);
    kfree(hole);
    *word(36) = 24;
    snprintf(text, sizeof(text), "block at %p is smashed: 0x00000018", hole);
    EXPECT_PANIC(text, kfree(at(8)));
    sys.spinning = false;
}

/*
 * The word in front of a block whose neighbour is free says how large that is: a size that leads
 * out of the heap is not followed.
 *
 *   |U 32|f 32     [size]|U 32|U 32|~~~
 */
static void test_size_in_front_leads_out(void **state)
{
    static const uint32_t sizes[] = { 72, 80, 0x1000, 0x10000000, 0x17fffff8, 0x80000000, ~7u };

    (void)state;
    for (volatile size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        reset(64 * KIB);
        new_block(32, 8);
        void *hole = new_block(32, 40);
        void *behind = new_block(32, 72);
        new_block(32, 104);
        kfree(hole);
        *word(64) = sizes[i];
        EXPECT_PANIC("smashed", kfree(behind));
        sys.spinning = false;
    }
}

/*
 * A word that stops being a head is cleared, so that it can pass for none in whatever comes there.
 *
 *   |U 32|A 64|B 64|C 64|U 32|~~~      freed in all orders, then as the last blocks of the heap
 */
static void test_heads_are_cleared(void **state)
{
    static const size_t heads[] = { 36, 100, 164 };
    static const uint8_t orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
                                          { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };

    (void)state;
    for (size_t i = 0; i < 2 * ARRAY_SIZE(orders); i++) {
        reset(64 * KIB);
        new_block(32, 8);
        for (size_t j = 0; j < 3; j++)
            new_block(64, heads[j] + 4);
        if (i % 2 == 0)
            new_block(32, 232);
        for (size_t j = 0; j < 3; j++)
            kfree(at(heads[orders[i / 2][j]] + 4));
        assert_int_equal(*word(100), 0);
        assert_int_equal(*word(164), 0);
        assert_int_equal(*word(36), i % 2 == 0 ? 192 : 0);
    }
}

/* The same, seen from outside: a freed block's address stays bad when a new block covers it. */
static void test_freed_head_covered(void **state)
{
    (void)state;
    reset(64 * KIB);
    new_block(32, 8);
    void *first = new_block(64, 40), *last = new_block(64, 104);
    kfree(first);
    kfree(last);
    new_block(128, 40);
    EXPECT_PANIC("invalid free", kfree(last));
    sys.spinning = false;
    check_sound();
}

/*
 * A smashed head behind a block is noticed also when what is in front is free.
 *
 *   |f 64|U 64|f 64, smashed|U 32|~~~
 */
static void test_smashed_behind_and_free_in_front(void **state)
{
    (void)state;
    reset(64 * KIB);
    void *front = new_block(64, 8), *block = new_block(64, 72), *behind = new_block(64, 136);
    new_block(32, 200);
    kfree(front);
    kfree(behind);
    *word(132) = 72;
    EXPECT_PANIC("smashed", kfree(block));
    sys.spinning = false;
}

/*
 * When the last free byte has gone, the largest free block has 0, whichever way that one went: the
 * last free block is one that is being cut up, with its rest in another segment.
 *
 *   |U 16|f 6000     |U wall, up to the last page's end|
 *   |U 16|U 3000|f   |U wall                           |
 */
static void test_nothing_free(void **state)
{
    (void)state;
    for (int resized = 0; resized < 2; resized++) {
        reset(FIRST_BYTES);
        new_block(16, 8);
        void *hole = new_block(6000, 24);
        new_block(FIRST_BYTES - 8 - 6016, 6024);
        assert_int_equal(heap_get_stats().largest_free, 0);
        kfree(hole);
        assert_int_equal(heap_get_stats().largest_free, 6000);
        void *block = new_block(3000, 24);
        assert_int_equal(heap_get_stats().largest_free, 3000);
        if (resized)
            assert_ptr_equal(krealloc(block, 5990), block);
        else
            new_block(3000, 3024);
        assert_int_equal(heap_get_stats().largest_free, 0);
        assert_null(kmalloc(1));
        check_sound();
    }
}

/*
 * Up to 16 pages unused at the top stay; of more, 8 do, whether the top came down by a free or by a
 * block that became smaller.
 *
 *   |U 4088|U up to page `pages`|      |U 4088|~~~
 */
static void test_pages_kept(void **state)
{
    (void)state;
    for (int resized = 0; resized < 2; resized++) {
        for (uint32_t pages = 9; pages < 40; pages++) {
            reset(MIB);
            new_block(4088 - resized * 16, 8);
            void *last = kmalloc(pages * PAGE_SIZE - 4096 - 4 + resized * 16);
            assert_int_equal(sys.heap_pages, pages);
            if (resized)
                assert_ptr_equal(krealloc(last, 12), last);
            else
                kfree(last);
            assert_int_equal(sys.heap_pages, pages <= 16 ? pages : 9);
            check_sound();
        }
    }
}

/* ---- The index ---- */

/* Tree, lists and the table of chunks, each in whole pages. */
static void test_index_size(void **state)
{
    (void)state;
    assert_int_equal(heap_index_size(64 * KIB), 3 * PAGE_SIZE);
    assert_int_equal(heap_index_size(8 * MIB), (32 + 16 + 64) * KIB); /* 4^6 segments */
    assert_int_equal(heap_index_size(64 * MIB), (512 + 128 + 512) * KIB);
}

/* What the index needs for so many segments of 2 KiB: a word each, and the tree's nodes above. */
static void test_index_figure(void **state)
{
    (void)state;
    reset(MIB);
    size_t one = heap_get_stats().index; /* a list and a node, and all that is fixed */
    assert_int_equal(one,
                     heap_index_bytes(1) + sizeof(heap_core) + sizeof(first_fit) + sizeof(small));
    new_block(64 * KIB - 8, 8);
    assert_int_equal(heap_get_stats().index, one + (31 + 1 + 2 + 8 + 32 - 1) * 4);
    new_block(16, 64 * KIB);
    assert_int_equal(heap_get_stats().index, one + (32 + 1 + 3 + 9 + 33 - 1) * 4);
}

/* A segment begins with its first byte. With one there is a list, a node, and a table of 12 parts.
 */
static void test_index_bytes(void **state)
{
    const size_t fixed = 12 * 20;

    (void)state;
    assert_int_equal(heap_index_bytes(1), fixed + (1 + 1) * 4);
    assert_int_equal(heap_index_bytes(SEGMENT_SIZE), fixed + (1 + 1) * 4);
    assert_int_equal(heap_index_bytes(SEGMENT_SIZE + 1), fixed + (2 + 2 + 1) * 4);
}

/* The page with the tree's upper levels comes when the heap is larger than 32 KiB, not before. */
static void test_index_page_of_upper_levels(void **state)
{
    (void)state;
    reset(64 * MIB);
    new_block(7 * PAGE_SIZE, 8);
    assert_int_equal(sys.heap_pages, 8);
    uint32_t index_pages = sys.index_pages;
    new_block(PAGE_SIZE, 8 + 7 * PAGE_SIZE);
    assert_int_equal(sys.heap_pages, 9);
    assert_int_equal(sys.index_pages, index_pages + 1);
    check_sound();
}

/* A page of the index comes with the first page of the heap that needs it. */
static void test_index_pages_at_their_borders(void **state)
{
    (void)state;
    reset(64 * MIB);
    new_block(2 * MIB - 8, 8);
    assert_int_equal(sys.heap_pages, 512);
    uint32_t index_pages = sys.index_pages;
    check_sound(); /* the validator looks at none that is not there */
    new_block(PAGE_SIZE, 2 * MIB);
    assert_int_equal(sys.heap_pages, 513);
    assert_int_equal(sys.index_pages, index_pages + 3); /* of nodes, lists and granules */
    check_sound();
}

/* ---- Small objects ---- */

/* As the kernel calls it: small requests are served from chunks without being asked for it. */
static void test_small_objects_are_the_rule(void **state)
{
    (void)state;
    reset(4 * MIB);
    vaddr_t index = (vaddr_t)first_fit.tree.nodes;
    close_arena();
    sys.initialising = true;
    heap_init((vaddr_t)arena, 4 * MIB, index);
    sys.initialising = false;
    assert_non_null(kmalloc(SMALL_FROM + 1));
    assert_non_null(kmalloc(40));
    assert_int_equal(small.active, 1);
    check_sound();
}

/*
 * A chunk at the very start of the window, which comes and goes.
 *
 *   |hole 1500|U wall|~~~      |chunk   |rest|U wall|~~~
 */
static void test_chunk_at_the_start(void **state)
{
    (void)state;
    reset_small(256 * KIB);
    void *hole = kmalloc(1500);
    assert_non_null(kmalloc(40000));
    kfree(hole);
    size_t index = heap_get_stats().index;
    void *object = kmalloc(48);
    assert_ptr_equal(object, at(8 + sizeof(struct chunk)));
    assert_int_equal(heap_get_stats().index, index + 3 * sizeof(uint32_t)); /* 3 granules */
    kfree(object);
    assert_null(kmalloc(250000)); /* gives the spare chunk back */
    assert_int_equal(small.active, 0);
    assert_int_equal(heap_get_stats().index, index + 3 * sizeof(uint32_t)); /* the most ever */
    check_sound();
    assert_ptr_equal(kmalloc(1500), hole);
    kfree(hole);
    check_sound();
}

/*
 * The figure of the index is of the most that there ever was of it: a chunk that is lower adds
 * none.
 *
 *   |hole 3000|U wall|chunk|~~~      |chunk   |rest|U wall|chunk|~~~
 */
static void test_chunk_lower_than_another(void **state)
{
    (void)state;
    reset_small(MIB);
    void *hole = kmalloc(3000);
    assert_non_null(kmalloc(400000));
    void *high = kmalloc(48);
    size_t index = heap_get_stats().index;
    kfree(hole);
    void *low = kmalloc(64);
    assert_true(low < high);
    assert_int_equal(small.active, 2);
    assert_int_equal(heap_get_stats().index, index);
    check_sound();
}

/*
 * No page can be had for a chunk, but then one for the request itself: it becomes a block.
 *
 *   |U up to the last page's end|      |U                          |U 48|~~~
 */
static void test_no_page_for_a_chunk(void **state)
{
    (void)state;
    reset_small(256 * KIB);
    new_block(64 * KIB - 8, 8);
    assert_int_equal(heap_get_stats().largest_free, 0);
    fail_requests(1, false);
    new_block(48, 64 * KIB);
    assert_int_equal(sys.requests, 2);
    assert_int_equal(small.active, 0);
    check_sound();
}

/* A chunk whose own head was written over cannot be given back. */
static void test_head_of_a_chunk_smashed(void **state)
{
    char text[64];

    (void)state;
    reset_small(256 * KIB);
    assert_non_null(kmalloc(40000));
    uint8_t *object = kmalloc(48);
    uint8_t *chunk = object - sizeof(struct chunk);
    assert_non_null(kmalloc(400));
    kfree(object);
    *(uint32_t *)(chunk - HEAP_HEAD) ^= 0x10000000;
    snprintf(text, sizeof(text), "head of the chunk at %p is smashed", (void *)chunk);
    EXPECT_PANIC(text, kmalloc(230000) == NULL ? fail() : (void)0);
    sys.spinning = sys.growing = false;
}

/* The table's pages go with the heap's top: nothing is looked up in those that have gone. */
static void test_pointer_where_chunks_were(void **state)
{
    const size_t wall = 8 * MIB;
    void *object;

    (void)state;
    reset_small(64 * MIB);
    kfree(kmalloc(32 * KIB));
    uint32_t index_pages = sys.index_pages; /* for a few pages more than the first */
    void *low = kmalloc(wall), *high = kmalloc(wall);
    assert_true(low != NULL && high != NULL);
    object = kmalloc(48);
    assert_true((vaddr_t)object > (vaddr_t)at(2 * wall));
    assert_true(heap_is_live(object));
    kfree(object);
    assert_null(kmalloc(64 * MIB - 1)); /* gives the spare chunk back */
    kfree(high);
    kfree(low);
    assert_in_range(heap_get_stats().mapped, FIRST_BYTES, MIB);
    assert_int_equal(sys.index_pages, index_pages);
    assert_false(heap_is_live(object));
    EXPECT_PANIC("free of", kfree(object));
    sys.spinning = false;
    check_sound();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smashed_names_the_block),
        cmocka_unit_test(test_size_in_front_leads_out),
        cmocka_unit_test(test_heads_are_cleared),
        cmocka_unit_test(test_freed_head_covered),
        cmocka_unit_test(test_smashed_behind_and_free_in_front),
        cmocka_unit_test(test_nothing_free),
        cmocka_unit_test(test_pages_kept),
        cmocka_unit_test(test_index_size),
        cmocka_unit_test(test_index_figure),
        cmocka_unit_test(test_index_bytes),
        cmocka_unit_test(test_index_page_of_upper_levels),
        cmocka_unit_test(test_index_pages_at_their_borders),
        cmocka_unit_test(test_small_objects_are_the_rule),
        cmocka_unit_test(test_chunk_at_the_start),
        cmocka_unit_test(test_chunk_lower_than_another),
        cmocka_unit_test(test_no_page_for_a_chunk),
        cmocka_unit_test(test_head_of_a_chunk_smashed),
        cmocka_unit_test(test_pointer_where_chunks_were),
    };

    return cmocka_run_group_tests(tests, open_arena, NULL);
}
