/*
 * The heap's spinlock in host tests: each test of the heap says what taking it does.
 */
#ifndef HEAP_LOCK_H
#define HEAP_LOCK_H

#include <types.h>

uint32_t heap_lock(void);
void heap_unlock(uint32_t state);

#endif
