/*
 * The time stamp counter's frequency out of CPUID's numbers.
 */
#include <x86/tsc_rate.h>

uint64_t tsc_rate(const struct tsc_leaves *leaves)
{
    uint64_t hz = (uint64_t)leaves->base_mhz * 1000000;

    if (leaves->denominator != 0 && leaves->numerator != 0 && leaves->crystal_hz != 0)
        hz = (uint64_t)leaves->crystal_hz * leaves->numerator / leaves->denominator;
    return hz >= TSC_SLOWEST_HZ && hz <= TSC_FASTEST_HZ ? hz : 0;
}
