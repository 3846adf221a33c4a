/*
 * A tree of maxima over segments: which is the first segment whose value is at least so much?
 *
 *                  [9]                  the root: the largest value of all
 *      [9]        [4]  [0]  [0]         a node is the largest of its four children
 *   [1 3 9 2]  [4 0 4 1] ...            a leaf is a segment's own value
 *
 * The tree lies in one array. The children of node i are the nodes 4i to 4i + 3, so that level L
 * begins at node 4^L, and segment s is leaf `leaves + s`. `root` stands above the segments in use
 * and not above the whole array: a search goes down no further than they need.
 *
 * Pure. The caller sees to it that the array's pages are there (heap_index.h), all zero at first.
 */
#ifndef MEM_MAX_TREE_H
#define MEM_MAX_TREE_H

#include <types.h>

#define MAX_TREE_FAN 4u

struct max_tree {
    uint32_t *nodes;
    uint32_t *leaf;  /* each segment's own value: nodes + leaves */
    uint32_t *top;   /* the largest of all: nodes + root */
    uint32_t leaves; /* node of segment 0: a power of 4, and at least as many as segments */
    uint32_t root;   /* leaves / 4^k for a k of at least 1 */
};

/* All values are 0, and the root stands above the first segments only. */
static inline void max_tree_init(struct max_tree *tree, uint32_t *nodes, uint32_t leaves)
{
    uint32_t root = leaves / MAX_TREE_FAN;

    *tree = (struct max_tree){ nodes, nodes + leaves, nodes + root, leaves, root };
}

/* The first segment whose value is at least `value`; the caller knows that there is one. */
static inline uint32_t max_tree_first(const struct max_tree *tree, uint32_t value)
{
    const uint32_t *nodes = tree->nodes;
    uint32_t i = tree->root * MAX_TREE_FAN;

    for (;;) {
        if (nodes[i] >= value)
            ;
        else if (nodes[i + 1] >= value)
            i += 1;
        else if (nodes[i + 2] >= value)
            i += 2;
        else
            i += 3;
        if (i >= tree->leaves)
            return i - tree->leaves;
        i *= MAX_TREE_FAN;
    }
}

/* A segment's value has grown to `value`. */
static inline void max_tree_raise(struct max_tree *tree, uint32_t segment, uint32_t value)
{
    uint32_t i = tree->leaves + segment;

    tree->leaf[segment] = value;
    while (i != tree->root) {
        i /= MAX_TREE_FAN;
        if (tree->nodes[i] >= value)
            return;
        tree->nodes[i] = value;
    }
}

static inline uint32_t max_tree_of_two(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static inline uint32_t max_tree_of_four(const uint32_t *nodes)
{
    return max_tree_of_two(max_tree_of_two(nodes[0], nodes[1]),
                           max_tree_of_two(nodes[2], nodes[3]));
}

/* A segment's value has shrunk to `value`. A node that was larger than the old one stays so. */
static inline void max_tree_lower(struct max_tree *tree, uint32_t segment, uint32_t value)
{
    uint32_t i = tree->leaves + segment;
    uint32_t old = tree->leaf[segment];

    tree->leaf[segment] = value;
    while (i != tree->root) {
        i /= MAX_TREE_FAN;
        if (tree->nodes[i] != old)
            return;
        value = max_tree_of_four(&tree->nodes[i * MAX_TREE_FAN]);
        if (value == old)
            return;
        tree->nodes[i] = value;
    }
}

/*
 * Puts the root above segments 0 to `last`, and no higher. Those behind have the value 0, so that
 * a node that becomes the root's parent is the root's equal.
 */
static inline void max_tree_cover(struct max_tree *tree, uint32_t last)
{
    uint32_t root = tree->leaves / MAX_TREE_FAN;

    for (uint32_t covered = MAX_TREE_FAN; covered <= last; covered *= MAX_TREE_FAN)
        root /= MAX_TREE_FAN;
    for (; tree->root > root; tree->root /= MAX_TREE_FAN)
        tree->nodes[tree->root / MAX_TREE_FAN] = tree->nodes[tree->root];
    tree->root = root;
    tree->top = tree->nodes + root;
}

#endif
