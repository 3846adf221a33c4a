/*
 * Where the shadow of an address lies. Host tests have a header of this name of their own, found
 * before this one.
 */
#ifndef CHECK_PLACE_H
#define CHECK_PLACE_H

#include "mem/layout.h"
#include <types.h>

static inline uint8_t *shadow_of(vaddr_t address)
{
    return (uint8_t *)(SHADOW_BASE + (address >> SHADOW_SHIFT));
}

#endif
