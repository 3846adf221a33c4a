/*
 * Counters that run by themselves: what the clock and busy waits are made of.
 *
 * Each kind has a function that returns its counter, seen counting and ready to be read for good,
 * or NULL where the machine has none.
 */
#ifndef DRIVERS_COUNTER_H
#define DRIVERS_COUNTER_H

#include <types.h>

struct counter {
    const char *name;
    uint32_t hz;            /* counts a second */
    uint32_t turn;          /* it counts up from 0 to turn - 1; 0 stands for 2^32 */
    bool ends_in_tick;      /* IRQ 0 comes at the end of each turn */
    uint32_t (*read)(void); /* interrupts off */
};

/* What passed between two readings, less than a turn apart. */
static inline uint32_t counter_step(const struct counter *counter, uint32_t from, uint32_t to)
{
    return to >= from ? to - from : to - from + counter->turn;
}

/* Its present reading. Interrupts on or off. */
uint32_t counter_read(const struct counter *counter);

/* A counter that shows the same value this often stands still: one count takes under 1 us. */
#define COUNTER_MAX_SAME_READS 10000u

/*
 * Waits until it differs from *last, which becomes the present reading; *step: what passed, less
 * than a turn. False, after a bounded number of reads, when it stands still. Interrupts on or off.
 */
bool counter_wait_step(const struct counter *counter, uint32_t *last, uint32_t *step);

/* Whether it moves at all. */
bool counter_counts(const struct counter *counter);

/*
 * The kinds. Called once each, with interrupts off, when windows and the ACPI tables are there.
 */

/* The ACPI power management timer. Source: ACPI Specification 6.4, "Power Management Timer". */
const struct counter *pm_timer_counter(void);

/* Finds the HPET, and gives lines 0 and 8 back where firmware has put it in the PIT's place. */
void hpet_init(void);

/* Its main counter, which is started where firmware has not. After hpet_init(). */
const struct counter *hpet_counter(void);

/* The time stamp counter, where CPUID says its frequency or the real-time clock can measure it. */
const struct counter *tsc_counter(void);

#endif
