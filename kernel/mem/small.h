/*
 * Small objects: requests of at most SMALL_MAX bytes, served from chunks.
 *
 *   chunk  | links, idle bits | object | object | object | ... |
 *
 * A chunk is the payload of a first-fit block: up to 32 objects of one class, which is the request
 * rounded up to 8 bytes, 16 at least. Objects have no heads. Which chunk an address belongs to says
 * a table with one entry for each 512 bytes of the window, which object it is a multiplication, and
 * whether that is live a bit of the chunk. So no pointer but exactly a live object's passes for
 * one.
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
#include <lib/bits.h>
#include <types.h>

#define SMALL_MAX     256u
#define SMALL_CLASSES (SMALL_MAX / HEAP_ALIGN + 1) /* class c: objects of 8 c bytes */
#define SMALL_FIRST   2u                           /* the lowest class */

/* Until the heap has once had more pages than this, all requests are blocks: lists are short. */
#define SMALL_FROM    (256u * KIB)

#define CHUNK_OBJECTS 32u
#define CHUNK_MIN     1024u /* bytes that a new chunk may always have */
#define CHUNK_MAX     2048u /* and at most; an object may reach beyond, but not begin there */
#define CHUNK_SHARE   32u

/* No chunk is smaller, so at most one begins in each granule. */
#define GRANULE_SHIFT 9
#define GRANULE_SIZE  (1u << GRANULE_SHIFT)

struct chunk {
    struct chunk *next, *previous; /* in the class's list of partial chunks */
    uint32_t idle;                 /* a bit for each object */
    uint32_t all;                  /* the same bits, all set */
    uint32_t inverse;              /* of the size's odd part, modulo 2^32 */
    uint16_t size;                 /* of an object */
    uint8_t shift;                 /* the size is its odd part times 2^shift */
    uint8_t count;                 /* objects */
};

struct small_class {
    struct chunk *spare; /* has only idle objects, or NULL */
    uint32_t chunks;
};

struct small {
    uint32_t limit;     /* the largest request that chunks serve: SMALL_MAX, or 0 */
    bool use, grown;    /* which it is if both hold: that it is wanted, and SMALL_FROM */
    uint32_t threshold; /* bytes in use that allow a new chunk */
    uint32_t active;    /* classes that have a chunk */
    uint32_t *table;    /* for each granule of the window, see chunk_entry() */
    uint32_t covered;   /* bytes of the window of which the table says something */
    uint32_t reach;     /* the most that ever were */
    struct chunk *partial[SMALL_CLASSES]; /* the first that has idle objects; class 1 has 2's */
    struct small_class classes[SMALL_CLASSES];
};

extern struct small small;

/* No chunks. `table`: an entry for each granule of the window, 0 as far as the window is mapped. */
void small_init(uint32_t *table);

/* The window's pages end at `mapped` now. */
void small_map(vaddr_t mapped);

/* Whether small requests are served from chunks; those that live are given back either way. */
void small_use(bool use);

/* Whether a request may be one for chunks; 0 bytes as well, though they have no class. */
static inline bool small_serves(size_t request)
{
    return request <= small.limit;
}

/* The request's class in `partial`; small_class_of() makes it one of `classes`. */
static inline uint32_t small_number_of(size_t request)
{
    return (request + HEAP_ALIGN - 1) / HEAP_ALIGN;
}

/* The first partial chunk of a small request's class, or NULL. */
static inline struct chunk *small_partial(size_t request)
{
    return *(small.partial + small_number_of(request));
}

static inline uint32_t small_class_of(size_t request)
{
    uint32_t class = small_number_of(request);

    return class < SMALL_FIRST ? SMALL_FIRST : class;
}

/* ---- From an address to its object ---- */

static inline vaddr_t chunk_objects(const struct chunk *chunk)
{
    return (vaddr_t)(chunk + 1);
}

/* A chunk's entry in the table: its address, negative. So 0 is farther away than any. */
static inline uint32_t chunk_entry(const struct chunk *chunk)
{
    return -(uint32_t)(vaddr_t)chunk;
}

