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
#include <lib/bits.h>
#include <types.h>

#define HEAP_ALIGN          8u
#define HEAP_HEAD           4u
#define MIN_BLOCK           16u

#define SEGMENT_SHIFT       11
#define SEGMENT_SIZE        (1u << SEGMENT_SHIFT)

#define BLOCK_USED          1u
#define PREV_FREE           2u
#define BLOCK_CHUNK         4u /* the used block is a chunk of small objects (mem/small.h) */
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

/* How many bytes are in use, told by the most that ever were: so a new peak is what overflows. */
struct usage {
    uint32_t peak;
    uint32_t below; /* bytes in use: peak - below */
};

struct first_fit {
    vaddr_t base, end;     /* the window */
    vaddr_t start;         /* base + HEAP_HEAD: the first head */
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
    struct usage usage;    /* bytes in used blocks */
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

/* Whether the heap has pages, and what says something of them, at an address. */
static inline bool is_mapped(vaddr_t address)
{
    return (uint32_t)(address - first_fit.start) < first_fit.mapped_size;
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
 * Whether `head`, used_head() of the block, is that of a used block below the top: its flags are
 * possible, its size ends at a block that takes what is in front for used. `block` lies in
 * [start, mapped). Signed, because that may be above the top, and a size that is none anything.
 */
static inline bool head_ends_below_top(const struct block *block, uint32_t head)
{
    int32_t size = (int32_t)(head & ~BLOCK_FLAGS);
    int32_t left = (int32_t)(first_fit.top - block_address(block));

    if (UNLIKELY((head & BLOCK_FLAGS & ~PREV_FREE) != 0) || UNLIKELY(size >= left) ||
        UNLIKELY(size < (int32_t)MIN_BLOCK))
        return false;
    return !(block_at(block_address(block) + (uint32_t)size)->head & PREV_FREE);
}

/* Whether it would be that of a block that ends at the top. */
static inline bool head_ends_at_top(const struct block *block, uint32_t head)
{
    return block_address(block) + (head & ~PREV_FREE) == first_fit.top;
}

/* Whether it is that of a used block. What ends at the top needs no further proof. */
static inline bool head_is_sound(const struct block *block, uint32_t head)
{
    return head_ends_below_top(block, head) ||
           (head_ends_at_top(block, head) && block_address(block) < first_fit.top);
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

static inline uint32_t bytes_used(void)
{
    return first_fit.usage.peak - first_fit.usage.below;
}

/* So many bytes more are in use. */
static inline void count_used(uint32_t size)
{
    struct usage *usage = &first_fit.usage;

    if (UNLIKELY(subtract_borrows(&usage->below, size))) {
        usage->peak -= usage->below;
        usage->below = 0;
    }
}

static inline void count_unused(uint32_t size)
{
    first_fit.usage.below += size;
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
 * An allocation has three ways: the lowest listed block that is large enough, if none outside is
 * lower; the block outside; and the top, which is most common, if it need not be made ready. The
 * answers are payloads.
 */
static inline bool first_fit_lists(uint32_t size)
{
    return *first_fit.tree.top >= size;
}

void *first_fit_take_listed(uint32_t size) MUST_CHECK IN_REGISTERS;

/* Whether the way to a block that is not listed leads straight to the top. */
static inline bool first_fit_top_serves(uint32_t size)
{
    return first_fit.outside_size < size && first_fit.top + size <= first_fit.limit;
}

static inline void *first_fit_take_top(uint32_t size)
{
    struct block *block = block_at(first_fit.top);

    first_fit.top += size;
    count_used(size);
    write_used(block, size);
    return block_payload(block);
}

/* The rest; NULL if there is none. */
void *first_fit_take_below(uint32_t size) MUST_CHECK IN_REGISTERS;

/*
 * A used block of `size` bytes, or up to 8 more, at the lowest place; NULL if the pages that are
 * mapped hold none.
 */
static inline void *first_fit_take(uint32_t size)
{
    if (first_fit_lists(size))
        return first_fit_take_listed(size);
    return first_fit_top_serves(size) ? first_fit_take_top(size) : first_fit_take_below(size);
}

/*
 * The same with the payload at a multiple of `align`, a power of two from 16 to a page: from the
 * lowest free block that holds it wherever it begins. What is skipped in front becomes free.
 */
void *first_fit_take_aligned(uint32_t size, uint32_t align) MUST_CHECK;

/* Up to where pages would have to be mapped for the wilderness to serve such a request. */
vaddr_t first_fit_need(uint32_t size, uint32_t align);

/* Gives back a used block below the top. `head`: used_head() of it. */
void first_fit_release_below(struct block *block, uint32_t head) IN_REGISTERS;

/*
 * Gives back what has the other kind of head and ends at the top, the only way by which that comes
 * down; false if it is none. It begins in [start, mapped).
 */
bool first_fit_release_last(struct block *block, uint32_t head) MUST_CHECK IN_REGISTERS;

/* Whether such a block is one with a used one in front; most that end at the top are. */
static inline bool first_fit_is_last(const struct block *block, uint32_t head)
{
    return block_address(block) + head == first_fit.top;
}

/* Gives that back. */
static inline void first_fit_lower_top(struct block *block, uint32_t head)
{
    count_unused(head);
    first_fit.top = block_address(block);
    block->head = 0;
}

/* Gives back the used block at `block`, in [start, mapped). False, and nothing done, if none is. */
static inline bool first_fit_release(struct block *block)
{
    uint32_t head = used_head(block);

    if (!head_ends_below_top(block, head))
        return first_fit_release_last(block, head);
    first_fit_release_below(block, head);
    return true;
}

/*
 * Makes a used block larger or smaller without moving it. False if what follows it does not allow
 * it; *need is then where pages would have to reach, or 0 if they would not help.
 */
bool first_fit_resize(struct block *block, uint32_t size, vaddr_t *need) MUST_CHECK;

/* Whether an address below the top is that of a free block in a list, or outside. Bounded. */
bool first_fit_knows(const struct block *block);

/* The largest free block, or 0; the wilderness apart. */
uint32_t first_fit_largest(void);

#endif
