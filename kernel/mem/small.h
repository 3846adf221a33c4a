/*
 * Small objects: requests of at most SMALL_MAX bytes, served from chunks.
 *
 *   chunk  | links | idle bits | object | object | object | ... |
 *
 * A chunk is the payload of a first-fit block: up to 64 objects of one class, which is the request
 * rounded up to 8 bytes, 16 at least. Objects have no heads. Which chunk an address belongs to says
 * a table with one entry for each KiB of the window, and which object it is a multiplication; a bit
 * then says whether that object is live. So no pointer but exactly a live object's passes for one.
 *
 * The lowest idle object of a class's first partial chunk is taken; a chunk that was full becomes
 * the first when one of its objects is given back. Each class keeps one chunk without a live object
 * as its spare, which serves when no partial chunk is left; further ones are given back at once.
 *
 * What lies idle in chunks is bounded: a class gets a new chunk only while one for every class
 * that has any takes at most 1/CHUNK_SHARE of the bytes in use. Until then, and whenever there is
 * no memory for a chunk, the request itself is a first-fit block. In a small heap all are.
 *
 * Pure; heap.c holds its lock around everything.
 */
#ifndef MEM_SMALL_H
#define MEM_SMALL_H

#include "mem/first_fit.h"
#include <types.h>

#define SMALL_MAX     256u
#define SMALL_CLASSES (SMALL_MAX / HEAP_ALIGN + 1) /* class c: objects of 8 c bytes */
#define SMALL_FIRST   2u /* the lowest class: smaller objects would be too many for a chunk */

#define CHUNK_OBJECTS 64u
#define CHUNK_MIN     1024u /* so at most one chunk begins in each granule */
#define CHUNK_MAX     2048u
#define CHUNK_SHARE   32u

#define GRANULE_SHIFT 10
#define GRANULE_SIZE  (1u << GRANULE_SHIFT)

struct chunk {
    struct chunk *next, *previous; /* in the class's list of partial chunks */
    uint32_t idle[CHUNK_OBJECTS / 32];
    uint32_t reciprocal; /* RECIPROCAL_ONE / size, rounded up */
    uint16_t size;       /* of an object */
    uint8_t count;       /* objects */
    uint8_t live;
};

/* A distance below CHUNK_MAX times 2 and a reciprocal multiply to less than 2^32. */
#define RECIPROCAL_SHIFT 20
#define RECIPROCAL_ONE   (1u << RECIPROCAL_SHIFT)

#define CHUNK_HEAD       ((uint32_t)sizeof(struct chunk))

struct small_class {
    struct chunk *spare; /* has only idle objects, or NULL */
    uint32_t chunks;
};

struct small {
    uint32_t limit;        /* the largest request that chunks serve: SMALL_MAX, or 0 */
    uint32_t threshold;    /* bytes in use that allow a new chunk */
    uint32_t active;       /* classes that have a chunk */
    struct chunk **chunks; /* for each KiB of the window, the last chunk that touches it, or NULL */
    struct chunk *partial[SMALL_CLASSES]; /* the first that has idle objects; class 1 has 2's */
    struct small_class classes[SMALL_CLASSES];
};

extern struct small small;

/* No chunks. `chunks`: one for each KiB of the window, NULL as far as the window is mapped. */
void small_init(struct chunk **chunks);

/* Whether small requests are served from chunks; those that live are given back either way. */
void small_use(bool use);

static inline bool small_serves(size_t request)
{
    return request - 1 < small.limit;
}

/* The request's class in `partial`; small_class_of() makes it one of `classes`. */
static inline uint32_t small_number_of(size_t request)
{
    return (request + HEAP_ALIGN - 1) / HEAP_ALIGN;
}

static inline uint32_t small_class_of(size_t request)
{
    uint32_t class = small_number_of(request);

    return class < SMALL_FIRST ? SMALL_FIRST : class;
}

static inline vaddr_t chunk_objects(const struct chunk *chunk)
{
    return (vaddr_t)chunk + CHUNK_HEAD;
}

