/*
 * The shadow in host tests: a test has memory and its shadow as two arrays.
 */
#ifndef CHECK_PLACE_H
#define CHECK_PLACE_H

#include "mem/layout.h"
#include <assert.h>
#include <types.h>

#define HOST_MEMORY 0x10000u

extern uint8_t host_memory[HOST_MEMORY];
extern uint8_t host_shadow[HOST_MEMORY >> SHADOW_SHIFT];

static inline uint8_t *shadow_of(vaddr_t address)
{
    vaddr_t offset = address - (vaddr_t)host_memory;

    assert(offset < HOST_MEMORY);
    return host_shadow + (offset >> SHADOW_SHIFT);
}

#endif
