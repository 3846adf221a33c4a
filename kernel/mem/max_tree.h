/*
 * A tree of maxima over segments: which is the first segment whose value is at least so much?
 *
 *                  [9]                  the root: the largest value of all
 *      [9]        [4]  [0]  [0]         a node is the largest of its four children
 *   [1 3 9 2]  [4 0 4 1] ...            a leaf is a segment's own value
 *
 * The tree lies in one array. The children of node i are the nodes 4i to 4i + 3, so that level L
 * begins at node 4^L, and segment s is leaf `leaves + s`. `root` stands above the segments in use
 * and not above the whole array: a search goes down no further than they need. The root's parent,
 * if only node 0, is UINT32_MAX: there every change stops on its way up.
 *
 * Pure. The caller sees to it that the array's pages are there (heap_index.h), all zero at first.
 */
#ifndef MEM_MAX_TREE_H
#define MEM_MAX_TREE_H

#include <types.h>

#define MAX_TREE_FAN   4u
#define MAX_TREE_DEPTH 11u /* enough for segments of 2 KiB and all addresses of 32 bits */
#define MAX_TREE_NODE  ((uint32_t)sizeof(uint32_t))

struct max_tree {
    uint32_t *nodes;
    uint32_t *leaf;   /* each segment's own value: nodes + leaves */
    uint32_t *top;    /* the largest of all: nodes + root */
    uint32_t leaves;  /* node of segment 0: a power of 4, and at least as many as segments */
    uint32_t root;    /* leaves / 4^k for a k of at least 1 */
    uint32_t root_at; /* its offset, see max_tree_at() */
    uint32_t depth;   /* levels below the root, 1 to MAX_TREE_DEPTH */
};

/* All values are 0, and the root stands nowhere before max_tree_cover(). */
static inline void max_tree_init(struct max_tree *tree, uint32_t *nodes, uint32_t leaves)
{
    uint32_t root = leaves / MAX_TREE_FAN;

    *tree = (struct max_tree){
        .nodes = nodes,
        .leaf = nodes + leaves,
        .top = nodes + root,
        .leaves = leaves,
        .root = root,
        .root_at = root * MAX_TREE_NODE,
        .depth = 1,
    };
}

/*
 * On the ways through the tree a node is named by its distance from nodes[0] in bytes, `offset`:
 * FAN times that is the offset of its first child. A segment is named by its leaf's.
 */
static inline uint32_t *max_tree_at(uint32_t *nodes, uint32_t offset)
{
    return (uint32_t *)((char *)nodes + offset);
}

static inline uint32_t max_tree_value(const struct max_tree *tree, uint32_t leaf)
{
    return *max_tree_at(tree->nodes, leaf);
}

static inline uint32_t max_tree_parent(uint32_t offset)
{
    return offset / MAX_TREE_FAN & ~(MAX_TREE_NODE - 1);
}

/* The first child whose value is at least `value`, of a node of which one's is. */
static inline uint32_t max_tree_child(uint32_t *nodes, uint32_t offset, uint32_t value)
{
    offset *= MAX_TREE_FAN;
    if (*max_tree_at(nodes, offset) < value &&
        *max_tree_at(nodes, offset += MAX_TREE_NODE) < value &&
        *max_tree_at(nodes, offset += MAX_TREE_NODE) < value)
        offset += MAX_TREE_NODE;
    return offset;
}

/*
 * The first segment whose value is at least `value`; the caller knows that there is one. A loop
 * would have to ask at each level whether it is the last.
 */
static inline __attribute__((always_inline)) uint32_t max_tree_first(const struct max_tree *tree,
                                                                     uint32_t value)
{
    uint32_t *nodes = tree->nodes;
    uint32_t offset = tree->root_at;

    switch (tree->depth) {
    case 11:
        offset = max_tree_child(nodes, offset, value);
        FALLTHROUGH;
    case 10:
        offset = max_tree_child(nodes, offset, value);
        FALLTHROUGH;
    case 9:
        offset = max_tree_child(nodes, offset, value);
        FALLTHROUGH;
    case 8:
        offset = max_tree_child(nodes, offset, value);
        FALLTHROUGH;
    case 7:
        offset = max_tree_child(nodes, offset, value);
        FALLTHROUGH;
    case 6:
        offset = max_tree_child(nodes, offset, value);
        FALLTHROUGH;
    case 5:
        offset = max_tree_child(nodes, offset, value);
        FALLTHROUGH;
    case 4:
        offset = max_tree_child(nodes, offset, value);
        FALLTHROUGH;
    case 3:
        offset = max_tree_child(nodes, offset, value);
        FALLTHROUGH;
    case 2:
        offset = max_tree_child(nodes, offset, value);
        FALLTHROUGH;
    default:
        return max_tree_child(nodes, offset, value);
    }
}

/* A segment's value has grown to `value`. */
static inline void max_tree_raise(const struct max_tree *tree, uint32_t leaf, uint32_t value)
{
    uint32_t *nodes = tree->nodes, offset = leaf;

    do {
        *max_tree_at(nodes, offset) = value;
        offset = max_tree_parent(offset);
    } while (*max_tree_at(nodes, offset) < value);
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
static inline void max_tree_lower(const struct max_tree *tree, uint32_t leaf, uint32_t value)
{
    uint32_t *nodes = tree->nodes, offset = leaf;
    uint32_t old = *max_tree_at(nodes, leaf);

    do {
        *max_tree_at(nodes, offset) = value;
        offset = max_tree_parent(offset);
        if (*max_tree_at(nodes, offset) != old)
            return;
        value = max_tree_of_four(max_tree_at(nodes, offset * MAX_TREE_FAN));
    } while (value != old);
}

/*
 * Puts the root above segments 0 to `last`, and no higher. Those behind have the value 0, so that
 * a node that becomes the root's parent is the root's equal. The root's parent is there as well.
 */
static inline void max_tree_cover(struct max_tree *tree, uint32_t last)
{
    uint32_t root = tree->leaves / MAX_TREE_FAN, depth = 1;

    for (uint32_t covered = MAX_TREE_FAN; covered <= last; covered *= MAX_TREE_FAN, depth++)
        root /= MAX_TREE_FAN;
    for (; tree->root > root; tree->root /= MAX_TREE_FAN)
        tree->nodes[tree->root / MAX_TREE_FAN] = tree->nodes[tree->root];
    tree->root = root;
    tree->depth = depth;
    tree->top = tree->nodes + root;
    tree->root_at = root * MAX_TREE_NODE;
    tree->nodes[root / MAX_TREE_FAN] = UINT32_MAX;
}

#endif
