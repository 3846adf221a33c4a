/*
 * The heap beside its model: each call is made on both, and both must answer the same.
 *
 * Live blocks are held in slots. Each is filled with bytes of its own, in full or at both ends if
 * it is large, and these are checked before it is freed or resized: no two blocks overlap, and
 * nothing of the heap lies in one.
 */
#ifndef TESTS_HEAP_PLAY_H
#define TESTS_HEAP_PLAY_H

#include <types.h>
#include "heap_arena.h"
#include "heap_model.h"

#define PLAY_SLOTS 16384u

struct play_slot {
    uint8_t *payload; /* NULL: the slot is empty */
    size_t size;
    uint8_t tag; /* what fills it */
};

struct play {
    struct heap_model model;
    struct play_slot slots[PLAY_SLOTS];
    uint32_t calls, failures;
    uint8_t tag;
};

extern struct play play;

/* An empty heap, and its model, on the arena's first `window` bytes. */
void play_start(size_t window, bool use_small);

/* For the next calls no more than `pages` pages can be had beyond those that are mapped. */
void play_limit(uint32_t pages);
void play_no_limit(void);

/* Into an empty slot, or from a full one. */
void play_alloc(struct play_slot *slot, size_t size, size_t align);
void play_calloc(struct play_slot *slot, size_t size);
void play_realloc(struct play_slot *slot, size_t size);
void play_free(struct play_slot *slot);

/* The heap consists of exactly the model's blocks, and its figures are theirs. */
void play_check_layout(void);

/* Frees all and ends; both are empty then but for spare chunks. */
void play_end(void);

#endif
