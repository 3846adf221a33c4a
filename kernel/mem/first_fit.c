/*
 * Address-ordered first fit.
 *
 * Invariants between calls:
 * - blocks follow each other without a gap from base + HEAP_HEAD to top;
 * - no two free blocks touch, and none touches the wilderness;
 * - each free block but `outside` is in the list of its segment, in address order; the tree holds
 *   the largest size of each list, 0 for an empty one;
 * - a block has PREV_FREE exactly if the one in front of it is free;
 * - pages [base, mapped) are there, and top <= mapped.
 */
#include "mem/first_fit.h"
#include "mem/layout.h"
#include <lib/bits.h>
#include <panic.h>

struct first_fit first_fit;

/* ---- Blocks ---- */

static struct block *block_after(const struct block *block, uint32_t size)
{
    return block_at(block_address(block) + size);
}

/* The words of a free block that give its size. */
static void write_free(struct block *block, uint32_t size)
{
    block->head = size;
    ((uint32_t *)block_after(block, size))[-1] = size;
}

_Noreturn static RARELY void smashed(const struct block *block)
{
    panic("heap: the head of the free block at %p is smashed: 0x%08x",
          (void *)(block_address(block) + HEAP_HEAD), block->head);
}

static uint32_t last_word(const struct block *block, uint32_t size)
{
    return ((const uint32_t *)block_after(block, size))[-1];
}

/*
 * Believes a free block's head only if its last word agrees, and the block behind it: a program
 * that has written past its end, a row of equal words even, would have to know what stands there.
 */
static inline void check_free(const struct block *block)
{
    uint32_t size = block->head;

    if (size >= first_fit.top - block_address(block) || last_word(block, size) != size ||
        !(block_after(block, size)->head & PREV_FREE))
        smashed(block);
}

/* The free block in front of one that has PREV_FREE. */
static struct block *block_before(const struct block *block)
{
    uint32_t size = ((const uint32_t *)block)[-1];
    struct block *before = block_at(block_address(block) - size);

    if (size > block_address(block) - first_fit.start || before->head != size)
        smashed(block);
    return before;
}

/* ---- Lists and tree ---- */

/* The segment of a block, named as the tree does: by its leaf. */
static inline uint32_t leaf_of(const struct block *block)
{
    return ((uint32_t)(block_address(block) - first_fit.origin) >> SEGMENT_SHIFT) * MAX_TREE_NODE;
}

static inline bool same_segment(const struct block *a, const struct block *b)
{
    return (block_address(a) ^ block_address(b)) < SEGMENT_SIZE;
}

/* What a segment's list begins behind: no block, but its `next` is where the first is found. */
static inline struct block *list_anchor(uint32_t leaf)
{
    return block_at(first_fit.lists + leaf);
}

static inline uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/*
 * The segment's list has lost a block, or part of one. `others`: the largest block of the list in
 * front of `behind`; from there on it is still to be seen.
 */
static inline void list_lost(uint32_t leaf, uint32_t others, const struct block *behind)
{
    for (; behind != NULL; behind = behind->next)
        others = larger(others, behind->head);
    if (others != max_tree_value(&first_fit.tree, leaf))
        max_tree_lower(&first_fit.tree, leaf, others);
}

/* A block of `size` bytes has come to the segment's list. */
static inline void list_gained(uint32_t leaf, uint32_t size)
{
    if (max_tree_value(&first_fit.tree, leaf) < size)
        max_tree_raise(&first_fit.tree, leaf, size);
}

/* The last block of a segment's list that lies in front of `block`, or the list's anchor. */
static inline struct block *list_before(uint32_t leaf, const struct block *block)
{
    struct block *before = list_anchor(leaf);

    while (before->next != NULL && before->next < block)
        before = before->next;
    return before;
}

/* What the link to `listed` is in: a block of the segment's list, or its anchor. NULL ends it. */
static inline struct block *list_link_to(uint32_t leaf, const struct block *listed)
{
    struct block *before = list_anchor(leaf);

    while (before->next != listed)
        before = before->next;
    return before;
}

/* ---- Free blocks, in a list or outside ---- */

static void set_outside(struct block *block, uint32_t size)
{
    first_fit.outside = block;
    first_fit.outside_size = size;
}

/* A free block is now the one outside, and of `size` bytes. */
static inline void place_outside(struct block *block, uint32_t size)
{
    write_free(block, size);
    set_outside(block, size);
}

