/*
 * First fit by itself: what is in no answer of the heap, but decides how fast and how safe it is.
 * Which free block is outside, which words are heads, what broken memory meets on the rarer ways.
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
#include "support.h"

/*
 * The head of a free block is cleared when the one in front grows over it.
 *
 *   |U 32|f 64  |U 32|~~~      |U 64  |f 32|U 32|~~~      |U 96        |U 32|~~~
 */
static void test_head_grown_over_is_cleared(void **state)
{
    (void)state;
    for (size_t size = 64; size <= 96; size += 32) {
        reset(64 * KIB);
        void *block = new_block(32, 8), *hole = new_block(64, 40);
        new_block(32, 104);
        kfree(hole);
        assert_int_equal(*word(36), 64);
        assert_ptr_equal(krealloc(block, size - HEAP_HEAD), block);
        assert_int_equal(*word(36), 0);
        check_sound();
    }
}

/* Pages would not help a block that has another one behind it: none are asked for. */
static void test_resize_needs_no_pages(void **state)
{
    (void)state;
    reset(64 * KIB);
    void *block = new_block(32, 8), *behind = new_block(32, 40);
    vaddr_t need = 1;
    assert_false(first_fit_resize(payload_block(block), 64, &need));
    assert_int_equal(need, 0);
    assert_false(first_fit_resize(payload_block(behind), 64 * KIB, &need));
    assert_int_equal(need, block_address(payload_block(behind)) + 64 * KIB);
    check_sound();
}

/*
 * Free blocks are known wherever they are in their list, and the one outside; used ones are not.
 *
 *   |U 16|U 3000|outside|U|      |U|f 32|U|f 32|U|f 32|U|~~~
 */
static void test_knows_free_blocks(void **state)
{
    void *used[4], *holes[3];

    (void)state;
    reset(64 * KIB);
    new_block(16, 8);
    void *hole = new_block(3064, 24);
    used[0] = new_block(1016, 3088); /* up to the border of two segments */
    for (size_t i = 0; i < 3; i++) {
        holes[i] = new_block(32, 4104 + 64 * i);
        used[i + 1] = new_block(32, 4136 + 64 * i);
    }
    kfree(hole);
    new_block(3000, 24);
    for (size_t i = 0; i < 3; i++)
        kfree(holes[i]);
    assert_ptr_equal(first_fit.outside, at(3020));
    assert_true(first_fit_knows(first_fit.outside));
    for (size_t i = 0; i < 3; i++) {
        assert_true(first_fit_knows(payload_block(holes[i])));
        assert_false(first_fit_knows(block_at(block_address(payload_block(holes[i])) + 8)));
    }
    for (size_t i = 0; i < 4; i++)
        assert_false(first_fit_knows(payload_block(used[i])));
    check_sound();
}

/* An aligned block is cut from no free block whose head was written over. */
static void test_smashed_gap(void **state)
{
    (void)state;
    for (volatile int larger = 0; larger < 2; larger++) {
        reset(64 * KIB);
        new_block(32, 8);
        void *hole = new_block(256, 40);
        new_block(32, 296);
        kfree(hole);
        *word(36) = larger ? 264 : 248;
        EXPECT_PANIC("smashed", kmalloc_aligned(28, 32) == NULL ? fail() : (void)0);
        sys.spinning = false;
    }
}

/*
 * A listed block is cut. Its rest, in the next segment, is from now on the one outside: if it is
 * larger than the one there was, and no free block is left in the list in front of it.
 *
 *   |U|f or U 64|U|f 6000       |U|f 8000       |U|~~~
 *   |U|f or U 64|U|U 3000|f 3000|U|U    |outside|U|~~~
 */
static void cut_listed(bool others, size_t outside_size, bool goes_outside)
{
    reset(MIB);
    new_block(16, 8);
    void *in_front = new_block(64, 24);
    new_block(16, 88);
    void *hole = new_block(6000, 104);
    new_block(16, 6104);
    void *high = new_block(8000, 6120);
    new_block(16, 14120);
    kfree(high);
    assert_null(first_fit.outside);
    new_block(8000 - outside_size, 6120);
    assert_ptr_equal(first_fit.outside, at(14116 - outside_size));
    assert_int_equal(first_fit.outside_size, outside_size);

    kfree(hole);
    if (others)
        kfree(in_front);
    new_block(3000, 104);
    assert_ptr_equal(first_fit.outside, at(goes_outside ? 3100 : 14116 - outside_size));
    assert_int_equal(first_fit.outside_size, goes_outside ? 3000 : outside_size);
    check_sound();
}

static void test_which_rest_is_outside(void **state)
{
    (void)state;
    cut_listed(false, 2992, true);
    cut_listed(false, 3000, false);
    cut_listed(false, 3008, false);
    cut_listed(true, 2992, false);
    cut_listed(true, 3008, false);
}

/* What a block leaves of the one outside, into which it grows, stays outside. */
static void test_rest_of_outside_is_outside(void **state)
{
    (void)state;
    reset(64 * KIB);
    new_block(16, 8);
    void *hole = new_block(6000, 24);
    new_block(16, 6024);
    kfree(hole);
    void *block = new_block(3000, 24);
    assert_ptr_equal(first_fit.outside, at(3020));
    assert_ptr_equal(krealloc(block, 3500 - HEAP_HEAD), block);
    assert_ptr_equal(first_fit.outside, at(3524));
    assert_int_equal(first_fit.outside_size, 2496);
    check_sound();
}

/*
 * An aligned request takes the block outside as it takes a listed one: if that has room for any
 * alignment, which is block + alignment + 8 bytes.
 *
 *   |U 16|U 3000|outside|U|~~~    block 32, alignment 32: 72 bytes are asked for
 */
static void test_aligned_from_outside(void **state)
{
    (void)state;
    for (size_t size = 64; size <= 80; size += 8) {
        reset(64 * KIB);
        new_block(16, 8);
        void *hole = new_block(3000 + size, 24);
        new_block(16, 3024 + size);
        kfree(hole);
        new_block(3000, 24);
        assert_ptr_equal(first_fit.outside, at(3020));
        assert_int_equal(kmalloc_aligned(28, 32) < at(3024 + size), size >= 72);
        check_sound();
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head_grown_over_is_cleared),
        cmocka_unit_test(test_resize_needs_no_pages),
        cmocka_unit_test(test_knows_free_blocks),
        cmocka_unit_test(test_smashed_gap),
        cmocka_unit_test(test_which_rest_is_outside),
        cmocka_unit_test(test_rest_of_outside_is_outside),
        cmocka_unit_test(test_aligned_from_outside),
    };

    return cmocka_run_group_tests(tests, open_arena, NULL);
}
