/*
 * Pools of pieces, and which interrupt queues a frame visits.
 *
 * Pages come from here, so that a test sees how many are out and can run out of them.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mem/layout.h"
#include "support.h"
#include <usb/host.h>
#include <usb/periodic.h>
#include <usb/pool.h>

static uint32_t pages_out, pages_left;

void *usb_alloc_page(void)
{
    if (pages_left == 0)
        return NULL;
    pages_left--;
    pages_out++;
    void *page = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
    return memset(page, 0, PAGE_SIZE);
}

void usb_free_page(void *page)
{
    pages_out--;
    free(page);
}

static int setup(void **state)
{
    (void)state;
    pages_out = 0;
    pages_left = 8;
    return 0;
}

/* ---- Pools ---- */

static void test_pieces_are_aligned_apart_and_zero(void **state)
{
    static const uint32_t sizes[] = { 16, 32, 128, PAGE_SIZE };
    (void)state;

    for (uint32_t s = 0; s < ARRAY_SIZE(sizes); s++) {
        struct usb_pool pool;
        uint32_t count = 2 * PAGE_SIZE / sizes[s];
        uint8_t **pieces = calloc(count, sizeof(*pieces));

        pages_left = 2;
        assert_true(usb_pool_init(&pool, sizes[s], 2));
        assert_int_equal(pool.total, count);
        for (uint32_t i = 0; i < count; i++) {
            pieces[i] = usb_pool_take(&pool);
            assert_non_null(pieces[i]);
            assert_int_equal(usb_phys(pieces[i]) % sizes[s], 0);
            for (uint32_t byte = 0; byte < sizes[s]; byte++)
                assert_int_equal(pieces[i][byte], 0); /* so no piece is handed out twice */
            memset(pieces[i], 0xa5, sizes[s]);
        }
        assert_null(usb_pool_take(&pool));
        for (uint32_t i = 0; i < count; i++)
            usb_pool_give(&pool, pieces[i]);
        usb_pool_destroy(&pool);
        assert_int_equal(pages_out, 0);
        free(pieces);
    }
}

static void test_a_piece_given_back_is_zero_when_taken_again(void **state)
{
    struct usb_pool pool;
    (void)state;

    assert_true(usb_pool_init(&pool, 64, 1));
    uint8_t *piece = usb_pool_take(&pool);
    memset(piece, 0xff, 64);
    usb_pool_give(&pool, piece);
    assert_ptr_equal(usb_pool_take(&pool), piece);
    for (uint32_t byte = 0; byte < 64; byte++)
        assert_int_equal(piece[byte], 0);
    usb_pool_give(&pool, piece);
    usb_pool_destroy(&pool);
}

static void test_a_pool_that_gets_too_few_pages_takes_none(void **state)
{
    struct usb_pool pool;
    (void)state;

    pages_left = 2;
    assert_false(usb_pool_init(&pool, 16, 3));
    assert_int_equal(pages_out, 0);
    usb_pool_destroy(&pool);
    assert_null(usb_pool_take(&pool));
}

static void test_only_the_pools_pieces_are_taken_back(void **state)
{
    struct usb_pool pool;
    _Alignas(PAGE_SIZE) static uint8_t elsewhere[PAGE_SIZE];
    (void)state;

    assert_true(usb_pool_init(&pool, 32, 1));
    uint8_t *piece = usb_pool_take(&pool);
    assert_true(usb_pool_owns(&pool, usb_phys(piece)));
    assert_true(usb_pool_owns(&pool, usb_phys(piece + 32)));
    assert_false(usb_pool_owns(&pool, usb_phys(piece + 16)));
    assert_false(usb_pool_owns(&pool, usb_phys(elsewhere)));
    assert_false(usb_pool_owns(&pool, 0));
    EXPECT_PANIC("usb_pool_owns", usb_pool_give(&pool, piece + 16));
    EXPECT_PANIC("usb_pool_owns", usb_pool_give(&pool, elsewhere));
    usb_pool_give(&pool, piece);
    EXPECT_PANIC("pool->free < pool->total", usb_pool_give(&pool, piece));
    usb_pool_destroy(&pool);
}

/* ---- Frames ---- */

static bool visits(uint32_t frame, uint32_t queue)
{
    return queue == 0 || periodic_queue_of_frame(frame) == queue;
}

static void test_each_queue_is_visited_at_its_period(void **state)
{
    (void)state;

    for (uint32_t queue = 0; queue < PERIODIC_QUEUES; queue++) {
        uint32_t visited = 0;
        for (uint32_t frame = 0; frame < 1024; frame++) {
            if (!visits(frame, queue))
                continue;
            visited++;
            assert_true(visits(frame + (1u << queue), queue));
        }
        assert_int_equal(visited, 1024 >> queue);
    }
    for (uint32_t frame = 0; frame < 1024; frame++)
        assert_int_equal(periodic_queue_of_frame(frame), periodic_queue_of_frame(frame + 1024));
}

static void test_the_slowest_queue_that_is_fast_enough(void **state)
{
    (void)state;

    assert_int_equal(periodic_queue_of_interval(0), 0);
    for (uint32_t interval = 1; interval <= 255; interval++) {
        uint32_t queue = periodic_queue_of_interval(interval);
        assert_in_range(queue, 0, PERIODIC_QUEUES - 1);
        assert_true(1u << queue <= interval);
        assert_true(queue == PERIODIC_QUEUES - 1 || 2u << queue > interval);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_pieces_are_aligned_apart_and_zero, setup),
        cmocka_unit_test_setup(test_a_piece_given_back_is_zero_when_taken_again, setup),
        cmocka_unit_test_setup(test_a_pool_that_gets_too_few_pages_takes_none, setup),
        cmocka_unit_test_setup(test_only_the_pools_pieces_are_taken_back, setup),
        cmocka_unit_test(test_each_queue_is_visited_at_its_period),
        cmocka_unit_test(test_the_slowest_queue_that_is_fast_enough),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
