/*
 * The real-time clock, whose seconds can measure another counter where nothing better does.
 */
#ifndef DRIVERS_RTC_H
#define DRIVERS_RTC_H

#include <types.h>

/*
 * What `read` counts in a second, found in one to two seconds; 0 where the clock stands still,
 * after 20 s at most. Interrupts off.
 */
uint64_t rtc_measure_hz(uint64_t (*read)(void));

#endif
