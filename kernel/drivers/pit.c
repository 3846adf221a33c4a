/*
 * Channel 0 of the 8254 as a rate generator: it counts down from its divisor to 1, raises IRQ 0 and
 * starts again.
 *
 * Source: Intel 8254 data sheet, "Read-back and counter latch commands"; mode 2.
 */
#include <drivers/pit.h>
#include <drivers/timer.h>
#include <x86/io.h>

#define PORT_COUNTER           0x40
#define PORT_COMMAND           0x43

#define COMMAND_RATE_GENERATOR 0x34 /* channel 0, low byte then high byte, mode 2 */
#define COMMAND_LATCH          0x00 /* channel 0 */

#define HZ                     1193182u
#define TICK_DIVISOR           11932u /* 99.998 Hz */
#define LONGEST_DIVISOR        65536u /* written as 0 */

_Static_assert((HZ * TIMER_TICK_MS + 500) / 1000 == TICK_DIVISOR, "a turn is TIMER_TICK_MS");

static uint32_t read_elapsed(void);

static struct counter counter = { .name = "PIT", .hz = HZ, .read = read_elapsed };

uint32_t pit_read(void)
{
    outb(PORT_COMMAND, COMMAND_LATCH);
    uint32_t low = inb(PORT_COUNTER);
    return low | (uint32_t)inb(PORT_COUNTER) << 8;
}

/* Counts since the last reload: 0 to divisor - 1. */
static uint32_t read_elapsed(void)
{
    uint32_t left = pit_read();
    return left >= counter.turn || left == 0 ? 0 : counter.turn - left;
}

static const struct counter *start(uint32_t divisor)
{
    outb(PORT_COMMAND, COMMAND_RATE_GENERATOR);
    outb(PORT_COUNTER, (uint8_t)divisor);
    outb(PORT_COUNTER, (uint8_t)(divisor >> 8));
    counter.turn = divisor;
    counter.ends_in_tick = divisor == TICK_DIVISOR;
    return counter_counts(&counter) ? &counter : NULL;
}

const struct counter *pit_init(void)
{
    return start(TICK_DIVISOR);
}

const struct counter *pit_without_ticks(void)
{
    return start(LONGEST_DIVISOR);
}
