/*
 * The system around the kernel's heap, in a bench program: the thinnest that can hold it, so that
 * what is measured is the heap. Threads there are none.
 */
#ifndef TESTS_BENCH_SYSTEM_H
#define TESTS_BENCH_SYSTEM_H

#include <types.h>

/*
 * Sets the heap up, empty, on the kernel's own addresses; panics when they are not free. Once in a
 * program.
 */
void system_heap_init(void);

/* How often the heap has asked for a page, or given one back. */
extern uint32_t system_page_calls;

#endif