/* Enters a free block of `size` bytes into its list. */
static inline void enter(struct block *block, uint32_t size)
{
    uint32_t leaf = leaf_of(block);
    struct block *before = list_before(leaf, block);

    block->next = before->next;
    before->next = block;
    write_free(block, size);
    list_gained(leaf, size);
}

/* The same, not on the common way. */
static NOINLINE void enter_rarely(struct block *block, uint32_t size)
{
    enter(block, size);
}

/* Takes a free block out of its list: at one step if it is the segment's first. */
static NOINLINE void leave(struct block *block)
{
    uint32_t leaf = leaf_of(block), others = 0;
    struct block *before = list_anchor(leaf);

    while (before->next != block) {
        before = before->next;
        others = larger(others, before->head);
    }
    before->next = block->next;
    list_lost(leaf, others, block->next);
}

/* Takes a free block out of its list, or from outside. */
static void detach(struct block *block)
{
    if (block == first_fit.outside)
        set_outside(NULL, 0);
    else
        leave(block);
}

/* ---- Taking ---- */

/* Makes the first `size` bytes of a free block used; its lists and its rest are the caller's. */
static inline void *use(struct block *block, uint32_t size)
{
    write_used(block, size);
    count_used(size);
    return block_payload(block);
}

/* Cuts the block outside, which is large enough. */
static NOINLINE IN_REGISTERS void *take_outside(uint32_t size)
{
    struct block *block = first_fit.outside;
    uint32_t old_size = first_fit.outside_size, rest_size = old_size - size;

    if (rest_size < MIN_BLOCK) {
        block_after(block, old_size)->head &= ~PREV_FREE;
        set_outside(NULL, 0);
        return use(block, old_size);
    }
    set_outside(block_after(block, size), rest_size);
    write_free(first_fit.outside, rest_size);
    return use(block, size);
}

/* Cuts a listed block, whose rest takes the place of the smaller block outside. */
static NOINLINE void *take_and_swap(struct block *block, uint32_t size)
{
    struct block *outside = first_fit.outside;
    uint32_t outside_size = first_fit.outside_size, rest_size = block->head - size;

    leave(block);
    place_outside(block_after(block, size), rest_size);
    if (outside != NULL)
        enter_rarely(outside, outside_size);
    return use(block, size);
}

IN_REGISTERS void *first_fit_take_listed(uint32_t size)
{
    uint32_t leaf = max_tree_first(&first_fit.tree, size), others = 0;
    struct block *before = list_anchor(leaf), *block = before->next;

    while (block->head < size) {
        others = larger(others, block->head);
        before = block;
        block = block->next;
    }
    if (first_fit.outside < block && first_fit.outside_size >= size)
        return take_outside(size);

    uint32_t old_size = block->head, rest_size = old_size - size;
    struct block *rest = block_after(block, size), *next = block->next;

    if (old_size > max_tree_value(&first_fit.tree, leaf) || last_word(block, old_size) != old_size)
        smashed(block);
    if (rest_size < MIN_BLOCK) {
        before->next = next;
        block_after(block, old_size)->head &= ~PREV_FREE;
        size = old_size;
    } else if (same_segment(block, rest)) {
        before->next = rest;
        rest->next = next;
        write_free(rest, rest_size);
        others = larger(others, rest_size);
    } else if (rest_size > first_fit.outside_size && others == 0) {
        return take_and_swap(block, size);
    } else {
        before->next = next;
        enter_rarely(rest, rest_size);
    }
    list_lost(leaf, others, next);
    return use(block, size);
}

/* Whether the top may be moved up to `end`. */
static RARELY bool raise_limit(vaddr_t end)
{
    if (end > first_fit.mapped)
        return false;
    if (end > first_fit.reach)
        first_fit.reach = end;
    if (end > first_fit.limit)
        first_fit.limit = end;
    return true;
}

IN_REGISTERS void *first_fit_take_below(uint32_t size)
{
    if (first_fit.outside_size >= size)
        return take_outside(size);
    return raise_limit(first_fit.top + size) ? first_fit_take(size) : NULL;
}

/* ---- Taking at an alignment ---- */

/* The lowest free block of at least `size` bytes, or NULL. */
static struct block *lowest_free(uint32_t size)
{
    struct block *block = NULL;

