/*
 * Blocks of the heap in the checking build: what stands before each of them, in its red zone.
 */
#ifndef CHECK_HEAP_H
#define CHECK_HEAP_H

#include "check/trace.h"
#include <lib/list.h>
#include <types.h>

struct check_block {
    uint32_t magic;   /* BLOCK_LIVE or BLOCK_FREED */
    void *bare;       /* what the heap below gave */
    size_t size;      /* what was asked for */
    size_t room;      /* bytes from the block's start to the end of the red zone behind it */
    struct list list; /* in the list of live blocks, or in the quarantine */
    struct check_trace allocated, freed;
};

#define BLOCK_LIVE  0x4556494cu /* "LIVE" */
#define BLOCK_FREED 0x44455246u /* "FRED" */

static inline vaddr_t check_block_start(const struct check_block *block)
{
    return (vaddr_t)(block + 1);
}

/*
 * The block to which an address belongs, or in whose red zones it lies; NULL if there is none.
 * For reports: takes no lock.
 */
const struct check_block *check_block_find(vaddr_t address);

#endif
