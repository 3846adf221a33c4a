/*
 * Reading counters, with interrupts on or off.
 */
#include <drivers/counter.h>
#include <x86/io.h>

uint32_t counter_read(const struct counter *counter)
{
    uint32_t flags = interrupts_save();
    uint32_t value = counter->read();
    interrupts_restore(flags);
    return value;
}

bool counter_wait_step(const struct counter *counter, uint32_t *last, uint32_t *step)
{
    for (uint32_t reads = 0; reads < COUNTER_MAX_SAME_READS; reads++) {
        uint32_t now = counter_read(counter);
        if (now != *last) {
            *step = counter_step(counter, *last, now);
            *last = now;
            return true;
        }
    }
    return false;
}

bool counter_counts(const struct counter *counter)
{
    uint32_t last = counter_read(counter), step;
    return counter_wait_step(counter, &last, &step);
}
