/*
 * The 8254 timer: the kernel's tick, its clock, and short busy waits.
 *
 * Where the PIT's counter stands still, as on PCs that gate its clock, nothing here hangs: waits
 * notice it after a bounded number of reads, go on by counting port writes, and say so.
 */
#ifndef DRIVERS_PIT_H
#define DRIVERS_PIT_H

#include <types.h>

/* Starts channel 0 at 100 Hz. Busy waits work from here on, without interrupts. */
void pit_init(void);

/* Takes IRQ 0: from here on time passes and threads are preempted. */
void pit_start_ticks(void);

/* Whether the counter was seen counting. */
bool pit_works(void);

/* Milliseconds since pit_start_ticks(), a multiple of TIMER_TICK_MS. */
uint64_t pit_uptime_ms(void);

/* Microseconds since pit_start_ticks(); never goes back. */
uint64_t pit_clock_us(void);

/*
 * Waits at least `us` microseconds (up to 1 s), right within 1 % from 1 ms on, with interrupts on
 * or off. False when the counter stood still and the length was only guessed.
 */
bool pit_busy_wait_us(uint32_t us);

#endif
