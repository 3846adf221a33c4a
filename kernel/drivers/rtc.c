/*
 * The real-time clock's seconds, polled. While it changes them they may read as anything: that
 * moves both ends of the measured second alike, by a millisecond or two.
 *
 * Source: Motorola MC146818A data sheet, "Time, Calendar and Alarm Locations".
 */
#include <drivers/rtc.h>
#include <x86/io.h>

#define PORT_INDEX 0x70
#define PORT_DATA  0x71

#define SECONDS    0x00

/* A read takes about 1 us, in an emulator far less. */
#define MAX_POLLS  20000000u

static bool wait_for_second(void)
{
    uint8_t now = inb(PORT_DATA);

    for (uint32_t polls = 0; polls < MAX_POLLS; polls++) {
        if (inb(PORT_DATA) != now)
            return true;
    }
    return false;
}

uint64_t rtc_measure_hz(uint64_t (*read)(void))
{
    outb(PORT_INDEX, SECONDS);
    if (!wait_for_second())
        return 0;
    uint64_t start = read();
    io_delay();
    return wait_for_second() ? read() - start : 0;
}
