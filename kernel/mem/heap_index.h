/*
 * The pages of the heap's index: tree, lists' starts and the table of granules, as far as the heap
 * is mapped.
 *
 * The index has a window of its own. Each of its arrays is used from its start as the heap grows,
 * the tree level by level (max_tree.h), and has pages up to there and no further. The caller holds
 * the heap's grow mutex; the heap uses no more of the index than is there.
 */
#ifndef MEM_HEAP_INDEX_H
#define MEM_HEAP_INDEX_H

#include "mem/first_fit.h"
#include "mem/small.h"
#include <types.h>

struct heap_index {
    uint32_t *nodes;
    struct block **first;
    uint32_t *granules;
};

/*
 * Lays the index of a heap window of `size` bytes out from `base` on, a multiple of the page size;
 * nothing is mapped yet.
 */
struct heap_index heap_index_init(vaddr_t base, size_t size);

/* The bytes of address space that such an index takes: a multiple of the page size. */
size_t heap_index_window(size_t size);

/* Maps, all zero, what the heap's first `bytes` bytes need. All or nothing; false if no memory. */
bool heap_index_grow(size_t bytes) MUST_CHECK;

/* Gives back what the heap's first `bytes` bytes do not need. */
void heap_index_shrink(size_t bytes);

/* Bytes of pages that are mapped now. */
size_t heap_index_mapped(void);

/* Bytes of entries that the heap's first `bytes` bytes need, rounded to no page. */
size_t heap_index_bytes(size_t bytes);

#endif
