/*
 * Time: the tick, the clock, busy waits, and what is done at each tick.
 *
 * Everything that needs time uses this; which chip ticks is known to timer.c alone.
 */
#ifndef DRIVERS_TIMER_H
#define DRIVERS_TIMER_H

#include <types.h>

#define TIMER_TICK_MS 10u

/* Busy waits work from here on, without interrupts. */
void timer_init(void);

/* From here on ticks come: time passes and threads are preempted. */
void timer_start(void);

/* Milliseconds since timer_start(), a multiple of TIMER_TICK_MS. Any context. */
uint64_t timer_uptime_ms(void);

/* Microseconds since timer_start(); never goes back. Any context. */
uint64_t timer_clock_us(void);

/*
 * Waits at least `us` microseconds (up to 1 s), right within 1 % from 1 ms on, with interrupts on
 * or off. False when the counter stood still and the length was only guessed.
 */
bool timer_busy_wait_us(uint32_t us);

/* A device that has no interrupt of its own is looked at in each tick. */
struct timer_poll {
    void (*poll)(void *arg); /* interrupts off: short and bounded, no sleeping, no heap */
    void *arg;
    struct timer_poll *next;
};

/* Adds one, for good. */
void timer_add_poll(struct timer_poll *poll);

/* Runs what was added. The tick's handler calls this, interrupts off. */
void timer_run_polls(void);

#endif
