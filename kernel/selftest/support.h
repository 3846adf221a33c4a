/*
 * What the in-kernel tests share: the figures that every test must leave as it found them, and
 * hoards, which take the machine's frames away for a while.
 */
#ifndef SELFTEST_SUPPORT_H
#define SELFTEST_SUPPORT_H

#include <types.h>

/*
 * Tests that use memory up run one at a time. False, and nothing taken, when the thread was asked
 * to stop while it waited.
 */
bool selftest_enter(void) MUST_CHECK;
void selftest_leave(void);

/* Makes the heap give back what it keeps for later: spare chunks, and pages above its blocks. */
void trim_heap(void);

struct figures {
    uint32_t frames; /* free ones and the heap's pages and shadow: it may keep some for later */
    uint32_t tables; /* page tables */
    uint32_t mapped; /* pages mapped for stacks, windows and whatever lies above */
    uint32_t threads;
    size_t heap_used; /* bytes in live blocks */
    size_t heap_blocks;
};

/* The figures now, after trim_heap(). */
struct figures figures_take(void);

/*
 * NULL if the figures are what they were, else which is not. Sleeps a bounded time until threads
 * that have ended are cleaned up.
 */
const char *figures_compare(const struct figures *before);

/* What the validators of frames, page tables, windows and heap find: NULL, or what is broken. */
const char *memory_fault(void);

/* The next of a series of numbers that looks random; *state is never 0. */
uint32_t random_next(uint32_t *state);

/*
 * Frames that a test holds, chained by words written into them: however many there are, no other
 * memory is needed. Initialise with { 0 }.
 */
struct hoard {
    paddr_t head;
    uint32_t count;
};

/* Adds one frame below the end of the identity mapping. */
void hoard_add(struct hoard *hoard, paddr_t frame);

/* Takes all frames that pmm_alloc_frame() gives. */
void hoard_low_frames(struct hoard *hoard);

/* Gives one frame back, of at least one. NULL, or what was wrong: then it is lost. */
const char *hoard_release_one(struct hoard *hoard);

/* Gives all frames back. NULL, or what was wrong: then some are lost. */
const char *hoard_release(struct hoard *hoard);

/* `count` entries of the page directory in a row that map nothing; 0 when there are none. */
vaddr_t unused_space(uint32_t count);

/* Unmaps every 4 KiB page in [start, end). The frames stay their owner's. */
void unmap_everything(vaddr_t start, vaddr_t end);

#endif
