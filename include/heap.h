/*
 * The kernel heap: kmalloc and kfree over a window of virtual addresses, grown page by page.
 *
 * First fit by address: a request takes the lowest free block that is large enough, so that every
 * placement can be predicted; in a large heap small requests share blocks, as predictably
 * (mem/small.h). All functions lock for themselves, may sleep while pages are mapped,
 * and must not be called from interrupt handlers (asserted).
 *
 * Pure but for what heap_system.h and heap_lock.h ask of the system.
 */
#ifndef HEAP_H
#define HEAP_H

#include <types.h>

/*
 * Sets the heap up, empty, on the window [base, base + size) and maps its first pages. The window
 * [index, index + heap_index_size(size)) is for what the heap must remember of it.
 * base, index: multiples of the page size; size: a multiple of it, at least HEAP_FIRST_PAGES pages.
 * Panics when the first pages cannot be had.
 */
void heap_init(vaddr_t base, size_t size, vaddr_t index);

/* Bytes of address space for the index of a window of `size` bytes. */
size_t heap_index_size(size_t size);

/*
 * Whether small requests are served from chunks (mem/small.h); after heap_init() they are. What is
 * allocated stays valid.
 */
void heap_use_small(bool use);

#define HEAP_FIRST_PAGES 4u /* mapped by heap_init() and never given back */

/* The largest alignment of kmalloc_aligned(). */
#define HEAP_MAX_ALIGN   4096u

/*
 * At least `size` bytes at a multiple of 8, contents undefined. NULL when size is 0 or cannot be
 * had: the heap is then as it was, but that chunks without a live object were given back.
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

/* Whether `ptr` is what kmalloc() returned and is live. Any address is allowed. */
bool heap_is_live(const void *ptr);

struct heap_stats {
    size_t mapped;       /* bytes of the window that are mapped, from its start */
    size_t total;        /* that and the index's pages, in bytes */
    size_t used;         /* bytes in live blocks, heads included, and live objects of chunks */
    size_t peak;         /* the highest `used` so far */
    size_t largest_free; /* the largest free block or the mapped wilderness, in bytes */
    size_t blocks;       /* live, objects of chunks one by one */
    size_t extent;       /* bytes from the window's base to the highest that a block ever reached */
    size_t index;        /* bytes of index and tables, beside the window, for this extent */
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

/* What kmalloc() and its family gave and is live. */
struct heap_allocation {
    vaddr_t payload;
    size_t size;   /* that was asked for; without a guard, that may be used */
    vaddr_t owner; /* the return address of the call that allocated it; 0 without a guard */
};

/*
 * The first live allocation behind `payload`, in address order; 0 gives the first of all. False if
 * there is none. Other threads may allocate and free between two calls.
 */
bool heap_next_allocation(vaddr_t payload, struct heap_allocation *allocation);

/* What heap_validate() found. */
enum heap_fault {
    HEAP_SOUND,
    HEAP_BAD_TOP,        /* the wilderness begins outside the mapped pages */
    HEAP_BAD_SIZE,       /* a head makes no sense: size, flags, or no head at all */
    HEAP_BAD_END,        /* a free block's last word is not its size */
    HEAP_BAD_FLAG,       /* a block is wrong about whether the one in front is free */
    HEAP_UNMERGED,       /* two free blocks touch */
    HEAP_FREE_BELOW_TOP, /* a free block touches the wilderness */
    HEAP_BAD_LIST,       /* a segment's list is not exactly its free blocks in address order */
    HEAP_BAD_TREE,       /* the tree does not hold the largest of each list */
    HEAP_BAD_CHUNK,      /* a chunk's idle objects, counts or list are wrong */
    HEAP_BAD_TABLE,      /* the table of chunks is wrong about one */
    HEAP_USED_COUNT,     /* bytes in live blocks and objects differ from the figure */
    HEAP_BLOCK_COUNT,    /* live blocks and objects differ from allocs - frees */
};

/* Walks everything and recounts all figures. */
enum heap_fault heap_validate(void);

#endif
