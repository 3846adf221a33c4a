/*
 * The system around the kernel's heap, in a bench program: the thinnest that can hold it, so that
 * what is measured is the heap. Threads there are none.
 */
#ifndef TESTS_BENCH_SYSTEM_H
#define TESTS_BENCH_SYSTEM_H

#include <types.h>

/* Takes the addresses of the heap's window and of its index; panics when they are not free. */
void system_reserve_windows(void);

/* How often the heap has asked for a page, or given one back. */
extern uint32_t system_page_calls;

#endif
