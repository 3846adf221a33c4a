/*
 * The heap's pages: the first ones, those that are kept, and what other threads do while some are
 * waited for.
 *
 * In the pictures U is a used block, f a free one, | a border and ~ the wilderness.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <heap.h>
#include "heap_arena.h"
#include "mem/first_fit.h"
#include "mem/heap_core.h"
#include "mem/small.h"
#include "support.h"

/* ---- The beginning ---- */

/* The window is a whole number of pages, as many as the first ones at least. */
static void test_windows_that_are_none(void **state)
{
    (void)state;
    reset(MIB);
    const vaddr_t index = (vaddr_t)first_fit.tree.nodes, base = (vaddr_t)arena;
    close_arena();
    sys.initialising = true;
    EXPECT_PANIC("assertion", heap_init(base + 8, MIB, index));
    EXPECT_PANIC("assertion", heap_init(base, MIB + 8, index));
    EXPECT_PANIC("assertion", heap_init(base, FIRST_BYTES - PAGE_SIZE, index));
    heap_init(base, FIRST_BYTES, index);
    assert_int_equal(sys.heap_pages, HEAP_FIRST_PAGES);
    assert_int_equal(heap_validate(), HEAP_SOUND);
    sys.initialising = false;
}

/* Without the first pages there is nothing to go on with, whichever of them cannot be had. */
static void test_no_first_pages(void **state)
{
    (void)state;
    reset(MIB);
    const vaddr_t index = (vaddr_t)first_fit.tree.nodes;
    for (volatile uint32_t nth = 1; nth <= 2; nth++) {
        close_arena();
        sys.initialising = true;
        fail_requests(nth, true);
        EXPECT_PANIC("too little memory: no frames for the heap's first pages",
                     heap_init((vaddr_t)arena, MIB, index));
        sys.initialising = false;
    }
    fail_requests(NEVER, false);
}

static void test_nothing_counted_yet(void **state)
{
    (void)state;
    reset(MIB);
    struct heap_stats stats = heap_get_stats();
    assert_int_equal(stats.allocs, 0);
    assert_int_equal(stats.frees, 0);
    assert_int_equal(stats.used, 0);
    assert_int_equal(stats.peak, 0);
    assert_int_equal(stats.blocks, 0);
}

/* ---- Pages that are kept ---- */

/*
 * In a larger heap too, up to 16 pages unused at the top stay, and of more 8. Here there are 12
 * bytes unused in front of the last `pages`.
 */
static void test_pages_kept_above_many(void **state)
{
    (void)state;
    for (uint32_t pages = 1; pages < 40; pages++) {
        reset(MIB);
        new_block(20 * PAGE_SIZE - 16, 8);
        void *last = kmalloc(pages * PAGE_SIZE - 4);
        assert_int_equal(sys.heap_pages, 20 + pages);
        kfree(last);
        assert_int_equal(sys.heap_pages, pages < 16 ? 20 + pages : 28);
        check_sound();
    }
}

/* There is nothing to give back any more when the heap comes to it: it gives nothing. */
static void test_trim_of_nothing(void **state)
{
    (void)state;
    for (uint32_t pages = 4; pages < 24; pages++) {
        reset(MIB);
        new_block(pages * PAGE_SIZE - 8, 8);
        heap_trim();
        assert_int_equal(sys.heap_pages, pages);
        assert_false(sys.growing);
        check_sound();
    }
}

/* ---- While another thread acts ---- */

#define OBJECT 48u

static uint8_t *object;

static void other_frees_object(void)
{
    kfree(object);
}

/*
 * A class has no idle object, and a page is missing for a chunk. While that is waited for, another
 * thread gives an object back: it serves, and the chunk is full again.
 *
 *   |U 400008|C full|U up to the last page's end|
 */
static void test_last_object_given_back_while_waiting(void **state)
{
    (void)state;
    reset_small(MIB);
    assert_non_null(kmalloc(400000));
    object = kmalloc(OBJECT);
    const struct chunk *chunk = (const struct chunk *)(object - sizeof(struct chunk));
    while (chunk->idle != 0)
        assert_non_null(kmalloc(OBJECT));
    assert_non_null(kmalloc(first_fit.mapped - first_fit.top - 2 * HEAP_HEAD));
    assert_int_equal(heap_get_stats().largest_free, 0);

    sys.while_waiting = other_frees_object;
    assert_ptr_equal(kmalloc(OBJECT), object);
    assert_null(sys.while_waiting);
    assert_int_equal(chunk->idle, 0);
    check_sound();
    sys.while_waiting = NULL;
    assert_ptr_not_equal(kmalloc(OBJECT), object);
    check_sound();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_counted_yet),
        cmocka_unit_test(test_windows_that_are_none),
        cmocka_unit_test(test_no_first_pages),
        cmocka_unit_test(test_pages_kept_above_many),
        cmocka_unit_test(test_trim_of_nothing),
        cmocka_unit_test(test_last_object_given_back_while_waiting),
    };

    return cmocka_run_group_tests(tests, open_arena, NULL);
}
