/*
 * The kernel heap: kmalloc and kfree over a window of virtual addresses, grown page by page.
 *
 * First fit by address: a request takes the lowest free block that is large enough, so that every
 * placement can be predicted. All functions lock for themselves, may sleep while pages are mapped,
 * and must not be called from interrupt handlers (asserted).
 *
 * Pure but for what heap_system.h asks of the system.
 */
#ifndef HEAP_H
#define HEAP_H

#include <types.h>

/*
 * Sets the heap up, empty, on the window [base, base + size) and maps its first pages.
 * base: a multiple of the page size; size: a multiple of it, at least HEAP_FIRST_PAGES pages.
 * Panics when the first pages cannot be had.
 */
void heap_init(vaddr_t base, size_t size);

#define HEAP_FIRST_PAGES 4u /* mapped by heap_init() and never given back */

/* The largest alignment of kmalloc_aligned(). */
#define HEAP_MAX_ALIGN   4096u

/*
 * At least `size` bytes at a multiple of 8, contents undefined. NULL when size is 0 or cannot be
 * had: the heap is then as it was.
 */
void *kmalloc(size_t size) MUST_CHECK;

/* The same at a multiple of `align`: a power of two up to HEAP_MAX_ALIGN, else NULL. */
void *kmalloc_aligned(size_t size, size_t align) MUST_CHECK;

/* `count` times `size` bytes, all zero; NULL when the product overflows or is 0. */
void *kcalloc(size_t count, size_t size) MUST_CHECK;

/*
 * Resizes a block, in place where a neighbour allows, and keeps its contents up to the smaller
 * size. NULL: the block is as it was. krealloc(NULL, n) is kmalloc(n); krealloc(p, 0) frees p and
 * returns NULL.
 */
void *krealloc(void *ptr, size_t size) MUST_CHECK;

/* Gives a block back; NULL does nothing. Panics if `ptr` is not exactly a live block's payload. */
void kfree(void *ptr);

/* Bytes that may be used at `ptr`: at least what was asked for. */
size_t kmalloc_usable_size(const void *ptr);

/* Whether `ptr` is the payload of a live block. Any address is allowed; walks the blocks. */
bool heap_is_live(const void *ptr);

struct heap_stats {
    size_t total;        /* bytes mapped */
    size_t used;         /* bytes in live blocks, heads included */
    size_t peak;         /* the highest `used` so far */
    size_t largest_free; /* the largest free block or the mapped wilderness, in bytes */
    size_t blocks;       /* live */
    uint64_t allocs;     /* since heap_init() */
    uint64_t frees;
};

struct heap_stats heap_get_stats(void);

enum heap_block_kind {
    HEAP_USED,
    HEAP_FREE,
    HEAP_TOP, /* the mapped wilderness; always the last, its size may be 0 */
};

struct heap_block {
    vaddr_t payload; /* what kmalloc returned or would return */
    size_t size;     /* with its head: payload + size is the next block's payload */
    enum heap_block_kind kind;
};

/*
 * The block at or behind `payload`, in address order; 0 gives the first. False behind the
 * wilderness. Between two calls the heap may change: the walk then goes on at the next block
 * that is there.
 */
bool heap_next_block(vaddr_t payload, struct heap_block *block);

/* What heap_validate() found. */
enum heap_fault {
    HEAP_SOUND,
    HEAP_BAD_SIZE,       /* a block's size is below 16, no multiple of 8 or beyond the top */
    HEAP_BAD_LIST,       /* the free list is not exactly the free blocks in address order */
    HEAP_UNMERGED,       /* two free blocks touch */
    HEAP_FREE_BELOW_TOP, /* a free block touches the wilderness */
    HEAP_USED_COUNT,     /* bytes in live blocks differ from the figure */
    HEAP_BLOCK_COUNT,    /* live blocks differ from the figure, or from allocs - frees */
    HEAP_BAD_TOP,        /* the wilderness begins outside the mapped pages */
};

/* Walks everything and recounts all figures. */
enum heap_fault heap_validate(void);

#endif
