/*
 * Small objects: chunks come and go.
 *
 * Invariants between calls:
 * - a chunk is in its class's list of partial chunks if it has both idle and live objects, or has
 *   just been added; it is the spare, or gone, when it has idle ones only; full ones are nowhere;
 * - granules say of each chunk where it begins and which KiB it reaches into, and nothing else.
 */
#include "mem/small.h"
#include <lib/string.h>
#include <panic.h>

struct small small;

static void set_threshold(void)
{
    small.threshold = (small.active + 1) * CHUNK_MIN * CHUNK_SHARE;
}

void small_init(struct chunk **chunks)
{
    memset(&small, 0, sizeof(small));
    small.chunks = chunks;
    small_use(true);
    set_threshold();
}

void small_use(bool use)
{
    small.limit = use ? SMALL_MAX : 0;
}

static uint32_t class_of(const struct chunk *chunk)
{
    return chunk->size / HEAP_ALIGN;
}

/* ---- The list of partial chunks ---- */

static void set_partial(uint32_t class, struct chunk *chunk)
{
    small.partial[class] = chunk;
    if (class == SMALL_FIRST)
        small.partial[SMALL_FIRST - 1] = chunk;
}

static void list_push(struct chunk *chunk)
{
    uint32_t class = class_of(chunk);

    chunk->previous = NULL;
    chunk->next = small.partial[class];
    if (chunk->next != NULL)
        chunk->next->previous = chunk;
    set_partial(class, chunk);
}

static void list_remove(struct chunk *chunk)
{
    if (chunk->next != NULL)
        chunk->next->previous = chunk->previous;
    if (chunk->previous != NULL)
        chunk->previous->next = chunk->next;
    else
        set_partial(class_of(chunk), chunk->next);
}

/* ---- Chunks and the first-fit heap ---- */

static uint32_t last_granule(const struct chunk *chunk)
{
    vaddr_t end = chunk_objects(chunk) + chunk->count * chunk->size;

    return (uint32_t)(end - 1 - first_fit.start) / GRANULE_SIZE;
}

static bool reaches(const struct chunk *chunk, uint32_t granule)
{
    return chunk != NULL && last_granule(chunk) >= granule;
}

/* Enters a chunk into the table of chunks, or takes it out. */
static void set_table(struct chunk *chunk, bool enter)
{
    uint32_t first = (uint32_t)((vaddr_t)chunk - first_fit.start) / GRANULE_SIZE;
    uint32_t last = last_granule(chunk);

    for (uint32_t i = first; i <= last; i++) {
        struct chunk **entry = &small.chunks[i];
        if (enter && *entry < chunk)
            *entry = chunk;
        if (!enter && *entry == chunk)
            *entry = i > 0 && reaches(small.chunks[i - 1], i) ? small.chunks[i - 1] : NULL;
    }
}

/* How many objects a new chunk has: more while the heap and its share for chunks are larger. */
static uint32_t object_count(uint32_t size)
{
    uint32_t bytes = first_fit.used / CHUNK_SHARE / (small.active + 1);
    if (bytes < CHUNK_MIN)
        bytes = CHUNK_MIN;
    if (bytes > CHUNK_MAX)
        bytes = CHUNK_MAX;

    uint32_t count = (bytes - CHUNK_HEAD + size - 1) / size;
    return count < CHUNK_OBJECTS ? count : CHUNK_OBJECTS;
}

static uint32_t bits_below(uint32_t count)
{
    return count < 32 ? (1u << count) - 1 : 0xffffffffu;
}

static struct chunk *make_chunk(uint32_t class, vaddr_t *need)
{
    uint32_t size = class * HEAP_ALIGN;
    uint32_t count = object_count(size);
    uint32_t block_size =
        (HEAP_HEAD + CHUNK_HEAD + count * size + HEAP_ALIGN - 1) / HEAP_ALIGN * HEAP_ALIGN;
    struct block *block = first_fit_take(block_size);

    if (block == NULL) {
        *need = first_fit_need(block_size, HEAP_ALIGN);
        return NULL;
    }
    first_fit.used -= used_size(block); /* its objects count when they are taken */

    struct chunk *chunk = block_payload(block);
    *chunk = (struct chunk){
        .idle = { bits_below(count), count > 32 ? bits_below(count - 32) : 0 },
        .reciprocal = (RECIPROCAL_ONE + size - 1) / size,
        .size = (uint16_t)size,
        .count = (uint8_t)count,
    };
    set_table(chunk, true);
    return chunk;
}

bool small_add_chunk(uint32_t class, vaddr_t *need)
{
    struct small_class *own = &small.classes[class];
    struct chunk *chunk = own->spare;

    own->spare = NULL;
    if (chunk == NULL) {
        chunk = make_chunk(class, need);
        if (chunk == NULL)
            return false;
        if (own->chunks++ == 0) {
            small.active++;
            set_threshold();
        }
    }
    list_push(chunk);
    return true;
}

/* A chunk that is in no list and has no live object goes back to where it came from. */
static void give_back(struct chunk *chunk)
{
    struct block *block = payload_block(chunk);

    set_table(chunk, false);
    if (--small.classes[class_of(chunk)].chunks == 0) {
        small.active--;
        set_threshold();
    }
    first_fit.used += used_size(block);
    bool released = first_fit_release(block);
    if (!released)
        panic("heap: the head of the chunk at %p is smashed: 0x%08x", (void *)chunk, block->head);
}

bool small_give_spare(void)
{
    for (uint32_t i = 0; i < SMALL_CLASSES; i++) {
        struct small_class *class = &small.classes[i];
        struct chunk *chunk = class->spare;

        if (chunk != NULL) {
            class->spare = NULL;
            give_back(chunk);
            return true;
        }
    }
    return false;
}

/* ---- What the common way comes across now and then ---- */

IN_REGISTERS void *small_take_high(struct chunk *chunk)
{
    return small_take_bit(chunk, 1);
}

IN_REGISTERS void small_chunk_is_full(struct chunk *chunk)
{
    list_remove(chunk);
}

IN_REGISTERS void small_chunk_has_room(struct chunk *chunk)
{
    list_push(chunk);
}

IN_REGISTERS void small_chunk_is_empty(struct chunk *chunk)
{
    struct small_class *class = &small.classes[class_of(chunk)];

    list_remove(chunk);
    if (class->spare == NULL)
        class->spare = chunk;
    else
        give_back(chunk);
}
