/*
 * Walking the heap block by block: for listings, diagnosis and the validator.
 *
 * A walk believes no head that is not sound, so it ends whatever is broken. heap.c holds its lock.
 */
#ifndef MEM_HEAP_WALK_H
#define MEM_HEAP_WALK_H

#include <heap.h>

/* Where an address lies that is not a live object or block. */
enum heap_walk_place {
    HEAP_WALK_OUTSIDE, /* not in the heap */
    HEAP_WALK_FREE,    /* in a free block, an idle object or the wilderness */
    HEAP_WALK_INSIDE,  /* in a used block, or a live object, but not where it begins */
    HEAP_WALK_SMASHED, /* a block begins there, but its head is broken */
};

enum heap_walk_place heap_walk_find(vaddr_t address);

/*
 * The first-fit block at or behind `payload`, in address order, then the wilderness; false behind
 * that. It takes one step if a block begins at `payload`, else it walks there from the start.
 */
bool heap_walk_next(vaddr_t payload, struct heap_block *block);

/* An object of a chunk. */
struct heap_object {
    vaddr_t payload;
    size_t room; /* bytes that may be used */
    bool idle;
};

/* The object that an address lies in, if the used block is a chunk; false if it lies in none. */
bool heap_walk_object(const struct heap_block *block, vaddr_t address, struct heap_object *object);

/*
 * The first live object or block at or behind `payload`; false if there is none. One step if a
 * block or an object begins at `payload`.
 */
bool heap_walk_next_live(vaddr_t payload, vaddr_t *live, size_t *room);

/* Checks everything. *live: blocks and objects in use, if the answer is HEAP_SOUND. */
enum heap_fault heap_walk_validate(size_t *live);

#endif
