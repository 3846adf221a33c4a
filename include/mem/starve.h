/*
 * Starvation: requests for memory that fail on purpose, so that the way without memory is tried and
 * not only believed.
 *
 * Every request for a frame, a page table or a block of the heap is counted from starve_begin() on;
 * the one with a given number fails, or all from it on, just as if there had been no memory. A
 * request that leads to others counts once for itself, and those for themselves: a kmalloc() that
 * grows the heap is a block, then frames, and perhaps a table.
 *
 * The whole system starves, whichever thread asks. Pure. Any context; nothing here locks: whoever
 * begins and ends sees to it that only one does.
 */
#ifndef MEM_STARVE_H
#define MEM_STARVE_H

#include <types.h>

enum starve_kind {
    STARVE_FRAME, /* of the PMM; a run of frames is one request */
    STARVE_TABLE, /* of the bootstrap pool or the PMM */
    STARVE_BLOCK, /* of the heap, by any of kmalloc's family */
    STARVE_KINDS,
};

/* "frame", "page table", "block" */
const char *starve_kind_text(enum starve_kind kind);

struct starve_state {
    bool on;                     /* requests are counted, and one is still to fail */
    bool forever;                /* all requests from number `at` on fail */
    uint32_t at;                 /* the number of the first request that fails, from 1 */
    uint32_t seen[STARVE_KINDS]; /* requests counted, with those that failed */
    uint32_t failed;             /* requests that failed */
    enum starve_kind first;      /* what the first of them was for */
};

/*
 * Counts from now on, and lets request number `at` (from 1) fail: once, after which nothing is
 * counted any more, or `forever`. What was counted before is forgotten.
 */
void starve_begin(uint32_t at, bool forever);

/* Nothing fails and nothing is counted any more. What was counted stays to be looked at. */
void starve_end(void);

/* How it stands. */
struct starve_state starve_get(void);

/* What starves() is made of: whether to ask at all, and the answer then. */
extern bool starve_on;
bool starve_count(enum starve_kind kind);

/*
 * kmalloc() of 1 to so many bytes need not ask: 0 while requests are counted. What begins at the
 * very moment when counting ends may still be placed as a larger request is.
 */
extern uint32_t starve_unasked;

/* Says what it is while no requests are counted. */
void starve_set_unasked(uint32_t bytes);

/* Asked at the entry of each other request: true, and it is to fail as if there were no memory. */
static inline bool starves(enum starve_kind kind)
{
    return __builtin_expect(starve_on, false) && starve_count(kind);
}

#endif
