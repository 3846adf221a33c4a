/*
 * The pure parts of the checking build: what shadow memory says, its drawing, the descriptions of
 * stack frames, the order of locks.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "check/drawing.h"
#include "check/frame.h"
#include "check/order.h"
#include "check/place.h"
#include "check/shadow.h"
#include "support.h"

uint8_t host_memory[HOST_MEMORY] __attribute__((aligned(4096)));
uint8_t host_shadow[HOST_MEMORY >> SHADOW_SHIFT];

/* An address in the memory whose shadow there is. */
static vaddr_t at(size_t offset)
{
    return (vaddr_t)host_memory + offset;
}

vaddr_t check_stack_end(vaddr_t address)
{
    return address < at(0x1000) ? at(0x1000) : address;
}

static int clear(void **state)
{
    (void)state;
    memset(host_shadow, 0, sizeof(host_shadow));
    memset(host_memory, 0, sizeof(host_memory));
    return 0;
}

/* ---- Shadow ---- */

static void test_nothing_is_forbidden_at_first(void **state)
{
    vaddr_t forbidden;

    (void)state;
    for (size_t offset = 0; offset < 16; offset++) {
        for (size_t size = 0; size < 40; size++)
            assert_false(shadow_find_forbidden(at(offset), size, &forbidden));
        assert_int_equal(shadow_reason(at(offset)), 0);
    }
    assert_false(shadow_find_forbidden(at(0), HOST_MEMORY, &forbidden));
}

/* What bytes say one by one; the range check must say the same. */
static bool model_forbidden(vaddr_t start, size_t size, vaddr_t *forbidden)
{
    for (size_t i = 0; i < size; i++) {
        uint8_t value = *shadow_of(start + i);
        if (value >= 0x80 || (value != 0 && (start + i) % GRANULE >= value)) {
            *forbidden = start + i;
            return true;
        }
    }
    return false;
}

/* 0x100 .. 0x200 forbidden but for `size` bytes in the middle, as of a block. */
static void make_block(size_t size)
{
    shadow_forbid(at(0x100), 0x80, SHADOW_HEAP_LEFT);
    shadow_forbid(at(0x180), 0x80, SHADOW_HEAP_RIGHT);
    shadow_allow(at(0x180), size);
}

static void test_ranges_agree_with_single_bytes(void **state)
{
    (void)state;
    for (size_t block = 1; block <= 24; block++) {
        make_block(block);
        for (size_t start = 0x170; start < 0x1a8; start++) {
            for (size_t size = 0; size <= 48; size++) {
                vaddr_t found = 0, expected = 0;
                bool is = shadow_find_forbidden(at(start), size, &found);
                assert_int_equal(is, model_forbidden(at(start), size, &expected));
                if (is)
                    assert_int_equal(found, expected);
            }
        }
    }
}

/* Long ranges skip four granules at a time, from any granule on. */
static void test_one_forbidden_granule_is_found_in_a_long_range(void **state)
{
    (void)state;
    for (size_t granule = 0; granule < 40; granule++) {
        clear(NULL);
        shadow_forbid(at(granule * GRANULE), GRANULE, SHADOW_GLOBAL);
        for (size_t start = 0; start < 40; start += 3) {
            vaddr_t found = 0, expected = 0;
            bool is = shadow_find_forbidden(at(start), 400, &found);
            assert_int_equal(is, model_forbidden(at(start), 400, &expected));
            if (is)
                assert_int_equal(found, expected);
        }
    }
}

static void test_a_range_that_wraps_is_forbidden(void **state)
{
    vaddr_t forbidden = 0;

    (void)state;
    assert_true(shadow_find_forbidden(at(8), (size_t)-1, &forbidden));
    assert_int_equal(forbidden, at(8));
}

