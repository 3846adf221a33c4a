/*
 * The heap's model, as naive as can be: an allocation goes through the list from its start. Only
 * what would make long traces take minutes is spared: a block is found by halving, and merged with
 * its neighbours alone.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "heap_model.h"

#define HEAD      4u
#define MIN_BLOCK 16u
#define UNLIMITED 0x60000000u /* more than any window */

void heap_model_init(struct heap_model *model, vaddr_t base, size_t size)
{
    *model = (struct heap_model){ .base = base, .end = base + size, .limit = base + size };
}

void heap_model_destroy(struct heap_model *model)
{
    free(model->blocks);
    *model = (struct heap_model){ 0 };
}

vaddr_t heap_model_top(const struct heap_model *model)
{
    if (model->count == 0)
        return model->base + HEAD;
    return model->blocks[model->count - 1].start + model->blocks[model->count - 1].size;
}

static size_t block_size(size_t request)
{
    size_t size = (request + HEAD + 7) / 8 * 8;
    return size < MIN_BLOCK ? MIN_BLOCK : size;
}

static void insert(struct heap_model *model, size_t i, struct model_block block)
{
    if (model->count == model->capacity) {
        model->capacity = 2 * model->capacity + 64;
        model->blocks = realloc(model->blocks, model->capacity * sizeof(block));
        assert(model->blocks != NULL);
    }
    memmove(model->blocks + i + 1, model->blocks + i, (model->count - i) * sizeof(block));
    model->blocks[i] = block;
    model->count++;
}

static void erase(struct heap_model *model, size_t i)
{
    model->count--;
    memmove(model->blocks + i, model->blocks + i + 1,
            (model->count - i) * sizeof(model->blocks[0]));
}

/* Joins what is free around block i; what is free at the end is the wilderness and no block. */
static void merge(struct heap_model *model, size_t i)
{
    struct model_block *blocks = model->blocks;

    for (size_t j = i + 2; j-- > i - (i > 0);) {
        if (j > 0 && j < model->count && !blocks[j - 1].used && !blocks[j].used) {
            blocks[j - 1].size += blocks[j].size;
            erase(model, j);
        }
    }
    if (model->count > 0 && !blocks[model->count - 1].used)
        model->count--;
}

/* Makes block i a used one of `size` bytes at `head`; what is before and behind it gets free. */
static void carve(struct heap_model *model, size_t i, vaddr_t head, size_t size)
{
    vaddr_t start = model->blocks[i].start;
    vaddr_t end = start + model->blocks[i].size;

    if (end - (head + size) < MIN_BLOCK)
        size = end - head;
    model->blocks[i] = (struct model_block){ head, size, true };
    if (head + size < end)
        insert(model, i + 1, (struct model_block){ head + size, end - (head + size), false });
    if (start < head)
        insert(model, i, (struct model_block){ start, head - start, false });
    merge(model, i + 1);
}

vaddr_t heap_model_alloc(struct heap_model *model, size_t request, size_t align)
{
    size_t i = 0, size = block_size(request);
    size_t room = align > 8 ? size + align + 8 : size;

    if (request == 0 || request > model->end - model->base)
        return 0;
    while (i < model->count && (model->blocks[i].used || model->blocks[i].size < room))
        i++;

    vaddr_t start = i < model->count ? model->blocks[i].start : heap_model_top(model);
    vaddr_t head = start;
    while ((head + HEAD) % align != 0 || (head != start && head - start < MIN_BLOCK))
        head += 8;
    if (i == model->count) {
        if (head + size > model->limit)
            return 0;
        insert(model, i, (struct model_block){ start, UNLIMITED, false });
    }
    carve(model, i, head, size);
    return head + HEAD;
}

/* By halving, as the blocks are in order. */
static size_t find(const struct heap_model *model, vaddr_t payload)
{
    size_t i = 0, end = model->count;

    while (end - i > 1) {
        size_t middle = i + (end - i) / 2;
        if (model->blocks[middle].start + HEAD <= payload)
            i = middle;
        else
            end = middle;
    }
    assert(i < model->count && model->blocks[i].start + HEAD == payload && model->blocks[i].used);
    return i;
}

void heap_model_free(struct heap_model *model, vaddr_t payload)
{
    size_t i = find(model, payload);
    model->blocks[i].used = false;
    merge(model, i);
}

vaddr_t heap_model_realloc(struct heap_model *model, vaddr_t payload, size_t request)
{
    size_t i = find(model, payload), size = block_size(request), room;
    struct model_block *block = &model->blocks[i];

    if (request > model->end - model->base)
        return 0;
    if (i + 1 == model->count)
        room = block->start + size <= model->limit ? UNLIMITED : 0;
    else
        room = block[1].used ? 0 : block[1].size;

    if (block->size + room >= size) {
        if (size > block->size && room == UNLIMITED) {
            block->size = size;
        } else if (size > block->size) {
            block->size += room;
            erase(model, i + 1);
        }
        carve(model, i, block->start, size);
        return payload;
    }

    vaddr_t copy = heap_model_alloc(model, request, 8);
    if (copy != 0)
        heap_model_free(model, payload);
    return copy;
}
