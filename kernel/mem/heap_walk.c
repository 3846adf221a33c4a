/*
 * Walking the heap block by block.
 */
#include "mem/heap_walk.h"
#include "mem/first_fit.h"
#include "mem/small.h"
#include <lib/bits.h>

/* A block's size by its head; 0 if that cannot be believed. `block` lies below the top. */
static uint32_t believed_size(const struct block *block)
{
    uint32_t size = block->head;

    if (block_is_used(block))
        return head_is_sound(block, used_head(block) & ~BLOCK_CHUNK) ? used_size(block) : 0;
    if (size < MIN_BLOCK || !is_aligned(size, HEAP_ALIGN) ||
        size > first_fit.top - block_address(block))
        return 0;
    return size;
}

/* A block's last word; its size if the block is free. */
static uint32_t last_word(const struct block *block, uint32_t size)
{
    return *(const uint32_t *)(block_address(block) + size - sizeof(uint32_t));
}

static struct block *first_block(void)
{
    return block_at(first_fit.start);
}

static bool below_top(const struct block *block)
{
    return block_address(block) < first_fit.top;
}

/*
 * The first block that ends behind `address`, or the one whose head is broken before that; the
 * top if there is none.
 */
static struct block *walk_to(vaddr_t address)
{
    struct block *block = first_block();
    uint32_t size;

    while (below_top(block) && (size = believed_size(block)) != 0 &&
           block_address(block) + size <= address)
        block = block_at(block_address(block) + size);
    return block;
}

/* Whether a chunk's figures are possible, and all its objects within its block. */
static bool chunk_is_sound(const struct chunk *chunk)
{
    return chunk->size >= SMALL_FIRST * HEAP_ALIGN && chunk->size <= SMALL_MAX &&
           chunk->size % HEAP_ALIGN == 0 && chunk->shift == __builtin_ctz(chunk->size) &&
           (chunk->size >> chunk->shift) * chunk->inverse == 1 &&
           (chunk->all & (chunk->all + 1)) == 0 && chunk->count == count_bits(chunk->all) &&
           HEAP_HEAD + sizeof(*chunk) + chunk->count * chunk->size <=
               used_size(payload_block(chunk));
}

/* ---- Diagnosis ---- */

/* The chunk that a used block is, or NULL. */
static const struct chunk *chunk_in(struct block *block)
{
    return used_head(block) & BLOCK_CHUNK ? block_payload(block) : NULL;
}

/* What a chunk has at an address. */
static enum heap_walk_place place_in_chunk(const struct chunk *chunk, vaddr_t address)
{
    if (!chunk_is_sound(chunk) || address < chunk_objects(chunk))
        return HEAP_WALK_INSIDE;

    uint32_t index = (uint32_t)(address - chunk_objects(chunk)) / chunk->size;
    return index < chunk->count && small_is_idle(chunk, index) ? HEAP_WALK_FREE : HEAP_WALK_INSIDE;
}

enum heap_walk_place heap_walk_find(vaddr_t address)
{
    if (address < first_fit.base + HEAP_ALIGN || address >= first_fit.end)
        return HEAP_WALK_OUTSIDE;
    if (address - HEAP_HEAD >= first_fit.top)
        return HEAP_WALK_FREE;

    struct block *block = walk_to(address - HEAP_HEAD);
    if (!below_top(block))
        return HEAP_WALK_FREE;
    if (believed_size(block) == 0)
        return address == (vaddr_t)block_payload(block) ? HEAP_WALK_SMASHED : HEAP_WALK_INSIDE;
    if (!block_is_used(block))
        return HEAP_WALK_FREE;

    const struct chunk *chunk = chunk_in(block);
    return chunk != NULL ? place_in_chunk(chunk, address) : HEAP_WALK_INSIDE;
}

/* ---- Listing ---- */

/* The first block that begins at or behind `address`; the top if there is none. */
static struct block *walk_from(vaddr_t address)
{
    struct block *block = walk_to(address);

    if (below_top(block) && block_address(block) < address)
        block = block_at(block_address(block) + believed_size(block));
    return block;
}

/*
 * Whether a block begins at `block`, below the top: payload may stand there instead. A used head
 * tells by itself; a free one is any number, so the lists have to know it.
 */
static bool begins(const struct block *block)
{
    return believed_size(block) != 0 && (block_is_used(block) || first_fit_knows(block));
}

