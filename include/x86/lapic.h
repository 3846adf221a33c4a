/*
 * The local APIC of the CPU that runs this kernel. Called with interrupts off, and but for
 * lapic_init() only when that has returned true.
 *
 * Source: Intel SDM vol 3, "Advanced Programmable Interrupt Controller (APIC)".
 */
#ifndef X86_LAPIC_H
#define X86_LAPIC_H

#include <types.h>

/*
 * Finds it and silences what firmware may have left in it: a timer that runs, a vector for
 * withdrawn interrupts that is an exception's. The PIC's way through it stays as it was, and so
 * does its mode, xAPIC or x2APIC. address: where the tables say it is, for a CPU that cannot be
 * asked; 0: the usual place. Called once. False where the CPU has none or it cannot be reached.
 */
bool lapic_init(paddr64_t address);

/* Lets it deliver interrupts of its own, those of I/O APICs, and by LINT0. */
void lapic_enable(void);

/* Its number, as I/O APICs address it. */
uint32_t lapic_id(void);

/* Whether the PIC's interrupts come through its pin LINT0 ("virtual wire mode"), or none do. */
void lapic_set_lint0(bool pic);

/* Whether a vector waits to be served. */
bool lapic_pending(uint32_t vector);

/* Whether a vector is being served: it came from here, and nobody has ended it yet. */
bool lapic_in_service(uint32_t vector);

/* Ends the interrupt that is being served. */
void lapic_acknowledge(void);

/* The timer counts down from 2^32 - 1, once and in silence. */
void lapic_timer_count_down(void);

/* What it has left. */
uint32_t lapic_timer_count(void);

/* The timer raises IRQ_LAPIC_TIMER whenever it has counted so far. count: not 0. */
void lapic_timer_tick(uint32_t count);

#endif
