/*
 * The time stamp counter's frequency, as CPUID tells it.
 *
 * Source: Intel SDM vol 2, "CPUID - CPU Identification", leaves 15H and 16H; vol 3, "Determining
 * the Processor Base Frequency".
 */
#ifndef X86_TSC_RATE_H
#define X86_TSC_RATE_H

#include <types.h>

/* A rate outside of these is not believed: no CPU with a TSC is as slow, none can be as fast. */
#define TSC_SLOWEST_HZ 10000000ull
#define TSC_FASTEST_HZ 20000000000ull

/* What the two leaves hold; all 0 for one that the CPU lacks. */
struct tsc_leaves {
    uint32_t denominator, numerator; /* 15H: the TSC's ratio to the crystal */
    uint32_t crystal_hz;             /* 15H; 0: not said */
    uint32_t base_mhz;               /* 16H */
};

/*
 * Hz, or 0 where the leaves do not say. Without the crystal's frequency the base frequency stands
 * in, which is the marketed one: right within a percent.
 */
uint64_t tsc_rate(const struct tsc_leaves *leaves);

#endif