bool heap_walk_next(vaddr_t payload, struct heap_block *out)
{
    vaddr_t address = payload - HEAP_HEAD, top = first_fit.top;
    struct block *block = block_at(address);

    if (payload <= first_fit.start + HEAP_HEAD)
        block = first_block();
    else if (!is_aligned((uint32_t)payload, HEAP_ALIGN) || address >= top || !begins(block))
        block = walk_from(address);

    if (below_top(block)) {
        *out = (struct heap_block){ (vaddr_t)block_payload(block), believed_size(block),
                                    block_is_used(block) ? HEAP_USED : HEAP_FREE };
        return out->size != 0;
    }
    *out = (struct heap_block){ top + HEAP_HEAD, round_down(first_fit.mapped - top, HEAP_ALIGN),
                                HEAP_TOP };
    return payload <= top + HEAP_HEAD;
}

bool heap_walk_object(const struct heap_block *block, vaddr_t address, struct heap_object *object)
{
    const struct chunk *chunk = chunk_in(block_at(block->payload - HEAP_HEAD));

    if (chunk == NULL || !chunk_is_sound(chunk) || address < chunk_objects(chunk))
        return false;
    uint32_t index = (uint32_t)(address - chunk_objects(chunk)) / chunk->size;
    if (index >= chunk->count)
        return false;
    *object = (struct heap_object){ (vaddr_t)chunk_object(chunk, index), chunk->size,
                                    small_is_idle(chunk, index) };
    return true;
}

/* A chunk's first live object at or behind an address; false if it has none. */
static bool live_in_chunk(const struct chunk *chunk, vaddr_t from, vaddr_t *live)
{
    for (uint32_t i = 0; chunk_is_sound(chunk) && i < chunk->count; i++) {
        *live = (vaddr_t)chunk_object(chunk, i);
        if (*live >= from && !small_is_idle(chunk, i))
            return true;
    }
    return false;
}

bool heap_walk_next_live(vaddr_t payload, vaddr_t *live, size_t *room)
{
    struct heap_block block = { payload, 0, HEAP_FREE };
    const struct chunk *chunk = small_chunk_near(payload);

    if (chunk == NULL) /* its objects begin behind its links */
        chunk = small_chunk_near(payload + sizeof(*chunk));
    if (chunk != NULL) {
        *room = chunk->size;
        if (live_in_chunk(chunk, payload, live))
            return true;
        block.payload = (vaddr_t)chunk + used_size(payload_block(chunk));
    }
    while (heap_walk_next(block.payload + block.size, &block) && block.kind != HEAP_TOP) {
        if (block.kind != HEAP_USED)
            continue;
        chunk = chunk_in(block_at(block.payload - HEAP_HEAD));
        *live = block.payload;
        *room = chunk != NULL ? chunk->size : block.size - HEAP_HEAD;
        if (chunk == NULL || live_in_chunk(chunk, block.payload, live))
            return true;
    }
    return false;
}

/* ---- The validator ---- */

/* What the walk has seen, to be compared with what the heap keeps. */
struct census {
    size_t used, live;
    uint32_t chunks;
};

static uint32_t segments_in_use(void)
{
    return segment_of(first_fit.mapped - 1) + 1;
}

/* A chunk's figures, and what the table says of its objects. Its list is checked by class. */
static enum heap_fault check_chunk(const struct chunk *chunk, struct census *census)
{
    if (!chunk_is_sound(chunk) || (chunk->idle & ~chunk->all) != 0)
        return HEAP_BAD_CHUNK;

    uint32_t live = chunk->count - count_bits(chunk->idle);
    for (uint32_t i = 0; i < chunk->count; i++) {
        if (small_chunk_near((vaddr_t)chunk_object(chunk, i)) != chunk)
            return HEAP_BAD_TABLE;
    }
    census->live += live;
    census->used += live * chunk->size;
    census->chunks++;
    return HEAP_SOUND;
}

static enum heap_fault check_used(struct block *block, struct census *census)
{
    const struct chunk *chunk = chunk_in(block);

    if (chunk != NULL)
        return check_chunk(chunk, census);
    census->used += used_size(block);
    census->live++;
    return HEAP_SOUND;
}

/* Every block from the first to the top: heads, borders and flags. */
static enum heap_fault check_blocks(struct census *census)
{
    bool after_free = false;

