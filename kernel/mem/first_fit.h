/*
 * Address-ordered first fit: which bytes of the heap's window a block gets.
 *
 * The core of the heap, without locks, pages and counts of calls; kernel/heap.c puts those around
 * it. Sizes here are those of whole blocks, head included: multiples of 8, at least 16.
 *
 *   used   | head | payload ...                  |
 *   free   | size | next | ...            | size |
 *
 * A head is 4 bytes in front of a payload at a multiple of 8. In a free block it is the size. In
 * a used one it is size and flags, combined with the block's own address and a constant, so that
 * neither what a program writes nor a head that has moved passes for one. A word that stops being
 * a head is cleared. A free block repeats its size in its last word, where the block behind it,
 * which has PREV_FREE set, finds it.
 *
 * Free blocks are in lists: one for each segment of 2 KiB of the window, in address order, of the
 * blocks whose head lies there. A tree over the segments (max_tree.h) knows the largest of each
 * list. Only one free block at most is in no list: `outside`, the one that is being cut up; as
 * long as it serves, neither list nor tree changes. From `top` on is the wilderness, in no list
 * either.
 *
 * No operation looks at more than the blocks of two segments and the tree's nodes above them.
 */
#ifndef MEM_FIRST_FIT_H
#define MEM_FIRST_FIT_H

#include "mem/max_tree.h"
#include <types.h>

#define HEAP_ALIGN          8u
#define HEAP_HEAD           4u
#define MIN_BLOCK           16u

#define SEGMENT_SHIFT       11
#define SEGMENT_SIZE        (1u << SEGMENT_SHIFT)

#define BLOCK_USED          1u
#define PREV_FREE           2u
#define BLOCK_FLAGS         7u

/*
 * What a used head is combined with, besides its address, whose low bits are those of 4: so that
 * BLOCK_USED is set in memory, and gone from what is read. The factor is 2^32 over the golden
 * ratio, with 1 as its low bits: heads of neighbouring addresses differ in high bits too, so that
 * one that has moved has no size that could be true.
 */
#define HEAD_KEY            (0xb5c3a974u ^ BLOCK_USED)
#define HEAD_FACTOR         0x9e3779b1u

/* Calls on the way of every allocation pass their arguments in registers. */
#define IN_REGISTERS        __attribute__((regparm(3)))

#define NOINLINE            __attribute__((noinline))

#define UNLIKELY(condition) __builtin_expect(condition, false)

/* A function that would only crowd the registers of the common way, were it inlined there. */
#define RARELY              __attribute__((noinline, cold))

struct block {
    uint32_t head;
    struct block *next; /* in a free block: the next one in its segment's list */
};

struct first_fit {
    vaddr_t base, end;     /* the window */
    vaddr_t start;         /* base + HEAP_HEAD: the first head, and where offsets count from */
    vaddr_t mapped;        /* end of the pages that may be used */
    uint32_t mapped_size;  /* mapped - start */
    vaddr_t top;           /* the wilderness's first head */
    vaddr_t reach;         /* the highest that `top` ever was */
    vaddr_t limit;         /* the lower of `mapped` and `reach`: up to here is no question */
    struct max_tree tree;  /* the largest free block of each segment */
    struct block **first;  /* the lowest free block of each segment, or NULL */
    vaddr_t lists;         /* from here each list's anchor is as far as its leaf from `nodes` */
    vaddr_t origin;        /* where segment 0 would begin, were the first leaf node 0 */
    struct block *outside; /* the free block that is in no list, or NULL */
    uint32_t outside_size; /* 0 without one */
    size_t used;           /* bytes in used blocks */
};

/* The one heap. heap.c holds its lock around all of the following. */
extern struct first_fit first_fit;

static inline vaddr_t block_address(const struct block *block)
{
    return (vaddr_t)block;
}

static inline struct block *block_at(vaddr_t address)
{
    return (struct block *)address;
}

static inline void *block_payload(struct block *block)
{
    return (void *)(block_address(block) + HEAP_HEAD);
}

static inline struct block *payload_block(const void *payload)
{
    return block_at((vaddr_t)payload - HEAP_HEAD);
}

/* What a used block's head is combined with. */
static inline uint32_t head_mask(const struct block *block)
{
    return (uint32_t)block_address(block) * HEAD_FACTOR ^ HEAD_KEY;
}

/* A used block's size, and maybe PREV_FREE; anything at all if it is none. */
static inline uint32_t used_head(const struct block *block)
{
    return block->head ^ head_mask(block);
}

static inline uint32_t used_size(const struct block *block)
{
    return used_head(block) & ~BLOCK_FLAGS;
}

