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
static void check_free(const struct block *block)
{
    uint32_t size = block->head;

    if (size - MIN_BLOCK >= first_fit.top - block_address(block) - MIN_BLOCK ||
        last_word(block, size) != size || !(block_after(block, size)->head & PREV_FREE))
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

static uint32_t list_largest(const struct block *block)
{
    uint32_t largest = 0;

    for (; block != NULL; block = block->next)
        largest = block->head > largest ? block->head : largest;
    return largest;
}

/* A block has left the segment's list, or is smaller now, that was as large as any in it. */
static NOINLINE void list_lost_largest(uint32_t segment)
{
    uint32_t largest = list_largest(first_fit.first[segment]);

    if (largest != first_fit.tree.leaf[segment])
        max_tree_lower(&first_fit.tree, segment, largest);
}

/* A block of `size` bytes has left the segment's list. */
static inline void list_lost(uint32_t segment, uint32_t size)
{
    if (first_fit.tree.leaf[segment] == size)
        list_lost_largest(segment);
}

/* A block of `size` bytes has come to the segment's list. */
static inline void list_gained(uint32_t segment, uint32_t size)
{
    if (first_fit.tree.leaf[segment] < size)
        max_tree_raise(&first_fit.tree, segment, size);
}

/* The link to the first block of a segment's list that lies at or behind `block`. */
static inline struct block **list_link(uint32_t segment, const struct block *block)
{
    struct block **link = &first_fit.first[segment];

    while (*link != NULL && *link < block)
        link = &(*link)->next;
    return link;
}

static inline void list_insert(struct block *block, uint32_t segment)
{
    struct block **link = list_link(segment, block);

    block->next = *link;
    *link = block;
}

static inline void list_remove(struct block *block, uint32_t segment)
{
    *list_link(segment, block) = block->next;
}

/* ---- Free blocks, in a list or outside ---- */

static void set_outside(struct block *block, uint32_t size)
{
    first_fit.outside = block;
    first_fit.outside_size = size;
}

/* Enters a free block, whose size is written, into its list. */
static NOINLINE void attach(struct block *block)
{
    uint32_t segment = segment_of(block_address(block));

    list_insert(block, segment);
    list_gained(segment, block->head);
}

/* Takes a free block out of its list, or from outside. */
static NOINLINE void detach(struct block *block)
{
    uint32_t segment = segment_of(block_address(block));

    if (block == first_fit.outside) {
        set_outside(NULL, 0);
    } else {
        list_remove(block, segment);
        list_lost(segment, block->head);
    }
}

/* ---- Taking ---- */

/* The free block itself serves: a rest would be too small to be a block. */
static NOINLINE struct block *take_whole(struct block *block)
{
    uint32_t size = block->head;

    detach(block);
    block_after(block, size)->head &= ~PREV_FREE;
    write_used(block, size);
    first_fit.used += size;
    return block;
}

/*
 * Cuts a listed block whose rest cannot take its place in the list, being in another segment or
 * larger than the block outside. The larger of those two is outside from then on.
 */
static NOINLINE struct block *take_and_move(struct block *block, uint32_t size)
{
    uint32_t rest_size = block->head - size;
    struct block *rest = block_after(block, size), *outside = first_fit.outside;

    detach(block);
    write_used(block, size);
    first_fit.used += size;
    write_free(rest, rest_size);
    if (rest_size > first_fit.outside_size) {
        set_outside(rest, rest_size);
        rest = outside;
    }
    if (rest != NULL)
        attach(rest);
    return block;
}

/* Cuts the block outside, which is large enough. */
static NOINLINE struct block *take_outside(uint32_t size)
{
    struct block *block = first_fit.outside;
    uint32_t rest_size = first_fit.outside_size - size;

    if (rest_size < MIN_BLOCK)
        return take_whole(block);
    write_used(block, size);
    first_fit.used += size;
    set_outside(block_after(block, size), rest_size);
    write_free(first_fit.outside, rest_size);
    return block;
}

/* Cuts the lowest listed block that is large enough, if none outside is lower. */
static struct block *take_listed(uint32_t size)
{
    uint32_t segment = max_tree_first(&first_fit.tree, size);
    struct block **link = &first_fit.first[segment], *block = *link;

    while (block->head < size) {
        link = &block->next;
        block = *link;
    }
    if (first_fit.outside < block && first_fit.outside_size >= size)
        return take_outside(size);

    uint32_t old_size = block->head, rest_size = old_size - size;
    struct block *rest = block_after(block, size);

    if (old_size > first_fit.tree.leaf[segment] || last_word(block, old_size) != old_size)
        smashed(block);
    if (rest_size < MIN_BLOCK)
        return take_whole(block);
    if (rest_size > first_fit.outside_size || segment_of(block_address(rest)) != segment)
        return take_and_move(block, size);

    *link = rest;
    rest->next = block->next;
    write_free(rest, rest_size);
    write_used(block, size);
    first_fit.used += size;
    list_lost(segment, old_size);
    return block;
}

/* Whether the top may be moved up to `end`. */
static RARELY bool raise_limit(vaddr_t end)
{
    if (end > first_fit.mapped)
        return false;
    if (end > first_fit.reach)
        first_fit.reach = end;
    first_fit.limit = end;
    return true;
}

IN_REGISTERS struct block *first_fit_take_below(uint32_t size)
{
    if (*first_fit.tree.top >= size)
        return take_listed(size);
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
        block = first_fit.first[max_tree_first(&first_fit.tree, size)];
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
    write_free(block_at(start), (uint32_t)(end - start));
    attach(block_at(start));
    block_at(end)->head |= PREV_FREE;
}

struct block *first_fit_take_aligned(uint32_t size, uint32_t align)
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
    first_fit.used += end - head;
    leave_free(start, head);
    return block_at(head);
}

