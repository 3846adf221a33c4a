/*
 * Starvation: which request fails, what is counted, and that each call of the heap's asks once.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include <mem/starve.h>
#include "heap_arena.h"

static void expect_seen(uint32_t frames, uint32_t tables, uint32_t blocks)
{
    struct starve_state state = starve_get();

    assert_int_equal(state.seen[STARVE_FRAME], frames);
    assert_int_equal(state.seen[STARVE_TABLE], tables);
    assert_int_equal(state.seen[STARVE_BLOCK], blocks);
}

static void test_off(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 10; i++)
        assert_false(starves(STARVE_FRAME));
    assert_false(starve_get().on);
    expect_seen(0, 0, 0);
}

/*   1 frame   2 block   3 table   4 frame
 *     ok        ok       fails      ok, and not counted any more
 */
static void test_once(void **state)
{
    (void)state;
    starve_begin(3, false);
    assert_true(starve_get().on);
    assert_false(starves(STARVE_FRAME));
    assert_false(starves(STARVE_BLOCK));
    expect_seen(1, 0, 1);
    assert_int_equal(starve_get().failed, 0);
    assert_true(starves(STARVE_TABLE));
    assert_false(starve_get().on);
    for (uint32_t i = 0; i < 10; i++)
        assert_false(starves(STARVE_FRAME));
    expect_seen(1, 1, 1);
    assert_int_equal(starve_get().failed, 1);
    assert_int_equal(starve_get().first, STARVE_TABLE);
}

/* Another thread asks after starves() has looked, and before the request that fails is counted. */
static void test_asked_at_the_same_time(void **state)
{
    (void)state;
    starve_begin(1, false);
    assert_true(starve_count(STARVE_FRAME));
    assert_false(starve_count(STARVE_BLOCK));
    assert_int_equal(starve_get().failed, 1);
    expect_seen(1, 0, 0);
}

/* While requests are counted none need not ask; before and after that the small ones need not. */
static void test_unasked(void **state)
{
    (void)state;
    starve_set_unasked(100);
    assert_int_equal(starve_unasked, 100);
    starve_begin(2, false);
    assert_int_equal(starve_unasked, 0);
    starve_set_unasked(200);
    assert_int_equal(starve_unasked, 0);
    assert_false(starves(STARVE_BLOCK));
    assert_int_equal(starve_unasked, 0);
    assert_true(starves(STARVE_BLOCK)); /* and nothing is counted any more */
    assert_int_equal(starve_unasked, 200);
    starve_begin(1, true);
    assert_true(starves(STARVE_BLOCK));
    assert_int_equal(starve_unasked, 0);
    starve_end();
    assert_int_equal(starve_unasked, 200);
    starve_set_unasked(0);
    assert_int_equal(starve_unasked, 0);
}

static void test_texts(void **state)
{
    (void)state;
    assert_string_equal(starve_kind_text(STARVE_FRAME), "frame");
    assert_string_equal(starve_kind_text(STARVE_TABLE), "page table");
    assert_string_equal(starve_kind_text(STARVE_BLOCK), "block");
}

static void test_forever(void **state)
{
    (void)state;
    starve_begin(2, true);
    assert_false(starves(STARVE_TABLE));
    assert_true(starves(STARVE_BLOCK));
    for (uint32_t i = 0; i < 10; i++)
        assert_true(starves(STARVE_FRAME));
    assert_true(starve_get().on);
    assert_int_equal(starve_get().failed, 11);
    assert_int_equal(starve_get().first, STARVE_BLOCK);
    expect_seen(10, 1, 1);

    starve_end();
    assert_false(starves(STARVE_FRAME));
    assert_false(starve_get().on);
    expect_seen(10, 1, 1);
}

static void test_beginning_anew(void **state)
{
    (void)state;
    starve_begin(1, true);
    assert_true(starves(STARVE_FRAME));
    starve_begin(2, false);
    expect_seen(0, 0, 0);
    assert_int_equal(starve_get().failed, 0);
    assert_false(starves(STARVE_FRAME));
    assert_true(starves(STARVE_FRAME));
    starve_end();
}

/* ---- The heap ---- */

static void test_heap_calls(void **state)
{
    (void)state;
    reset_small(MIB);
    char *kept = kmalloc(100);
    strcpy(kept, "kept");

    starve_begin(1, true);
    assert_null(kmalloc(10));
    assert_null(kmalloc(10000));
    assert_null(kcalloc(10, 10));
    assert_null(kmalloc_aligned(10, 8));
    assert_null(kmalloc_aligned(10, 64));
    assert_null(krealloc(kept, 5000));
    assert_null(krealloc(NULL, 5));
    starve_end();
    expect_seen(0, 0, 7); /* each asked once */
    assert_int_equal(starve_get().failed, 7);
    assert_string_equal(kept, "kept");
    check_sound();

    starve_begin(1, true);
    kfree(kept); /* what gives memory back asks for none */
    kfree(NULL);
    starve_end();
    expect_seen(0, 0, 0);
}

/* A krealloc that has to move asks for a second block, and without it the first stays. */
static void test_realloc_that_moves(void **state)
{
    (void)state;
    reset(MIB);
    char *first = kmalloc(100), *behind = kmalloc(100);
    strcpy(first, "first");

    starve_begin(2, false);
    assert_null(krealloc(first, 1000));
    expect_seen(0, 0, 2);
    assert_string_equal(first, "first");
    char *moved = krealloc(first, 1000);
    assert_ptr_not_equal(moved, first);
    assert_string_equal(moved, "first");
    kfree(moved);
    kfree(behind);
    check_sound();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_off),
        cmocka_unit_test(test_once),
        cmocka_unit_test(test_asked_at_the_same_time),
        cmocka_unit_test(test_unasked),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_forever),
        cmocka_unit_test(test_beginning_anew),
        cmocka_unit_test(test_heap_calls),
        cmocka_unit_test(test_realloc_that_moves),
    };

    return cmocka_run_group_tests(tests, open_arena, NULL);
}