static inline struct chunk *entry_chunk(uint32_t entry)
{
    return (struct chunk *)(vaddr_t)-entry;
}

/* Whether the table says something of an address; if not, no chunk is there. */
static inline bool small_covers(vaddr_t address)
{
    return (uint32_t)(address - first_fit.start) < small.covered;
}

/* The entry of the last chunk that touches the granule of an address that is covered. */
static inline uint32_t small_last_entry(vaddr_t address)
{
    return small.table[(uint32_t)(address - first_fit.start) / GRANULE_SIZE];
}

/*
 * The same, given that the last chunk that touches the granule begins behind the address: the one
 * before touches the granule before as well, and is the last there.
 */
static inline uint32_t small_entry_before(vaddr_t address)
{
    return (uint32_t)(address - first_fit.start) < GRANULE_SIZE
               ? 0
               : small_last_entry(address - GRANULE_SIZE);
}

/* How far an address lies behind the first object: above CHUNK_MAX in front of it, or with 0. */
static inline uint32_t small_distance(vaddr_t address, uint32_t entry)
{
    return (uint32_t)address + entry - (uint32_t)sizeof(struct chunk);
}

/*
 * The index of the object that begins so far behind the first one; CHUNK_OBJECTS or more if none
 * does. Multiplying by the inverse divides by the odd part, the rotation by the rest: both are one
 * to one, so that what is no multiple of the size comes out where no multiple does.
 */
static inline uint32_t small_index(const struct chunk *chunk, uint32_t distance)
{
    uint32_t quotient = distance * chunk->inverse;

    /* By less than 32 either way, which is what a rotation is. */
    return quotient >> chunk->shift % 32 | quotient << -chunk->shift % 32u;
}

/* The chunk among whose objects an address lies, or NULL. */
static inline struct chunk *small_chunk_near(vaddr_t address)
{
    uint32_t entry = small_covers(address) ? small_last_entry(address) : 0;

    if (entry != 0 && address < (vaddr_t)entry_chunk(entry))
        entry = small_entry_before(address);
    if (entry == 0)
        return NULL;
    struct chunk *chunk = entry_chunk(entry);
    return small_distance(address, entry) < chunk->count * (uint32_t)chunk->size ? chunk : NULL;
}

static inline void *chunk_object(const struct chunk *chunk, uint32_t index)
{
    return (void *)(chunk_objects(chunk) + index * chunk->size);
}

/* ---- Taking and giving ---- */

/* No object of a chunk is idle any more. */
IN_REGISTERS void small_chunk_is_full(struct chunk *chunk);

/* An object of a chunk that was full is idle again. */
IN_REGISTERS void small_chunk_has_room(struct chunk *chunk);

/* No object of a chunk is live any more. */
IN_REGISTERS void small_chunk_is_empty(struct chunk *chunk);

/* The lowest idle object of a partial chunk: the next to be taken. */
static inline void *small_lowest(const struct chunk *chunk)
{
    return chunk_object(chunk, lowest_bit(chunk->idle));
}

/* Takes it, which count_used() is told as well; true if the chunk has no other. */
static inline bool small_take_lowest(struct chunk *chunk)
{
    return clear_lowest_bit(&chunk->idle);
}

static inline bool small_is_idle(const struct chunk *chunk, uint32_t index)
{
    return (chunk->idle & 1u << index) != 0;
}

/* Gives back the one object that is in `idle`, but not yet in the chunk's idle ones. */
static inline void small_give(struct chunk *chunk, uint32_t idle)
{
    chunk->idle = idle;
    count_unused(chunk->size);
}

/* Whether a class whose chunks are full may have another. */
static inline bool small_may_grow(uint32_t class)
{
    return small.classes[class].spare != NULL || bytes_used() >= small.threshold;
}

/*
 * Adds a chunk with idle objects: the spare one or a new one. False if the pages that are mapped
 * hold none; *need is then up to where they would have to reach.
 */
bool small_add_chunk(uint32_t class, vaddr_t *need) MUST_CHECK;

/* Gives one spare chunk back to the first-fit heap; false when there is none. */
bool small_give_spare(void);

#endif
