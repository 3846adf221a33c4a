/*
 * The heap's model, as naive as can be: an allocation goes through the list from its start. Only
 * what would make long traces take minutes is spared: a block is found by halving, and merged with
 * its neighbours alone. Small objects come second and use nothing of the blocks but their calls.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "heap_model.h"

#define HEAD       4u
#define MIN_BLOCK  16u
#define UNLIMITED  0x60000000u /* more than any window */

#define SMALL      256u /* the largest request for small objects */
#define SMALL_FROM (256 * KIB)

void heap_model_init(struct heap_model *model, vaddr_t base, size_t size, bool use_small)
{
    *model = (struct heap_model){
        .base = base, .end = base + size, .limit = base + size, .use_small = use_small
    };
}

void heap_model_destroy(struct heap_model *model)
{
    for (size_t i = 0; i < model->count; i++)
        free(model->blocks[i].chunk);
    free(model->blocks);
    *model = (struct heap_model){ 0 };
}

vaddr_t heap_model_top(const struct heap_model *model)
{
    if (model->count == 0)
        return model->base + HEAD;
    return model->blocks[model->count - 1].start + model->blocks[model->count - 1].size;
}

/* ---- Blocks ---- */

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
    model->used += size;
    model->blocks[i] = (struct model_block){ head, size, true, NULL };
    if (head + size < end)
        insert(model, i + 1, (struct model_block){ head + size, end - (head + size), false, NULL });
    if (start < head)
        insert(model, i, (struct model_block){ start, head - start, false, NULL });
    merge(model, i + 1);
}

static vaddr_t take_block(struct heap_model *model, size_t request, size_t align)
{
    size_t i = 0, size = block_size(request);
    size_t room = align > 8 ? size + align + 8 : size;

    while (i < model->count && (model->blocks[i].used || model->blocks[i].size < room))
        i++;

    vaddr_t start = i < model->count ? model->blocks[i].start : heap_model_top(model);
    vaddr_t head = start;
    while ((head + HEAD) % align != 0 || (head != start && head - start < MIN_BLOCK))
        head += 8;
    if (i == model->count) {
        if (head + size > model->limit)
            return 0;
        insert(model, i, (struct model_block){ start, UNLIMITED, false, NULL });
    }
    carve(model, i, head, size);
    return head + HEAD;
}

/* By halving, as the blocks are in order: the one that `payload` lies in. */
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
    assert(i < model->count && model->blocks[i].used);
    return i;
}

/* Small objects begin with the request after the one that makes the heap this large. */
static void note_growth(struct heap_model *model)
{
    model->grown |= heap_model_top(model) > model->base + SMALL_FROM;
}

static void free_block(struct heap_model *model, vaddr_t payload)
{
    size_t i = find(model, payload);

    assert(model->blocks[i].start + HEAD == payload);
    model->used -= model->blocks[i].size;
    model->blocks[i].used = false;
    model->blocks[i].chunk = NULL;
    merge(model, i);
}

/* In place; false where that cannot be. */
static bool resize_block(struct heap_model *model, size_t i, size_t size)
{
    struct model_block *block = &model->blocks[i];
    size_t room = 0;

    if (i + 1 == model->count)
        room = size <= block->size || block->start + size <= model->limit ? UNLIMITED : 0;
    else if (!block[1].used)
        room = block[1].size;
    if (block->size + room < size)
        return false;

    model->used -= block->size;
    if (size > block->size && room == UNLIMITED) {
        block->size = size;
    } else if (size > block->size) {
        block->size += room;
        erase(model, i + 1);
    }
    carve(model, i, block->start, size);
    return true;
}

/* ---- Small objects ---- */

#define CHUNK_HEAD 24u
#define OBJECTS    32u

struct model_chunk {
    struct model_chunk *next; /* in its class's list */
    vaddr_t payload;
    size_t size; /* of an object */
    size_t count, live;
    bool is_live[OBJECTS];
};

static vaddr_t object(const struct model_chunk *chunk, size_t i)
{
    return chunk->payload + CHUNK_HEAD + i * chunk->size;
}

static void unlist(struct model_class *class, const struct model_chunk *chunk)
{
    struct model_chunk **link = &class->partial;

    while (*link != chunk)
        link = &(*link)->next;
    *link = chunk->next;
}

static void list_first(struct model_class *class, struct model_chunk *chunk)
{
    chunk->next = class->partial;
    class->partial = chunk;
}

/* Classes that have a chunk, and one. */
static size_t shares(const struct heap_model *model)
{
    size_t count = 1;

    for (size_t i = 0; i < MODEL_CLASSES; i++)
        count += model->classes[i].chunks > 0;
    return count;
}

