/*
 * Blocks of the heap in the checking build.
 */
#include "check/heap.h"
#include "check/place.h"
#include "check/shadow.h"
#include "mem/layout.h"
#include <mem/paging.h>

/* Where the red zone before a block ends, that `address` lies in or behind; 0: nowhere. */
static vaddr_t find_start(vaddr_t address)
{
    vaddr_t at = address & ~(vaddr_t)(GRANULE - 1);

    if (*shadow_of(at) == SHADOW_HEAP_LEFT) {
        while (at < HEAP_BASE + HEAP_MAX && *shadow_of(at) == SHADOW_HEAP_LEFT)
            at += GRANULE;
        return at;
    }
    while (at >= HEAP_BASE && *shadow_of(at) != SHADOW_HEAP_LEFT &&
           *shadow_of(at) != SHADOW_HEAP_NONE)
        at -= GRANULE;
    return *shadow_of(at) == SHADOW_HEAP_LEFT ? at + GRANULE : 0;
}

const struct check_block *check_block_find(vaddr_t address)
{
    if (address - HEAP_BASE >= HEAP_MAX || !translate(address).mapped)
        return NULL;

    const struct check_block *block = (const struct check_block *)find_start(address) - 1;
    if (find_start(address) == 0 || !translate((vaddr_t)block).mapped)
        return NULL;
    return block->magic == BLOCK_LIVE || block->magic == BLOCK_FREED ? block : NULL;
}
