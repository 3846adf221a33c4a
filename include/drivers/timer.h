/*
 * Time: the tick, the clock, busy waits, and what is done at each tick.
 *
 * Everything that needs time uses this; which chip ticks is known to timer.c alone.
 */
#ifndef DRIVERS_TIMER_H
#define DRIVERS_TIMER_H

#include <types.h>

#define TIMER_TICK_MS 10u

/*
 * Busy waits work from here on, without interrupts: right where the PIT counts, guessed else.
 * use_pit: false treats it as standing still.
 */
void timer_init(bool use_pit);

/*
 * From here on ticks come and time passes. Finds out what can tick, which takes up to a second
 * where the usual way fails, and turns interrupts on meanwhile; they are off again on return.
 * Needs windows, the ACPI tables and irq_init(); called once, before any other irq_register().
 */
void timer_start(void);

/* Logs in one line what was found. */
void timer_report(void);

struct timer_info {
    const char *tick;    /* what ticks; NULL: nothing does, and the idle thread stands in */
    uint32_t line;       /* the interrupt line of the tick */
    const char *counter; /* what the clock and busy waits are made of; NULL: nothing counts */
    uint32_t counter_hz;
};

/* Any context. */
struct timer_info timer_info(void);

/* Milliseconds since timer_start(), a multiple of TIMER_TICK_MS. Any context. */
uint64_t timer_uptime_ms(void);

/* Microseconds since timer_start(); never goes back. Any context. */
uint64_t timer_clock_us(void);

/*
 * A stamp for spans that are measured often, like the CPU time of threads: cycles of the TSC where
 * there is one that counts, else microseconds of the clock, whose chips take long to read. Of the
 * one kind or the other for good from timer_start() on. Any context.
 */
uint64_t timer_stamp(void);

/* How many microseconds a sum of spans between stamps is. */
uint64_t timer_stamps_us(uint64_t span);

/*
 * Waits at least `us` microseconds (up to 1 s), right within 1 % from 1 ms on, with interrupts on
 * or off. False when no counter counts and the length was only guessed.
 */
bool timer_busy_wait_us(uint32_t us);

/*
 * The idle thread's wait for an interrupt, entered with interrupts off. Where nothing ticks it
 * makes a tick itself, so that sleepers wake and polls run as long as all else waits.
 */
void timer_idle(void);

/* A device that has no interrupt of its own is looked at in each tick. */
struct timer_poll {
    void (*poll)(void *arg); /* interrupts off: short and bounded, no sleeping, no heap */
    void *arg;
    struct timer_poll *next;
};

/* Adds one, for good. */
void timer_add_poll(struct timer_poll *poll);

#endif
