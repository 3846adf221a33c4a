/*
 * The local APIC's timer: it counts down at a rate that no table tells, so it is measured first.
 *
 * Source: Intel SDM vol 3, "APIC Timer".
 */
#include <drivers/lapic_timer.h>
#include <drivers/timer.h>
#include <x86/irq.h>
#include <x86/lapic.h>

#define MEASURE_US 20000u
#define SAMPLES    8u

/* What both showed at one moment. */
struct sample {
    uint32_t counter, timer;
};

/* Of a few the one whose reading took least: nothing, as an SMI, came between. */
static struct sample take_sample(const struct counter *by)
{
    struct sample best = { 0, 0 };
    uint32_t best_took = UINT32_MAX;

    for (uint32_t i = 0; i < SAMPLES; i++) {
        struct sample sample = { .counter = by->read(), .timer = lapic_timer_count() };
        uint32_t took = counter_step(by, sample.counter, by->read());
        if (took < best_took) {
            best_took = took;
            best = sample;
        }
    }
    return best;
}

/* Its counts in a tick, rounded; 0 when it could not be measured. */
static uint32_t measure(const struct counter *by)
{
    lapic_timer_count_down();
    struct sample first = take_sample(by);
    if (!timer_busy_wait_us(MEASURE_US))
        return 0;
    struct sample last = take_sample(by);

    uint64_t counted = first.timer - last.timer; /* downwards, from 2^32 - 1: no wrap this soon */
    uint64_t passed = (uint64_t)counter_step(by, first.counter, last.counter) * 1000;
    if (passed == 0)
        return 0;
    uint64_t in_tick = (counted * by->hz * TIMER_TICK_MS + passed / 2) / passed;
    return in_tick <= UINT32_MAX ? (uint32_t)in_tick : 0;
}

bool lapic_timer_start(const struct counter *by)
{
    uint32_t in_tick = measure(by);
    if (in_tick == 0)
        return false;
    lapic_timer_tick(in_tick);
    return true;
}