vaddr_t first_fit_need(uint32_t size, uint32_t align)
{
    vaddr_t head = align > HEAP_ALIGN ? place_aligned(first_fit.top, align) : first_fit.top;
    return head + size;
}

/* ---- Giving back ---- */

/* A free block has grown downwards or upwards to `size` bytes: to the block outside. */
static inline void grow_outside(struct block *block, uint32_t size)
{
    write_free(block, size);
    set_outside(block, size);
}

/* What is free on both sides of a released block becomes one with it. `size`: of all three. */
static NOINLINE void merge_three(struct block *previous, struct block *next, uint32_t size)
{
    uint32_t segment = segment_of(block_address(previous));

    if (previous == first_fit.outside) {
        detach(next);
        grow_outside(previous, size);
    } else if (next == first_fit.outside) {
        detach(previous);
        grow_outside(previous, size);
    } else {
        if (segment_of(block_address(next)) == segment)
            list_remove(next, segment); /* what is lost is less than what is gained */
        else
            detach(next);
        write_free(previous, size);
        list_gained(segment, size);
    }
    next->head = 0;
}

/* The block in front is free: it takes the released one in, and what is free behind that. */
static NOINLINE void release_to_previous(struct block *block, uint32_t size)
{
    struct block *previous = block_before(block), *next = block_after(block, size);

    block->head = 0;
    size += previous->head;
    if (block_address(next) == first_fit.top) {
        detach(previous);
        previous->head = 0;
        first_fit.top = block_address(previous);
    } else if (!block_is_used(next)) {
        check_free(next);
        merge_three(previous, next, size + next->head);
    } else {
        next->head |= PREV_FREE;
        if (previous == first_fit.outside) {
            grow_outside(previous, size);
        } else {
            write_free(previous, size);
            list_gained(segment_of(block_address(previous)), size);
        }
    }
}

/* The block behind is free and joins the released one. */
static NOINLINE void release_to_next(struct block *block, uint32_t size)
{
    struct block *next = block_after(block, size);
    uint32_t segment = segment_of(block_address(block));
    uint32_t next_segment = segment_of(block_address(next));

    check_free(next);
    size += next->head;
    if (next == first_fit.outside) {
        grow_outside(block, size);
    } else if (next_segment == segment) {
        *list_link(segment, next) = block;
        block->next = next->next;
        write_free(block, size);
        list_gained(segment, size);
    } else {
        detach(next);
        write_free(block, size);
        list_insert(block, segment);
        list_gained(segment, size);
    }
    next->head = 0;
}

static NOINLINE void release_alone(struct block *block, uint32_t size)
{
    uint32_t segment = segment_of(block_address(block));

    block_after(block, size)->head |= PREV_FREE;
    write_free(block, size);
    list_insert(block, segment);
    list_gained(segment, size);
}

IN_REGISTERS bool first_fit_release_below(struct block *block)
{
    uint32_t size = used_size(block);

    if (!block_is_sound(block))
        return false;
    first_fit.used -= size;
    if (block->head & PREV_FREE)
        release_to_previous(block, size);
    else if (!block_is_used(block_after(block, size)))
        release_to_next(block, size);
    else
        release_alone(block, size);
    return true;
}

/* ---- Resizing ---- */

/* Changes the size in a used head, flags as they are. */
static void set_used_size(struct block *block, uint32_t size)
{
    uint32_t old_size = used_size(block);

    first_fit.used = first_fit.used - old_size + size;
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
    first_fit.used += tail_size;
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
        write_free(rest, both - size);
        if (was_outside)
            set_outside(rest, both - size);
        else
            attach(rest);
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
    max_tree_init(&first_fit.tree, nodes, first_fit_leaves(end - base));
}

void first_fit_map(vaddr_t mapped)
{
    first_fit.mapped = mapped;
    first_fit.mapped_size = (uint32_t)(mapped - first_fit.start);
    first_fit.limit = mapped < first_fit.reach ? mapped : first_fit.reach;
    max_tree_cover(&first_fit.tree, segment_of(mapped - 1));
}

uint32_t first_fit_largest(void)
{
    uint32_t listed = *first_fit.tree.top;
    return listed > first_fit.outside_size ? listed : first_fit.outside_size;
}
