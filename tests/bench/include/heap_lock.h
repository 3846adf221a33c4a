/*
 * The heap's spinlock in a bench program: there is one thread, and the heap alone is measured.
 */
#ifndef HEAP_LOCK_H
#define HEAP_LOCK_H

#include <types.h>

static inline uint32_t heap_lock(void)
{
    return 0;
}

static inline void heap_unlock(uint32_t state UNUSED)
{
}

#endif
