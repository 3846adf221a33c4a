/*
 * The real-time clock's seconds, polled. While it changes them they may read as anything: that
 * moves both ends of the measured second alike, by a millisecond or two.
 *
 * Source: Motorola MC146818A data sheet, "Time, Calendar and Alarm Locations", "Registers".
 */
#include <drivers/rtc.h>
#include <x86/io.h>

#define PORT_INDEX     0x70
#define PORT_DATA      0x71

#define SECONDS        0x00
#define REGISTER_A     0x0a
#define REGISTER_B     0x0b

#define DIVIDER        0x70 /* of the oscillator, in register A */
#define DIVIDER_32_KHZ 0x20 /* any other, or one that does not run */
#define SET            0x80 /* in register B: it is held */

/*
 * A second is over before both of these are: a read takes about 1 us, in an emulator far less, and
 * no CPU's clock is faster. The third ends the wait where that clock stands too.
 */
#define SECOND_POLLS   3000000u
#define SECOND_COUNTS  6000000000ull
#define MAX_POLLS      20000000u

static bool is_over(uint32_t polls, uint64_t counts)
{
    return polls >= MAX_POLLS || (polls >= SECOND_POLLS && counts >= SECOND_COUNTS);
}

static uint8_t read_register(uint8_t number)
{
    outb(PORT_INDEX, number);
    return inb(PORT_DATA);
}

/* Where there is none, all registers read as ones. */
static bool runs(void)
{
    return (read_register(REGISTER_A) & DIVIDER) == DIVIDER_32_KHZ &&
           !(read_register(REGISTER_B) & SET);
}

static bool wait_for_second(uint64_t (*read)(void))
{
    uint8_t now = read_register(SECONDS);
    uint64_t start = read();

    for (uint32_t polls = 0; !is_over(polls, read() - start); polls++) {
        if (inb(PORT_DATA) != now)
            return true;
    }
    return false;
}

uint64_t rtc_measure_hz(uint64_t (*read)(void))
{
    if (!runs() || !wait_for_second(read))
        return 0;
    uint64_t start = read();
    io_delay();
    return wait_for_second(read) ? read() - start : 0;
}
