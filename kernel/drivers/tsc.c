/*
 * The time stamp counter as a clock: where CPUID says how fast it is, or the real-time clock shows
 * it. Sixteen cycles are one count, so that the frequency of any CPU fits 32 bits.
 */
#include <drivers/counter.h>
#include <drivers/rtc.h>
#include <log.h>
#include <x86/cpu.h>

#define CYCLES_SHIFT 4

static uint32_t read_tsc(void)
{
    return (uint32_t)(cpu_tsc() >> CYCLES_SHIFT);
}

const struct counter *tsc_counter(void)
{
    static struct counter counter = { .name = "TSC", .read = read_tsc };

    if (!cpu.has_tsc)
        return NULL;
    struct tsc_leaves leaves = cpu_tsc_leaves();
    uint64_t hz = tsc_rate(&leaves);
    if (hz == 0) {
        klog_warning("timer: no clock is known here; measuring the CPU's by the real-time clock");
        hz = rtc_measure_hz(cpu_tsc);
    }
    if (hz < TSC_SLOWEST_HZ || hz > TSC_FASTEST_HZ)
        return NULL;
    counter.hz = (uint32_t)(hz >> CYCLES_SHIFT);
    return counter_counts(&counter) ? &counter : NULL;
}
