/*
 * What the heap asks of the system, and nothing more. The kernel's answers are in
 * kernel/mem/heap_system.c; host tests and benchmarks give their own.
 */
#ifndef HEAP_SYSTEM_H
#define HEAP_SYSTEM_H

#include <types.h>

/* Gets a writable page mapped at `page`. False when there is no memory for it. */
bool heap_system_map(vaddr_t page) MUST_CHECK;

/* Gives a page back that heap_system_map() mapped. */
void heap_system_unmap(vaddr_t page);

/*
 * The spinlock over the heap's structure: interrupts off, held for no longer than one walk.
 * Returns what unlocking needs. Asserts that no interrupt handler calls.
 */
uint32_t heap_system_lock(void);
void heap_system_unlock(uint32_t state);

/*
 * The mutex over mapping and unmapping pages, taken without the spinlock; may sleep. Before the
 * scheduler runs it does nothing. The second form does not wait; false when it is taken.
 */
void heap_system_grow_lock(void);
bool heap_system_try_grow_lock(void);
void heap_system_grow_unlock(void);

#endif
