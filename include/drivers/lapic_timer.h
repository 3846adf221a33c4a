/*
 * The local APIC's timer, for machines whose PIT does not tick.
 */
#ifndef DRIVERS_LAPIC_TIMER_H
#define DRIVERS_LAPIC_TIMER_H

#include <drivers/counter.h>

/*
 * Measures its frequency by a counter, for some 20 ms, and starts it: IRQ_LAPIC_TIMER each
 * TIMER_TICK_MS. False where its timer or the counter stands still. There is a local APIC
 * that is turned on, and busy waits use the same counter already. Interrupts off.
 */
bool lapic_timer_start(const struct counter *by);

#endif