static void test_reasons(void **state)
{
    (void)state;
    make_block(13);
    assert_int_equal(shadow_reason(at(0x17f)), SHADOW_HEAP_LEFT);
    assert_int_equal(shadow_reason(at(0x180)), 0);
    assert_int_equal(shadow_reason(at(0x18c)), 0);
    assert_int_equal(shadow_reason(at(0x18d)), SHADOW_HEAP_RIGHT); /* in the last granule */
    assert_int_equal(shadow_reason(at(0x190)), SHADOW_HEAP_RIGHT);
    assert_string_equal(shadow_reason_text(SHADOW_HEAP_LEFT), "heap underflow");
    assert_string_equal(shadow_reason_text(SHADOW_HEAP_RIGHT), "heap overflow");
    assert_string_equal(shadow_reason_text(SHADOW_HEAP_FREED), "use after free");
    assert_string_equal(shadow_reason_text(SHADOW_STACK_MIDDLE), "stack out of bounds");
    assert_string_equal(shadow_reason_text(SHADOW_GLOBAL), "global out of bounds");
}

static void test_what_is_allowed_again_is_allowed_whole(void **state)
{
    vaddr_t forbidden;

    (void)state;
    shadow_forbid(at(0), 64, SHADOW_HEAP_FREED);
    shadow_allow(at(8), 16);
    assert_false(shadow_find_forbidden(at(8), 16, &forbidden));
    assert_true(shadow_find_forbidden(at(8), 17, &forbidden));
    assert_true(shadow_find_forbidden(at(7), 1, &forbidden));
}

/* ---- Drawing ---- */

static void test_a_row_shows_the_shadow_and_the_place(void **state)
{
    char text[DRAWING_COLUMNS], expected[DRAWING_COLUMNS];

    (void)state;
    make_block(20);
    drawing_row(at(0x180), at(0x194), text);
    snprintf(expected, sizeof(expected), "0x%08x: 00 00[04]fb fb fb fb fb fb fb fb fb fb fb fb fb",
             (unsigned)at(0x180));
    assert_string_equal(text, expected);
    drawing_row(at(0x180), at(0x1ff), text);
    assert_non_null(strstr(text, " fb fb[fb]"));
    drawing_row(at(0x180), at(0x180), text);
    assert_non_null(strstr(text, ":[00]00 04 fb"));
    drawing_row(at(0x180), at(0x200), text);
    assert_null(strchr(text, '['));
    assert_true(strlen(text) < DRAWING_COLUMNS - 1);
}

static uint32_t legend_lines(size_t start, size_t end)
{
    char text[DRAWING_COLUMNS];
    uint32_t lines = 0;

    for (uint32_t i = 0; drawing_legend(i, at(start), at(end), text); i++)
        lines += text[0] != '\0';
    return lines;
}

static void test_the_legend_has_what_occurs(void **state)
{
    (void)state;
    make_block(20);
    assert_int_equal(legend_lines(0, 0x80), 1);      /* free */
    assert_int_equal(legend_lines(0x100, 0x180), 1); /* before */
    assert_int_equal(legend_lines(0x100, 0x200), 4); /* before, free, a part, behind */
}

/* ---- Frames ---- */

static void test_a_description_is_read(void **state)
{
    const char *text = "32 10 8 buffer:7 64 4 1 i 96 300 12 a_long_name1 ";
    struct check_variable variable;

    (void)state;
    assert_true(check_variable_next(&text, &variable));
    assert_int_equal(variable.start, 32);
    assert_int_equal(variable.size, 10);
    assert_int_equal(variable.name_length, 6);
    assert_memory_equal(variable.name, "buffer", 6);
    assert_true(check_variable_next(&text, &variable));
    assert_int_equal(variable.start, 64);
    assert_int_equal(variable.name_length, 1);
    assert_true(check_variable_next(&text, &variable));
    assert_int_equal(variable.size, 300);
    assert_int_equal(variable.name_length, 12);
    assert_false(check_variable_next(&text, &variable));
}

