/*
 * The way from trap.c to the handlers that drivers registered.
 */
#ifndef X86_IRQ_DISPATCH_H
#define X86_IRQ_DISPATCH_H

#include <types.h>

/* Runs a line's handlers, acknowledges it at its controller, then lets the scheduler preempt. */
void irq_dispatch(uint32_t line);

/* A vector that is no line's: counted, and ended where it came from the local APIC. */
void irq_unexpected_vector(uint32_t vector);

#endif
