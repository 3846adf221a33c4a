/*
 * Time, as the PIT gives it.
 */
#include <drivers/timer.h>
#include <drivers/pit.h>
#include <x86/io.h>

static struct timer_poll *polls; /* grows only; guarded by interrupts off */

void timer_init(void)
{
    pit_init();
}

void timer_start(void)
{
    pit_start_ticks();
}

uint64_t timer_uptime_ms(void)
{
    return pit_uptime_ms();
}

uint64_t timer_clock_us(void)
{
    return pit_clock_us();
}

bool timer_busy_wait_us(uint32_t us)
{
    return pit_busy_wait_us(us);
}

void timer_add_poll(struct timer_poll *poll)
{
    uint32_t flags = interrupts_save();
    poll->next = polls;
    polls = poll;
    interrupts_restore(flags);
}

void timer_run_polls(void)
{
    for (struct timer_poll *poll = polls; poll != NULL; poll = poll->next)
        poll->poll(poll->arg);
}