    for (struct block *block = first_block(); below_top(block);) {
        uint32_t size = believed_size(block);

        if (size == 0)
            return HEAP_BAD_SIZE;
        if (after_free && !block_is_used(block))
            return HEAP_UNMERGED;
        if (after_free != (block_is_used(block) && (block->head & PREV_FREE) != 0))
            return HEAP_BAD_FLAG;
        if (!block_is_used(block) && last_word(block, size) != size)
            return HEAP_BAD_END;

        enum heap_fault fault = block_is_used(block) ? check_used(block, census) : HEAP_SOUND;
        if (fault != HEAP_SOUND)
            return fault;
        after_free = !block_is_used(block);
        block = block_at(block_address(block) + size);
    }
    return after_free ? HEAP_FREE_BELOW_TOP : HEAP_SOUND;
}

/* The lists one after another against the free blocks in address order. */
static enum heap_fault check_lists(void)
{
    const struct block *previous = NULL, *listed = NULL;
    uint32_t segment = 0, largest = 0, seen_outside = 0;

    for (struct block *block = first_block();;) {
        bool end = !below_top(block);
        uint32_t here = end ? segments_in_use() : segment_of(block_address(block));
        uint32_t size = end ? 0 : believed_size(block);

        if (!end && block == first_fit.outside && size == first_fit.outside_size)
            seen_outside++;
        if (end || (!block_is_used(block) && block != first_fit.outside)) {
            for (; segment < here; segment++, previous = NULL, largest = 0) {
                listed = previous == NULL ? first_fit.first[segment] : previous->next;
                if (listed != NULL)
                    return HEAP_BAD_LIST;
                if (first_fit.tree.leaf[segment] != largest)
                    return HEAP_BAD_TREE;
            }
            if (end)
                break;
            listed = previous == NULL ? first_fit.first[segment] : previous->next;
            if (listed != block)
                return HEAP_BAD_LIST;
            previous = block;
            largest = size > largest ? size : largest;
        }
        block = block_at(block_address(block) + size);
    }
    return seen_outside == (first_fit.outside != NULL) ? HEAP_SOUND : HEAP_BAD_LIST;
}

/* Every node is the largest of its children; the root is high enough, and changes stop there. */
static enum heap_fault check_tree(void)
{
    const struct max_tree *tree = &first_fit.tree;
    uint32_t nodes = segments_in_use(), level = tree->leaves;

    while (level != tree->root) {
        nodes = (nodes + MAX_TREE_FAN - 1) / MAX_TREE_FAN;
        level /= MAX_TREE_FAN;
        for (uint32_t i = level; i < level + nodes; i++) {
            if (tree->nodes[i] != max_tree_of_four(&tree->nodes[i * MAX_TREE_FAN]))
                return HEAP_BAD_TREE;
        }
    }
    bool stops = tree->nodes[tree->root / MAX_TREE_FAN] == UINT32_MAX;
    return nodes == 1 && stops ? HEAP_SOUND : HEAP_BAD_TREE;
}

/* Each class's list and spare, and that every chunk that the walk met belongs to one. */
static enum heap_fault check_classes(uint32_t chunks_met)
{
    uint32_t chunks = 0, active = 0;

    for (uint32_t i = SMALL_FIRST; i < SMALL_CLASSES; i++) {
        const struct small_class *class = &small.classes[i];
        const struct chunk *previous = NULL;
        uint32_t listed = 0;

        for (const struct chunk *chunk = small.partial[i]; chunk != NULL; chunk = chunk->next) {
            if (chunk->previous != previous || chunk->size != i * HEAP_ALIGN || chunk->idle == 0 ||
                ++listed > class->chunks)
                return HEAP_BAD_CHUNK;
            previous = chunk;
        }
        if (class->spare != NULL &&
            (class->spare->size != i * HEAP_ALIGN || class->spare->idle != class->spare->all))
            return HEAP_BAD_CHUNK;
        chunks += class->chunks;
        active += class->chunks != 0;
    }
    return chunks == chunks_met && active == small.active ? HEAP_SOUND : HEAP_BAD_CHUNK;
}

enum heap_fault heap_walk_validate(size_t *live)
{
    struct census census = { 0, 0, 0 };
    enum heap_fault fault;

    if (first_fit.top < first_fit.base + HEAP_HEAD || first_fit.top > first_fit.mapped ||
        first_fit.mapped > first_fit.end || first_fit.top > first_fit.reach)
        return HEAP_BAD_TOP;
    fault = check_blocks(&census);
    if (fault == HEAP_SOUND)
        fault = check_lists();
    if (fault == HEAP_SOUND)
        fault = check_tree();
    if (fault == HEAP_SOUND)
        fault = check_classes(census.chunks);
    if (fault == HEAP_SOUND && census.used != bytes_used())
        fault = HEAP_USED_COUNT;
    *live = census.live;
    return fault;
}
