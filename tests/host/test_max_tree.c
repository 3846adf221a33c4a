/*
 * The tree of maxima by itself, as deep as it can be: a host test of the heap has a window of 64
 * MiB at most, and so never comes to the upper levels of a larger one.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>

#include "mem/max_tree.h"
#include "support.h"

static struct max_tree tree;

/* A tree over 4^depth segments, all of them covered. */
static void start(uint32_t depth)
{
    uint32_t leaves = 1u << 2 * depth;
    uint32_t *nodes = calloc(2 * (size_t)leaves, sizeof(*nodes));

    assert_non_null(nodes);
    max_tree_init(&tree, nodes, leaves);
    max_tree_cover(&tree, leaves - 1);
    assert_int_equal(tree.depth, depth);
}

static uint32_t leaf(uint32_t segment)
{
    return (tree.leaves + segment) * MAX_TREE_NODE;
}

/* The first segment that is large enough is found, from wherever to wherever. */
static void test_first_at_each_depth(void **state)
{
    struct prng prng = { 11 };

    (void)state;
    for (uint32_t depth = 1; depth <= MAX_TREE_DEPTH; depth++) {
        start(depth);
        for (uint32_t round = 0; round < 200; round++) {
            uint32_t low = prng_below(&prng, tree.leaves - 1);
            uint32_t high = low + 1 + prng_below(&prng, tree.leaves - low - 1);

            max_tree_raise(&tree, leaf(low), 7);
            max_tree_raise(&tree, leaf(high), 9);
            assert_int_equal(*tree.top, 9);
            assert_int_equal(max_tree_first(&tree, 7), leaf(low));
            assert_int_equal(max_tree_first(&tree, 8), leaf(high));
            max_tree_lower(&tree, leaf(low), 0);
            assert_int_equal(max_tree_first(&tree, 1), leaf(high));
            max_tree_lower(&tree, leaf(high), 0);
            assert_int_equal(*tree.top, 0);
        }
        free(tree.nodes);
    }
}

/* The root stands as low as it can: a level higher as soon as one segment more is covered. */
static void test_root_rises(void **state)
{
    (void)state;
    start(8);
    for (uint32_t depth = 1; depth < 8; depth++) {
        uint32_t segments = 1u << 2 * depth;

        max_tree_cover(&tree, segments - 1);
        assert_int_equal(tree.depth, depth);
        assert_int_equal(tree.leaves / tree.root, segments);
        max_tree_cover(&tree, segments);
        assert_int_equal(tree.depth, depth + 1);
        assert_ptr_equal(tree.top, &tree.nodes[tree.root]);
    }
    free(tree.nodes);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_at_each_depth),
        cmocka_unit_test(test_root_rises),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
