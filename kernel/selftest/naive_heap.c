/*
 * The naive list. Its numbers are the specification's and not taken from the heap's sources.
 */
#include "selftest/naive_heap.h"
#include <heap.h>
#include <lib/bits.h>
#include <panic.h>

#define HEAD     4u
#define SMALLEST 16u

static uint32_t block_size(size_t request)
{
    uint32_t size = round_up(request + HEAD, 8);

    return size < SMALLEST ? SMALLEST : size;
}

/* ---- The running heap ---- */

bool naive_read(struct naive_heap *heap)
{
    struct heap_block block = { 0, 0, HEAP_TOP };

    for (heap->count = 0; heap_next_block(block.payload + block.size, &block); heap->count++) {
        if (block.kind == HEAP_TOP) {
            heap->top = block.payload;
            return true;
        }
        if (heap->count == heap->room)
            return false;
        heap->blocks[heap->count] =
            (struct naive_block){ block.payload, block.size, block.kind == HEAP_USED };
    }
    return false;
}

bool naive_agrees(const struct naive_heap *heap)
{
    struct heap_block block = { 0, 0, HEAP_TOP };

    for (uint32_t i = 0; i < heap->count; i++) {
        const struct naive_block *expected = &heap->blocks[i];
        enum heap_block_kind kind = expected->used ? HEAP_USED : HEAP_FREE;

        if (!heap_next_block(block.payload + block.size, &block) || block.kind != kind ||
            block.payload != expected->payload || block.size != expected->size)
            return false;
    }
    return heap_next_block(block.payload + block.size, &block) && block.kind == HEAP_TOP &&
           block.payload == heap->top;
}

/* ---- The list ---- */

/* The used block at `payload`, or `count`. */
static uint32_t find(const struct naive_heap *heap, vaddr_t payload)
{
    uint32_t i = 0;

    while (i < heap->count && (!heap->blocks[i].used || heap->blocks[i].payload != payload))
        i++;
    return i;
}

bool naive_has(const struct naive_heap *heap, vaddr_t payload)
{
    return find(heap, payload) < heap->count;
}

static void insert(struct naive_heap *heap, uint32_t at, struct naive_block block)
{
    ASSERT(heap->count < heap->room);
    for (uint32_t i = heap->count++; i > at; i--)
        heap->blocks[i] = heap->blocks[i - 1];
    heap->blocks[at] = block;
}

/* Joins block `i` and the one behind it. */
static void join(struct naive_heap *heap, uint32_t i)
{
    heap->blocks[i].size += heap->blocks[i + 1].size;
    heap->count--;
    for (uint32_t j = i + 1; j < heap->count; j++)
        heap->blocks[j] = heap->blocks[j + 1];
}

/* Cuts block `i` to `size` bytes, unless the rest is too small; the rest is free. */
static bool cut(struct naive_heap *heap, uint32_t i, size_t size)
{
    struct naive_block *block = &heap->blocks[i];
    size_t rest = block->size - size;

    if (rest < SMALLEST)
        return false;
    block->size = size;
    insert(heap, i + 1, (struct naive_block){ block->payload + size, rest, false });
    return true;
}

/* Block `i` has become free: it merges with its neighbours, the wilderness among them. */
static void merge(struct naive_heap *heap, uint32_t i)
{
    if (i + 1 < heap->count && !heap->blocks[i + 1].used)
        join(heap, i);
    if (i > 0 && !heap->blocks[i - 1].used)
        join(heap, --i);
    if (i + 1 == heap->count) {
        heap->top = heap->blocks[i].payload;
        heap->count--;
    }
}

/* ---- Placing ---- */

static uint32_t lowest_free(const struct naive_heap *heap, size_t size)
{
    uint32_t i = 0;

    while (i < heap->count && (heap->blocks[i].used || heap->blocks[i].size < size))
        i++;
    return i;
}

/* Where the payload goes in what is free from `start` on: the gap in front is none or a block. */
static vaddr_t place(vaddr_t start, size_t align)
{
    vaddr_t payload = round_up(start, align);

    while (payload != start && payload - start < SMALLEST)
        payload += align;
    return payload;
}

vaddr_t naive_alloc(struct naive_heap *heap, size_t request, size_t align)
{
    size_t size = block_size(request);
    uint32_t i = lowest_free(heap, align > 8 ? size + align + 8 : size);
    vaddr_t start = i < heap->count ? heap->blocks[i].payload : heap->top;
    vaddr_t payload = place(start, align);

    if (i == heap->count) {
        heap->top = payload + size;
        insert(heap, i, (struct naive_block){ start, heap->top - start, false });
    }
    if (payload != start)
        cut(heap, i++, payload - start);
    cut(heap, i, size);
    heap->blocks[i].used = true;
    return payload;
}

void naive_free(struct naive_heap *heap, vaddr_t payload)
{
    uint32_t i = find(heap, payload);

    ASSERT(i < heap->count);
    heap->blocks[i].used = false;
    merge(heap, i);
}

/* Whether block `i` can have `size` bytes where it is; then it has. */
static bool resize(struct naive_heap *heap, uint32_t i, size_t size)
{
    struct naive_block *block = &heap->blocks[i];

    if (size <= block->size) {
        if (cut(heap, i, size))
            merge(heap, i + 1);
    } else if (i + 1 == heap->count) {
        block->size = size;
        heap->top = block->payload + size;
    } else if (!block[1].used && block->size + block[1].size >= size) {
        join(heap, i);
        cut(heap, i, size);
    } else {
        return false;
    }
    return true;
}

vaddr_t naive_realloc(struct naive_heap *heap, vaddr_t payload, size_t request)
{
    uint32_t i = find(heap, payload);

    ASSERT(i < heap->count);
    if (resize(heap, i, block_size(request)))
        return payload;
    vaddr_t moved = naive_alloc(heap, request, 8);
    naive_free(heap, payload);
    return moved;
}