/* No object of a chunk is idle any more. */
IN_REGISTERS void small_chunk_is_full(struct chunk *chunk);

/* An object of a chunk that was full is idle again. */
IN_REGISTERS void small_chunk_has_room(struct chunk *chunk);

/* No object of a chunk is live any more. */
IN_REGISTERS void small_chunk_is_empty(struct chunk *chunk);

/* Takes the object of the lowest bit that is set in one word of a chunk's idle bits. */
static inline void *small_take_bit(struct chunk *chunk, uint32_t word)
{
    uint32_t idle = chunk->idle[word], size = chunk->size;
    uint32_t index = word * 32 + (uint32_t)__builtin_ctz(idle);
    void *object = (void *)(chunk_objects(chunk) + index * size);

    first_fit.used += size;
    chunk->live++;
    idle &= idle - 1;
    chunk->idle[word] = idle;
    if (UNLIKELY(idle == 0) && chunk->idle[1 - word] == 0)
        small_chunk_is_full(chunk);
    return object;
}

/* The same for a chunk whose first 32 objects are live. */
IN_REGISTERS void *small_take_high(struct chunk *chunk);

/* Takes the lowest idle object of a partial chunk. */
static inline void *small_take_from(struct chunk *chunk)
{
    return chunk->idle[0] != 0 ? small_take_bit(chunk, 0) : small_take_high(chunk);
}

/* The last chunk that touches the KiB of an address of [start, mapped), or NULL. */
static inline struct chunk *small_last_chunk(vaddr_t address)
{
    return small.chunks[(address - first_fit.start) / GRANULE_SIZE];
}

/*
 * The chunk that holds an address, if any does, given small_last_chunk() of the address: that, or
 * the one in the KiB before if the address is lower.
 */
static inline struct chunk *small_chunk_near(vaddr_t address, struct chunk *last)
{
    if (address >= (vaddr_t)last)
        return last;
    return address - first_fit.start < GRANULE_SIZE ? NULL
                                                    : small_last_chunk(address - GRANULE_SIZE);
}

/*
 * Where an address of a chunk or behind it lies among the chunk's objects: the index of one, maybe
 * above the last, and in the low bits how far into it.
 */
static inline uint32_t small_place(const struct chunk *chunk, vaddr_t address)
{
    return (uint32_t)(address - chunk_objects(chunk)) * chunk->reciprocal;
}

static inline uint32_t small_index(uint32_t place)
{
    return place >> RECIPROCAL_SHIFT;
}

/* Whether it is where the object begins. */
static inline bool small_is_exact(const struct chunk *chunk, uint32_t place)
{
    return place % RECIPROCAL_ONE < chunk->reciprocal;
}

/* Whether object `index`, below the chunk's count, is idle. */
static inline bool small_is_idle(const struct chunk *chunk, uint32_t index)
{
    return (chunk->idle[index / 32] & 1u << index % 32) != 0;
}

/* Gives back object `index`, below the chunk's count. False if it is idle already. */
static inline bool small_give(struct chunk *chunk, uint32_t index)
{
    uint32_t *word = &chunk->idle[index / 32], bit = 1u << index % 32, idle = *word;

    if (UNLIKELY((idle & bit) != 0))
        return false;
    *word = idle | bit;
    first_fit.used -= chunk->size;
    if (UNLIKELY(--chunk->live == 0))
        small_chunk_is_empty(chunk);
    else if (UNLIKELY(idle == 0) && chunk->live + 1 == chunk->count)
        small_chunk_has_room(chunk);
    return true;
}

/* Whether a class whose chunks are full may have another. */
static inline bool small_may_grow(uint32_t class)
{
    return small.classes[class].spare != NULL || first_fit.used >= small.threshold;
}

/*
 * Adds a chunk with idle objects: the spare one or a new one. False if the pages that are mapped
 * hold none; *need is then up to where they would have to reach.
 */
bool small_add_chunk(uint32_t class, vaddr_t *need) MUST_CHECK;

/* Gives one spare chunk back to the first-fit heap; false when there is none. */
bool small_give_spare(void);

#endif
