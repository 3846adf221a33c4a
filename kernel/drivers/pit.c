/*
 * Channel 0 of the 8254 as a rate generator: it counts down from DIVISOR to 1, raises IRQ 0 and
 * starts again, 100 times a second.
 *
 * Time is the number of ticks plus what the counter has counted of the next one. Between the
 * counter's wrap and the tick's handler the two disagree; the PIC then has the interrupt pending.
 *
 * Source: Intel 8254 data sheet, "Read-back and counter latch commands"; mode 2.
 */
#include <drivers/pit.h>
#include <drivers/timer.h>
#include <sched/sched.h>
#include <x86/io.h>
#include <x86/irq.h>

#define PORT_COUNTER           0x40
#define PORT_COMMAND           0x43
#define PORT_PIC               0x20

#define COMMAND_RATE_GENERATOR 0x34 /* channel 0, low byte then high byte, mode 2 */
#define COMMAND_LATCH          0x00 /* channel 0 */
#define PIC_READ_REQUESTS      0x0a

#define HZ                     1193182u
#define DIVISOR                11932u /* 99.998 Hz */

_Static_assert((HZ + 50) / 100 == DIVISOR, "a tick is TIMER_TICK_MS");

/* A counter that shows the same value this often stands still: one count takes under 1 us. */
#define MAX_SAME_READS 10000u

static uint64_t ticks; /* guarded by interrupts off, like last_us */
static uint64_t last_us;
static bool works;

/* Counts since the last wrap: 0 to DIVISOR - 1. Interrupts must be off. */
static uint32_t read_elapsed(void)
{
    outb(PORT_COMMAND, COMMAND_LATCH);
    uint32_t low = inb(PORT_COUNTER);
    uint32_t counter = low | (uint32_t)inb(PORT_COUNTER) << 8;
    return counter >= DIVISOR || counter == 0 ? 0 : DIVISOR - counter;
}

static uint32_t read_elapsed_locked(void)
{
    uint32_t flags = interrupts_save();
    uint32_t elapsed = read_elapsed();
    interrupts_restore(flags);
    return elapsed;
}

/*
 * Counts that passed since `*last`, which becomes the present one; a whole turn goes unnoticed.
 * Waits until there are some, for at most MAX_SAME_READS reads: 0 means that the counter stands.
 */
static uint32_t advance(uint32_t *last)
{
    for (uint32_t reads = 0; reads < MAX_SAME_READS; reads++) {
        uint32_t now = read_elapsed_locked();
        if (now != *last) {
            uint32_t passed = now > *last ? now - *last : now + DIVISOR - *last;
            *last = now;
            return passed;
        }
    }
    return 0;
}

/* Where nothing counts: port writes take about a microsecond each. */
static void wait_by_ports(uint32_t us)
{
    while (us-- > 0)
        io_delay();
}

bool pit_busy_wait_us(uint32_t us)
{
    uint64_t wanted = ((uint64_t)us * HZ + 999999) / 1000000;
    uint64_t start_us = pit_clock_us();
    uint32_t last = read_elapsed_locked();

    for (uint64_t passed = 0; passed < wanted;) {
        uint32_t step = works ? advance(&last) : 0;
        if (step == 0) {
            works = false;
            wait_by_ports(us);
            return false;
        }
        passed += step;
        /* Preempted for more than a turn of the counter: the clock has noticed. */
        if (pit_clock_us() - start_us >= us)
            break;
    }
    return true;
}

void pit_init(void)
{
    outb(PORT_COMMAND, COMMAND_RATE_GENERATOR);
    outb(PORT_COUNTER, DIVISOR & 0xff);
    outb(PORT_COUNTER, DIVISOR >> 8);

    uint32_t last = read_elapsed_locked();
    works = advance(&last) != 0;
}

bool pit_works(void)
{
    return works;
}

static void tick(void)
{
    ticks++;
    timer_run_polls();
    sched_tick(ticks * TIMER_TICK_MS);
}

void pit_start_ticks(void)
{
    irq_register(IRQ_PIT, tick, "timer");
}

uint64_t pit_uptime_ms(void)
{
    uint32_t flags = interrupts_save();
    uint64_t ms = ticks * TIMER_TICK_MS;
    interrupts_restore(flags);
    return ms;
}

static bool tick_pending(void)
{
    outb(PORT_PIC, PIC_READ_REQUESTS);
    return inb(PORT_PIC) & 1u << IRQ_PIT;
}

uint64_t pit_clock_us(void)
{
    uint32_t flags = interrupts_save();
    uint32_t elapsed = read_elapsed();
    uint64_t counts = ticks * DIVISOR + elapsed;
    if (elapsed < DIVISOR / 2 && ticks != 0 && tick_pending())
        counts += DIVISOR;
    uint64_t us = counts / HZ * 1000000 + counts % HZ * 1000000 / HZ; /* no overflow, ever */
    if (us < last_us)
        us = last_us;
    last_us = us;
    interrupts_restore(flags);
    return us;
}