/* The flags of either kind of head are readable as they are. */
static inline bool block_is_used(const struct block *block)
{
    return block->head & BLOCK_USED;
}

/*
 * Whether `head`, used_head() of the block, is that of a used block: its flags are possible, its
 * size ends at the top or at a block that takes what is in front for used. `block` lies in
 * [start, mapped). Signed, because that may be above the top, and a size that is none anything.
 */
static inline bool head_is_sound(const struct block *block, uint32_t head)
{
    int32_t size = (int32_t)(head & ~BLOCK_FLAGS);
    int32_t left = (int32_t)(first_fit.top - block_address(block));

    if (UNLIKELY((head & BLOCK_FLAGS & ~PREV_FREE) != 0))
        return false;
    if (UNLIKELY(size >= left))
        return size == left && size >= (int32_t)MIN_BLOCK;
    if (UNLIKELY(size < (int32_t)MIN_BLOCK))
        return false;
    return !(block_at(block_address(block) + (uint32_t)size)->head & PREV_FREE);
}

static inline bool block_is_sound(const struct block *block)
{
    return head_is_sound(block, used_head(block));
}

/* Segments are aligned as the window's pages are: a head's segment follows from its address. */
static inline uint32_t segment_of(vaddr_t address)
{
    return (uint32_t)(address - first_fit.base) >> SEGMENT_SHIFT;
}

/*
 * An empty window [base, end), of which nothing is mapped. `nodes` and `first` are zero as far as
 * they are there: for the segments below `mapped`, whenever first_fit_map() moves that.
 */
void first_fit_init(vaddr_t base, vaddr_t end, uint32_t *nodes, struct block **first);

/* Nodes of the tree over a window of `size` bytes: leaves begin at the one returned. */
uint32_t first_fit_leaves(size_t size);

/* From now on the wilderness may be used up to `mapped`; not below `top`. */
void first_fit_map(vaddr_t mapped);

/* Writes a used block's head; the block in front of it is used, or there is none. */
static inline void write_used(struct block *block, uint32_t size)
{
    block->head = size ^ head_mask(block);
}

/*
 * The ways of first_fit_take() when a listed block is large enough, of which it cuts the lowest if
 * none outside is lower; and when not, but the one outside is, or the top is not ready.
 */
struct block *first_fit_take_listed(uint32_t size) MUST_CHECK IN_REGISTERS;
struct block *first_fit_take_below(uint32_t size) MUST_CHECK IN_REGISTERS;

/*
 * A used block of `size` bytes, or up to 8 more, at the lowest place; NULL if the pages that are
 * mapped hold none.
 */
static inline struct block *first_fit_take(uint32_t size)
{
    struct block *block = block_at(first_fit.top);
    vaddr_t end = first_fit.top + size;

    if (*first_fit.tree.top >= size)
        return first_fit_take_listed(size);
    if (first_fit.outside_size >= size || end > first_fit.limit)
        return first_fit_take_below(size);
    first_fit.top = end;
    first_fit.used += size;
    write_used(block, size);
    return block;
}

/*
 * The same with the payload at a multiple of `align`, a power of two from 16 to a page: from the
 * lowest free block that holds it wherever it begins. What is skipped in front becomes free.
 */
struct block *first_fit_take_aligned(uint32_t size, uint32_t align) MUST_CHECK;

/* Up to where pages would have to be mapped for the wilderness to serve such a request. */
vaddr_t first_fit_need(uint32_t size, uint32_t align);

/*
 * The way of first_fit_release() when there is more to check, to merge or to remember. `head`:
 * used_head() of the block.
 */
bool first_fit_release_below(struct block *block, uint32_t head) MUST_CHECK IN_REGISTERS;

/*
 * Gives back the used block at `block`, in [start, mapped). False, and nothing changed, if there
 * is none. What ends at the top needs no further proof of being one.
 */
static inline bool first_fit_release(struct block *block)
{
    uint32_t head = used_head(block);

    /* So there are no flags: any would make this an address where no block ends. */
    if (block_address(block) + head != first_fit.top)
        return first_fit_release_below(block, head);
    first_fit.used -= head;
    first_fit.top = block_address(block);
    block->head = 0;
    return true;
}

/*
 * Makes a used block larger or smaller without moving it. False if what follows it does not allow
 * it; *need is then where pages would have to reach, or 0 if they would not help.
 */
bool first_fit_resize(struct block *block, uint32_t size, vaddr_t *need) MUST_CHECK;

/* The largest free block, or 0; the wilderness apart. */
uint32_t first_fit_largest(void);

#endif