    if (*first_fit.tree.top >= size) {
        block = list_anchor(max_tree_first(&first_fit.tree, size))->next;
        while (block->head < size)
            block = block->next;
    }
    if (first_fit.outside_size >= size && (block == NULL || first_fit.outside < block))
        block = first_fit.outside;
    return block;
}

/*
 * The first place for a head at or above `start` such that its payload is aligned and the gap in
 * front can be a free block or is none.
 */
static vaddr_t place_aligned(vaddr_t start, uint32_t align)
{
    vaddr_t head = round_up(start + HEAP_HEAD, align) - HEAP_HEAD;

    while (head != start && head - start < MIN_BLOCK)
        head += align;
    return head;
}

/* Makes [start, end) between a used block and the used one at `end` free, if it is not empty. */
static void leave_free(vaddr_t start, vaddr_t end)
{
    if (start == end)
        return;
    enter(block_at(start), (uint32_t)(end - start));
    block_at(end)->head |= PREV_FREE;
}

void *first_fit_take_aligned(uint32_t size, uint32_t align)
{
    struct block *gap = lowest_free(size + align + HEAP_ALIGN);
    vaddr_t start = gap != NULL ? block_address(gap) : first_fit.top;
    vaddr_t head = place_aligned(start, align);
    vaddr_t end = head + size;

    if (gap != NULL) {
        check_free(gap);
        vaddr_t gap_end = block_address(gap) + gap->head;
        detach(gap);
        block_at(gap_end)->head &= ~PREV_FREE;
        if (gap_end - end < MIN_BLOCK)
            end = gap_end;
        leave_free(end, gap_end);
    } else {
        if (!raise_limit(end))
            return NULL;
        first_fit.top = end;
    }

    write_used(block_at(head), (uint32_t)(end - head));
    count_used((uint32_t)(end - head));
    leave_free(start, head);
    return block_payload(block_at(head));
}

vaddr_t first_fit_need(uint32_t size, uint32_t align)
{
    vaddr_t head = align > HEAP_ALIGN ? place_aligned(first_fit.top, align) : first_fit.top;
    return head + size;
}

/* ---- Giving back ---- */

/* What is free on both sides of a released block becomes one with it. `size`: of all three. */
static NOINLINE void merge_three(struct block *previous, struct block *next, uint32_t size)
{
    if (previous == first_fit.outside) {
        detach(next);
        place_outside(previous, size);
    } else if (next == first_fit.outside) {
        detach(previous);
        place_outside(previous, size);
    } else {
        if (same_segment(previous, next))
            previous->next = next->next; /* what is lost is less than what is gained */
        else
            leave(next);
        write_free(previous, size);
        list_gained(leaf_of(previous), size);
    }
    next->head = 0;
}

/* The block in front is free: it takes the released one in, and what is free behind that. */
static NOINLINE void release_to_previous(struct block *block, uint32_t size)
{
    struct block *previous = block_before(block), *next = block_after(block, size);

    block->head = 0;
    size += previous->head;
    if (!block_is_used(next)) {
        check_free(next);
        merge_three(previous, next, size + next->head);
        return;
    }
    next->head |= PREV_FREE;
    if (previous == first_fit.outside) {
        place_outside(previous, size);
    } else {
        write_free(previous, size);
        list_gained(leaf_of(previous), size);
    }
}

IN_REGISTERS bool first_fit_release_last(struct block *block, uint32_t head)
{
    if (first_fit_is_last(block, head)) {
        first_fit_lower_top(block, head);
        return true;
    }
    if (!head_ends_at_top(block, head))
        return false;

    struct block *previous = block_before(block);
    count_unused(head & ~PREV_FREE);
    block->head = 0;
    detach(previous);
    previous->head = 0;
    first_fit.top = block_address(previous);
    return true;
}

/*
 * A free block takes the place of the listed one at `next`, which it has taken in. If that is in
 * another segment, no block of its own segment's list lies behind it.
 */
static inline void list_replace(struct block *next, struct block *block, uint32_t size)
{
    uint32_t leaf = leaf_of(block);

    if (same_segment(block, next)) {
        list_link_to(leaf, next)->next = block;
        block->next = next->next;
    } else {
        leave(next);
        list_link_to(leaf, NULL)->next = block;
        block->next = NULL;
    }
    write_free(block, size);
    list_gained(leaf, size);
}

