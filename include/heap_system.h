/*
 * What the heap asks of the system, and nothing more but its spinlock (heap_lock.h). The kernel's
 * answers are in kernel/mem/heap_system.c; host tests and benchmarks give their own.
 */
#ifndef HEAP_SYSTEM_H
#define HEAP_SYSTEM_H

#include <types.h>

/*
 * Gets `pages` writable pages mapped from `first` on, contents undefined. All or none; false when
 * there is no memory for them.
 */
bool heap_system_map(vaddr_t first, size_t pages) MUST_CHECK;

/* Gives pages back that heap_system_map() mapped, in pieces of any length. */
void heap_system_unmap(vaddr_t first, size_t pages);

/*
 * The mutex over mapping and unmapping pages, taken without the spinlock; may sleep. Before the
 * scheduler runs it does nothing. The second form does not wait; false when it is taken.
 */
void heap_system_grow_lock(void);
bool heap_system_try_grow_lock(void);
void heap_system_grow_unlock(void);

#endif
