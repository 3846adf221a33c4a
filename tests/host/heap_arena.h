/*
 * The system around the heap in host tests: windows whose pages are closed until the heap has asked
 * for them, locks that are checked, memory that runs out when a test says so, and another thread
 * that acts at a chosen moment.
 */
#ifndef TESTS_HEAP_ARENA_H
#define TESTS_HEAP_ARENA_H

#include <heap.h>
#include <types.h>
#include "mem/layout.h"

#define ARENA_SIZE  (64 * MIB) /* the most that the sanitizer leaves at HEAP_BASE */
#define INDEX_SIZE  (2 * MIB)
#define FIRST_BYTES (HEAP_FIRST_PAGES * PAGE_SIZE)
#define NEVER       0u

extern uint8_t *arena; /* ARENA_SIZE bytes without access but for the open pages */

struct heap_arena {
    uint32_t heap_pages;  /* open, in the heap's window */
    uint32_t index_pages; /* open, in the index's */
    uint32_t requests;    /* for pages, since the last fail_requests() */
    uint32_t fail_at;     /* the request that fails; NEVER: none */
    bool fail_from;       /* those behind it fail as well */
    vaddr_t limit;        /* the heap gets no page from here on; 0: wherever it wants */
    bool initialising;    /* heap_init() needs no locks: there is one thread */
    bool spinning, growing;
    void (*while_waiting)(void);   /* what another thread does before the grow mutex is free */
    void (*while_mapping)(void);   /* ... while pages are looked for */
    void (*while_unmapping)(void); /* ... while pages are given back */
};

extern struct heap_arena sys;

/* A group fixture: reserves the windows. */
int open_arena(void **state);

/* An empty heap on the arena's first `size` bytes, with or without small objects. */
void reset(size_t size);
void reset_small(size_t size);

/* Windows up to this size count as grown (mem/small.h) from the beginning. */
#define ARENA_GROWN MIB

/* The same without asking the validator, which costs more than a short sequence of calls. */
void reset_unchecked(size_t size, bool use_small);

/* Closes all pages and forgets everything: heap_init() may follow. */
void close_arena(void);

/* From now on the Nth request for pages fails, and those behind it too if `from`. */
void fail_requests(uint32_t nth, bool from);

/* `offset` bytes into the window. */
void *at(size_t offset);
uint32_t *word(size_t offset);

/* A block of `size` bytes with its head, which must come to lie `offset` bytes into the window. */
void *new_block(size_t size, size_t offset);

/* The heap is sound, no lock is held, and it says how many pages it has. */
void check_sound(void);

/* All that a failed call must leave as it was: the open pages, byte for byte, and the figures. */
struct snapshot {
    struct heap_stats stats;
    uint8_t *bytes;
};

struct snapshot take_snapshot(void);
void drop_snapshot(struct snapshot *shot);
void check_unchanged(struct snapshot *shot); /* and drops it */

#endif
