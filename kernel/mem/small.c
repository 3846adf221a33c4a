/*
 * Small objects: chunks come and go.
 *
 * Invariants between calls:
 * - a chunk is in its class's list of partial chunks if it has both idle and live objects, or has
 *   just been added; it is the spare, or gone, when it has idle ones only; full ones are nowhere;
 * - the table says of each granule which chunk touches it, the last one if there are two.
 */
#include "mem/small.h"
#include "mem/guard.h"
#include <lib/string.h>
#include <mem/starve.h>
#include <panic.h>

struct small small;

static void set_threshold(void)
{
    small.threshold = (small.active + 1) * CHUNK_MIN * CHUNK_SHARE;
}

void small_init(uint32_t *table)
{
    memset(&small, 0, sizeof(small));
    small.table = table;
    small_use(true);
    set_threshold();
}

static void set_limit(void)
{
    small.limit = small.use && small.grown ? SMALL_MAX : 0;
    /* kmalloc() adds a guard to what it is asked for. */
    starve_set_unasked(small.limit != 0 ? SMALL_MAX - GUARD_SIZE : 0);
}

void small_map(vaddr_t mapped)
{
    uint32_t size = (uint32_t)(mapped - first_fit.start);

    if (small.covered > size)
        small.covered = size;
    small.grown |= size + HEAP_HEAD > SMALL_FROM;
    set_limit();
}

void small_use(bool use)
{
    small.use = use;
    set_limit();
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

static uint32_t granule_of(vaddr_t address)
{
    return (uint32_t)(address - first_fit.start) / GRANULE_SIZE;
}

static uint32_t last_granule(const struct chunk *chunk)
{
    return granule_of(chunk_objects(chunk) + chunk->count * chunk->size - 1);
}

/* What a granule has to say once a chunk is gone: of the one before, if that touches it too. */
static uint32_t entry_before(uint32_t granule)
{
    uint32_t entry = granule > 0 ? small.table[granule - 1] : 0;

    return entry != 0 && last_granule(entry_chunk(entry)) >= granule ? entry : 0;
}

/* Makes the table say something of the window's first `bytes` bytes. What lies there is 0. */
static void cover(uint32_t bytes)
{
    if (small.covered < bytes)
        small.covered = bytes;
    if (small.reach < bytes)
        small.reach = bytes;
}

static void enter_chunk(const struct chunk *chunk)
{
    uint32_t entry = chunk_entry(chunk), last = last_granule(chunk);

    cover((last + 1) * GRANULE_SIZE);
    for (uint32_t i = granule_of((vaddr_t)chunk); i <= last; i++) {
        if (small.table[i] == 0 || entry < small.table[i])
            small.table[i] = entry;
    }
}

static void remove_chunk(const struct chunk *chunk)
{
    uint32_t entry = chunk_entry(chunk), last = last_granule(chunk);

    for (uint32_t i = granule_of((vaddr_t)chunk); i <= last; i++) {
        if (small.table[i] == entry)
            small.table[i] = entry_before(i);
    }
}

/* How many objects a new chunk has: more while the heap and its share for chunks are larger. */
static uint32_t object_count(uint32_t size)
{
    uint32_t bytes = bytes_used() / CHUNK_SHARE / (small.active + 1);
    if (bytes < CHUNK_MIN)
        bytes = CHUNK_MIN;
    if (bytes > CHUNK_MAX)
        bytes = CHUNK_MAX;

    uint32_t count = (bytes - sizeof(struct chunk) + size - 1) / size;
    return count < CHUNK_OBJECTS ? count : CHUNK_OBJECTS;
}

/* The inverse of an odd number modulo 2^32: each step doubles the low bits that are right. */
static uint32_t inverse_of(uint32_t odd)
{
    uint32_t inverse = odd; /* three bits */

    for (uint32_t bits = 3; bits < 32; bits *= 2)
        inverse *= 2 - odd * inverse;
    return inverse;
}

static struct chunk *make_chunk(uint32_t class, vaddr_t *need)
{
    uint32_t size = class * HEAP_ALIGN, count = object_count(size);
    uint32_t bytes = HEAP_HEAD + sizeof(struct chunk) + count * size;
    uint32_t block_size = (bytes + HEAP_ALIGN - 1) / HEAP_ALIGN * HEAP_ALIGN;
    struct usage usage = first_fit.usage;
    struct chunk *chunk = first_fit_take(block_size);

    if (chunk == NULL) {
        *need = first_fit_need(block_size, HEAP_ALIGN);
        return NULL;
    }
    first_fit.usage = usage; /* its objects count when they are taken */
    payload_block(chunk)->head ^= BLOCK_CHUNK;

    uint32_t all = count < CHUNK_OBJECTS ? (1u << count) - 1 : UINT32_MAX;
    uint32_t shift = (uint32_t)__builtin_ctz(size);
    *chunk = (struct chunk){
        .idle = all,
        .all = all,
        .inverse = inverse_of(size >> shift),
        .size = (uint16_t)size,
        .shift = (uint8_t)shift,
        .count = (uint8_t)count,
    };
    enter_chunk(chunk);
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

    if (--small.classes[class_of(chunk)].chunks == 0) {
        small.active--;
        set_threshold();
    }
    remove_chunk(chunk);
    block->head ^= BLOCK_CHUNK;
    first_fit.usage.below -= used_size(block); /* what the release counts as unused */
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
