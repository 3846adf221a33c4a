/*
 * The way from trap.c to the handlers that drivers registered.
 */
#ifndef X86_IRQ_DISPATCH_H
#define X86_IRQ_DISPATCH_H

#include <types.h>

/* Runs a line's handlers, acknowledges it at its controller, then lets the scheduler preempt. */
void irq_dispatch(uint32_t line);

/* Counts a vector that nothing is known to raise. */
void irq_count_unexpected(void);

#endif