/* A class's first chunk with an idle object, made if need be; NULL if it may not or cannot be. */
static struct model_chunk *chunk_with_room(struct heap_model *model, size_t size)
{
    struct model_class *class = &model->classes[size / 8];
    size_t each = model->used / 32 / shares(model); /* bytes of a chunk */

    if (class->partial != NULL)
        return class->partial;
    if (class->spare != NULL) {
        list_first(class, class->spare);
        class->spare = NULL;
        return class->partial;
    }
    if (each < 1024)
        return NULL;
    if (each > 2048)
        each = 2048;

    size_t count = (each - CHUNK_HEAD + size - 1) / size; /* objects that begin in it */
    if (count > OBJECTS)
        count = OBJECTS;
    vaddr_t payload = take_block(model, CHUNK_HEAD + count * size, 8);
    if (payload == 0)
        return NULL;

    struct model_block *block = &model->blocks[find(model, payload)];
    model->used -= block->size; /* its objects count when they are taken */
    block->chunk = calloc(1, sizeof(*block->chunk));
    assert(block->chunk != NULL);
    *block->chunk = (struct model_chunk){ .payload = payload, .size = size, .count = count };
    list_first(class, block->chunk);
    class->chunks++;
    model->chunks_made++;
    return block->chunk;
}

static vaddr_t take_object(struct heap_model *model, struct model_chunk *chunk)
{
    size_t i = 0;

    while (chunk->is_live[i])
        i++;
    chunk->is_live[i] = true;
    model->used += chunk->size;
    if (++chunk->live == chunk->count)
        unlist(&model->classes[chunk->size / 8], chunk);
    return object(chunk, i);
}

/* Gives a chunk's block back; it is in no list. */
static void drop_chunk(struct heap_model *model, struct model_chunk *chunk)
{
    model->classes[chunk->size / 8].chunks--;
    model->used += model->blocks[find(model, chunk->payload)].size;
    free_block(model, chunk->payload);
    free(chunk);
}

static void free_object(struct heap_model *model, struct model_chunk *chunk, vaddr_t payload)
{
    struct model_class *class = &model->classes[chunk->size / 8];
    size_t i = (payload - object(chunk, 0)) / chunk->size;

    assert(object(chunk, i) == payload && chunk->is_live[i]);
    chunk->is_live[i] = false;
    model->used -= chunk->size;
    if (chunk->live-- == chunk->count)
        list_first(class, chunk);
    if (chunk->live > 0)
        return;
    unlist(class, chunk);
    if (class->spare == NULL)
        class->spare = chunk;
    else
        drop_chunk(model, chunk);
}

/* Gives the spare of the lowest class that has one back. */
static bool drop_spare(struct heap_model *model)
{
    for (size_t i = 0; i < MODEL_CLASSES; i++) {
        struct model_chunk *spare = model->classes[i].spare;

        if (spare != NULL) {
            model->classes[i].spare = NULL;
            drop_chunk(model, spare);
            model->spares_dropped++;
            return true;
        }
    }
    return false;
}

/* ---- Both ---- */

vaddr_t heap_model_alloc(struct heap_model *model, size_t request, size_t align)
{
    struct model_chunk *chunk = NULL;
    vaddr_t payload;

    if (request == 0 || request > model->end - model->base)
        return 0;
    if (model->use_small && model->grown && request <= SMALL && align <= 8)
        chunk = chunk_with_room(model, request <= 16 ? 16 : (request + 7) / 8 * 8);
    if (chunk != NULL) {
        payload = take_object(model, chunk);
    } else {
        do
            payload = take_block(model, request, align);
        while (payload == 0 && drop_spare(model));
    }
    model->live += payload != 0;
    note_growth(model);
    return payload;
}

void heap_model_free(struct heap_model *model, vaddr_t payload)
{
    struct model_chunk *chunk = model->blocks[find(model, payload)].chunk;

    model->live--;
    if (chunk != NULL)
        free_object(model, chunk, payload);
    else
        free_block(model, payload);
}

vaddr_t heap_model_realloc(struct heap_model *model, vaddr_t payload, size_t request)
{
    size_t i = find(model, payload);
    const struct model_chunk *chunk = model->blocks[i].chunk;

    if (request > model->end - model->base)
        return 0;
    if (chunk != NULL ? request <= chunk->size : resize_block(model, i, block_size(request))) {
        note_growth(model);
        return payload;
    }

    vaddr_t copy = heap_model_alloc(model, request, 8);
    if (copy != 0)
        heap_model_free(model, payload);
    return copy;
}
