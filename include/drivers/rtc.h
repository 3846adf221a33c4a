/*
 * The real-time clock, whose seconds can measure another counter where nothing better does.
 */
#ifndef DRIVERS_RTC_H
#define DRIVERS_RTC_H

#include <types.h>

/*
 * What `read`, a CPU's clock, counts in a second, found in one to two seconds. 0 where the
 * real-time clock stands still: at once if it says so, else after 3 s on a CPU of 2 GHz, longer on
 * slower ones. Interrupts off.
 */
uint64_t rtc_measure_hz(uint64_t (*read)(void));

#endif