static void test_the_nearest_variable_of_the_frame(void **state)
{
    uint32_t *words = (uint32_t *)at(0x400);
    struct check_variable variable;

    (void)state;
    words[0] = 0x41b58ab3;
    words[1] = (uint32_t)(uintptr_t) "2 32 10 3 one 64 24 5 other";
    words[2] = 0x1234;
    shadow_forbid(at(0x400), 32, SHADOW_STACK_LEFT);
    shadow_forbid(at(0x430), 16, SHADOW_STACK_MIDDLE);
    shadow_forbid(at(0x458), 8, SHADOW_STACK_RIGHT);

    assert_true(check_variable_find(at(0x42a), &variable));
    assert_int_equal(variable.start, at(0x420));
    assert_memory_equal(variable.name, "one", 3);
    assert_int_equal(variable.function, 0x1234);
    assert_true(check_variable_find(at(0x43f), &variable));
    assert_int_equal(variable.start, at(0x440));
    assert_true(check_variable_find(at(0x459), &variable));
    assert_int_equal(variable.size, 24);
    assert_true(check_variable_find(at(0x41f), &variable));
    assert_int_equal(variable.start, at(0x420));
    assert_false(check_variable_find(at(0x2000), &variable)); /* on no stack */
}

/* ---- The order of locks ---- */

static int locks[ORDER_EDGES + 2];

static void add(int held, int taken)
{
    struct order_edge edge = { .held = &locks[held], .taken = &locks[taken] };
    order_add(&edge);
}

static uint32_t path(int from, int to)
{
    const struct order_edge *edges[ORDER_PATH];
    uint32_t length = order_path(&locks[from], &locks[to], edges);

    if (length > 0) {
        assert_ptr_equal(edges[0]->held, &locks[from]);
        assert_ptr_equal(edges[length - 1]->taken, &locks[to]);
    }
    for (uint32_t i = 1; i < length; i++)
        assert_ptr_equal(edges[i]->held, edges[i - 1]->taken);
    return length;
}

static int forget_all(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < ORDER_EDGES + 2; i++)
        order_forget(&locks[i]);
    return 0;
}

static void test_paths_of_locks(void **state)
{
    (void)state;
    add(1, 2);
    add(2, 3);
    add(3, 4);
    assert_true(order_known(&locks[1], &locks[2]));
    assert_false(order_known(&locks[2], &locks[1]));
    assert_int_equal(path(1, 2), 1);
    assert_int_equal(path(1, 4), 3);
    assert_int_equal(path(4, 1), 0);
    assert_int_equal(path(2, 1), 0);
    add(1, 4);
    assert_int_equal(path(1, 4), 1); /* the shortest */
    order_forget(&locks[3]);
    assert_int_equal(path(2, 4), 0);
    assert_int_equal(path(1, 2), 1);
}

static void test_a_full_graph_begins_anew(void **state)
{
    (void)state;
    for (int i = 0; i < (int)ORDER_EDGES; i++)
        add(i, i + 1);
    assert_true(order_known(&locks[0], &locks[1]));
    add(5, 9);
    assert_false(order_known(&locks[0], &locks[1]));
    assert_int_equal(path(5, 9), 1);
}

/* A circle that is there already must not keep the search from ending. */
static void test_a_circle_is_searched_once(void **state)
{
    (void)state;
    add(1, 2);
    add(2, 1);
    assert_int_equal(path(1, 3), 0);
    assert_int_equal(path(1, 1), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_nothing_is_forbidden_at_first, clear),
        cmocka_unit_test_setup(test_ranges_agree_with_single_bytes, clear),
        cmocka_unit_test_setup(test_one_forbidden_granule_is_found_in_a_long_range, clear),
        cmocka_unit_test_setup(test_a_range_that_wraps_is_forbidden, clear),
        cmocka_unit_test_setup(test_reasons, clear),
        cmocka_unit_test_setup(test_what_is_allowed_again_is_allowed_whole, clear),
        cmocka_unit_test_setup(test_a_row_shows_the_shadow_and_the_place, clear),
        cmocka_unit_test_setup(test_the_legend_has_what_occurs, clear),
        cmocka_unit_test_setup(test_a_description_is_read, clear),
        cmocka_unit_test_setup(test_the_nearest_variable_of_the_frame, clear),
        cmocka_unit_test_setup(test_paths_of_locks, forget_all),
        cmocka_unit_test_setup(test_a_full_graph_begins_anew, forget_all),
        cmocka_unit_test_setup(test_a_circle_is_searched_once, forget_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
