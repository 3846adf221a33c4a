/*
 * The spinlock over the heap's structure: interrupts off, held for a bounded number of steps.
 *
 * Inline, for every allocation passes here. Host tests and benchmarks have a header of this name
 * of their own, found before this one.
 */
#ifndef HEAP_LOCK_H
#define HEAP_LOCK_H

#include <panic.h>
#include <sched/spinlock.h>
#include <x86/irq.h>

extern struct spinlock heap_spinlock; /* kernel/mem/heap_system.c */

/* Returns what unlocking needs. Asserts that no interrupt handler calls. */
static inline uint32_t heap_lock(void)
{
    ASSERT(!irq_active());
    return spin_lock(&heap_spinlock);
}

static inline void heap_unlock(uint32_t state)
{
    spin_unlock(&heap_spinlock, state);
}

#endif