/* The block behind is free and joins the released one. */
static NOINLINE void release_to_next(struct block *block, uint32_t size)
{
    struct block *next = block_after(block, size);

    check_free(next);
    size += next->head;
    if (next == first_fit.outside) {
        place_outside(block, size);
    } else {
        list_replace(next, block, size);
    }
    next->head = 0;
}

static NOINLINE void release_alone(struct block *block, uint32_t size)
{
    block_after(block, size)->head |= PREV_FREE;
    enter(block, size);
}

IN_REGISTERS void first_fit_release_below(struct block *block, uint32_t head)
{
    uint32_t size = head & ~BLOCK_FLAGS;

    count_unused(size);
    if (head & PREV_FREE)
        release_to_previous(block, size);
    else if (!block_is_used(block_after(block, size)))
        release_to_next(block, size);
    else
        release_alone(block, size);
}

/* ---- Resizing ---- */

/* Changes the size in a used head, flags as they are. */
static void set_used_size(struct block *block, uint32_t size)
{
    uint32_t old_size = used_size(block);

    count_unused(old_size);
    count_used(size);
    block->head ^= old_size ^ size;
}

static void shrink(struct block *block, uint32_t size)
{
    uint32_t tail_size = used_size(block) - size;
    struct block *tail = block_after(block, size);

    if (tail_size < MIN_BLOCK)
        return;
    set_used_size(block, size);
    write_used(tail, tail_size);
    count_used(tail_size);
    bool released = first_fit_release(tail);
    ASSERT(released);
}

/* Takes the low part of the free block behind. */
static bool grow_into_next(struct block *block, uint32_t size)
{
    uint32_t old_size = used_size(block);
    struct block *next = block_after(block, old_size);

    if (block_is_used(next))
        return false;
    check_free(next);
    uint32_t both = old_size + next->head;
    if (both < size)
        return false;

    bool was_outside = next == first_fit.outside;
    detach(next);
    next->head = 0;
    if (both - size < MIN_BLOCK) {
        block_after(block, both)->head &= ~PREV_FREE;
        size = both;
    } else {
        struct block *rest = block_after(block, size);
        if (was_outside)
            place_outside(rest, both - size);
        else
            enter(rest, both - size);
    }
    set_used_size(block, size);
    return true;
}

bool first_fit_resize(struct block *block, uint32_t size, vaddr_t *need)
{
    uint32_t old_size = used_size(block);
    vaddr_t end = block_address(block) + size;

    *need = 0;
    if (size <= old_size) {
        shrink(block, size);
        return true;
    }
    if (block_address(block) + old_size != first_fit.top)
        return grow_into_next(block, size);
    if (!raise_limit(end)) {
        *need = end;
        return false;
    }
    first_fit.top = end;
    set_used_size(block, size);
    return true;
}

/* ---- The window ---- */

uint32_t first_fit_leaves(size_t size)
{
    uint32_t leaves = MAX_TREE_FAN;

    while (leaves < size >> SEGMENT_SHIFT)
        leaves *= MAX_TREE_FAN;
    return leaves;
}

void first_fit_init(vaddr_t base, vaddr_t end, uint32_t *nodes, struct block **first)
{
    first_fit = (struct first_fit){
        .base = base,
        .end = end,
        .start = base + HEAP_HEAD,
        .mapped = base,
        .top = base + HEAP_HEAD,
        .reach = base + HEAP_HEAD,
        .limit = base,
        .first = first,
    };
    uint32_t leaves = first_fit_leaves(end - base);

    max_tree_init(&first_fit.tree, nodes, leaves);
    first_fit.lists = (vaddr_t)first - leaves * MAX_TREE_NODE - offsetof(struct block, next);
    first_fit.origin = base - leaves * SEGMENT_SIZE;
}

void first_fit_map(vaddr_t mapped)
{
    first_fit.mapped = mapped;
    first_fit.mapped_size = (uint32_t)(mapped - first_fit.start);
    first_fit.limit = mapped < first_fit.reach ? mapped : first_fit.reach;
    max_tree_cover(&first_fit.tree, segment_of(mapped - 1));
}

bool first_fit_knows(const struct block *block)
{
    const struct block *listed = first_fit.first[segment_of(block_address(block))];

    while (listed != NULL && listed < block)
        listed = listed->next;
    return listed == block || block == first_fit.outside;
}

uint32_t first_fit_largest(void)
{
    uint32_t listed = *first_fit.tree.top;
    return listed > first_fit.outside_size ? listed : first_fit.outside_size;
}
