/*
 * Time over whatever chips the machine has: one that ticks, and one whose counter measures what
 * lies between the ticks.
 *
 * The PIT does both wherever it can. It is tried first, its interrupt by each way that there is;
 * then the LAPIC's timer ticks, and another counter measures. Each way is judged by whether ticks
 * come, not by what tables say of it.
 *
 * The clock is made of the counter. The PIT's ends each turn in the tick: then time is the number
 * of ticks plus what was counted of the next one. Between its wrap and the tick's handler the two
 * disagree, and the interrupt is pending. Any other counter turns so slowly that what it counted is
 * added up at each reading, and each tick reads it.
 */
#include <drivers/timer.h>
#include <drivers/counter.h>
#include <drivers/lapic_timer.h>
#include <drivers/pit.h>
#include <lib/printf.h>
#include <log.h>
#include <sched/sched.h>
#include <x86/cpu.h>
#include <x86/io.h>
#include <x86/irq.h>

/* A way that brings no ticks in this time brings none: 25 are due, and an emulator may be late. */
#define FIRST_TICKS_MS 250u

/* One may have been pending since before the kernel: it proves nothing. */
#define FIRST_TICKS    2u

static const struct counter *counter; /* NULL: nothing counts */
static const char *tick_name;         /* NULL: nothing ticks */
static uint32_t tick_line;
static struct timer_poll *polls; /* grows only; guarded by interrupts off, like what follows */
static uint64_t ticks;
static uint64_t counted; /* by a counter that does not end in ticks, up to `last_count` */
static uint32_t last_count;
static uint64_t last_us;
static uint32_t tsc_khz; /* 0: stamps are of the clock; set once */

/* ---- The clock ---- */

/* Counts since timer_start(). Interrupts must be off. */
static uint64_t read_position(void)
{
    uint32_t now = counter->read();

    if (counter->ends_in_tick) {
        bool due = now < counter->turn / 2 && ticks != 0 && irq_pending(tick_line);
        return (ticks + due) * counter->turn + now;
    }

    /* More than half a turn is a small step back: what some chips show while they carry. */
    uint32_t step = counter_step(counter, last_count, now);
    if (step <= (counter->turn - 1) / 2) {
        counted += step;
        last_count = now;
    }
    return counted;
}

static void use_counter(const struct counter *chosen)
{
    counter = chosen;
    counted = 0;
    if (counter != NULL)
        last_count = counter->read();
}

uint64_t timer_clock_us(void)
{
    uint32_t flags = interrupts_save();
    if (counter != NULL) {
        uint64_t counts = read_position();
        uint32_t hz = counter->hz;
        uint64_t us = counts / hz * 1000000 + counts % hz * 1000000 / hz; /* no overflow, ever */
        if (us > last_us)
            last_us = us;
    }
    uint64_t now = last_us;
    interrupts_restore(flags);
    return now;
}

uint64_t timer_uptime_ms(void)
{
    uint32_t flags = interrupts_save();
    uint64_t ms = ticks * TIMER_TICK_MS;
    interrupts_restore(flags);
    return ms;
}

uint64_t timer_stamp(void)
{
    return tsc_khz != 0 ? rdtsc() : timer_clock_us();
}

uint64_t timer_stamps_us(uint64_t span)
{
    if (tsc_khz == 0)
        return span;
    return span / tsc_khz * 1000 + span % tsc_khz * 1000 / tsc_khz;
}

/* ---- Busy waits ---- */

/* Where nothing counts: port writes take about a microsecond each. */
static void wait_by_ports(uint32_t us)
{
    while (us-- > 0)
        io_delay();
}

/* False when the counter stands. */
static bool wait_by_counter(const struct counter *by, uint32_t us)
{
    uint64_t wanted = ((uint64_t)us * by->hz + 999999) / 1000000;
    uint64_t start_us = timer_clock_us();
    uint32_t last = counter_read(by), step;

    for (uint64_t passed = 0; passed < wanted; passed += step) {
        if (!counter_wait_step(by, &last, &step))
            return false;
        /* Preempted for more than a turn of the counter: the clock has noticed. */
        if (timer_clock_us() - start_us >= us)
            break;
    }
    return true;
}

bool timer_busy_wait_us(uint32_t us)
{
    const struct counter *by = counter; /* another thread may give it up meanwhile */

    if (by != NULL && wait_by_counter(by, us))
        return true;
    counter = NULL;
    wait_by_ports(us);
    return false;
}

/* ---- Ticks ---- */

static void run_polls(void)
{
    for (struct timer_poll *poll = polls; poll != NULL; poll = poll->next)
        poll->poll(poll->arg);
}

static void tick(void)
{
    ticks++;
    if (counter != NULL)
        read_position();
    run_polls();
    sched_tick(ticks * TIMER_TICK_MS);
}

void timer_add_poll(struct timer_poll *poll)
{
    uint32_t flags = interrupts_save();
    poll->next = polls;
    polls = poll;
    interrupts_restore(flags);
}

void timer_idle(void)
{
    if (tick_name != NULL) {
        wait_for_interrupt();
        return;
    }
    interrupts_enable();
    timer_busy_wait_us(TIMER_TICK_MS * 1000);
    interrupts_disable();
    tick();
}

/* ---- What ticks ---- */

static bool pit_by_pic(void)
{
    return counter != NULL && irq_set_route(IRQ_BY_PIC);
}

static bool pit_by_lint0(void)
{
    return counter != NULL && irq_set_route(IRQ_BY_PIC_AND_LAPIC);
}

static bool pit_by_ioapic(void)
{
    return counter != NULL && irq_set_route(IRQ_BY_IOAPIC);
}

/* The PIT comes last: its counter alone, should it be its interrupt that does not come. */
static const struct counter *counter_beside_ticks(void)
{
    const struct counter *chosen = pm_timer_counter();

    if (chosen == NULL)
        chosen = hpet_counter();
    if (chosen == NULL)
        chosen = tsc_counter();
    if (chosen == NULL && counter != NULL)
        chosen = pit_without_ticks();
    return chosen;
}

/* Where the PIT does not tick, whether the PIC works is unknown: the I/O APIC is what others use.
 */
static bool lapic_timer(void)
{
    bool has_lapic = irq_set_route(IRQ_BY_IOAPIC) || irq_set_route(IRQ_BY_PIC_AND_LAPIC);

    use_counter(counter_beside_ticks());
    return has_lapic && counter != NULL && lapic_timer_start(counter);
}

static const struct way {
    const char *name;
    uint32_t line;
    bool (*prepare)(void); /* false: the machine has not what it takes */
} ways[] = {
    { "PIT", IRQ_PIT, pit_by_pic },
    { "PIT", IRQ_PIT, pit_by_lint0 },
    { "PIT", IRQ_PIT, pit_by_ioapic },
    { "LAPIC timer", IRQ_LAPIC_TIMER, lapic_timer },
};

/* Waits for ticks, and sees meanwhile how fast the TSC is: a tick's time at the least. */
static bool ticks_come(void)
{
    uint64_t wanted_ms = timer_uptime_ms() + FIRST_TICKS * TIMER_TICK_MS;
    uint64_t us = timer_clock_us(), cycles = cpu_tsc();

    interrupts_enable();
    for (uint32_t ms = 0; ms < FIRST_TICKS_MS && timer_uptime_ms() < wanted_ms; ms++)
        timer_busy_wait_us(1000);
    us = timer_clock_us() - us;
    cycles = cpu_tsc() - cycles;
    interrupts_disable();
    if (timer_uptime_ms() < wanted_ms)
        return false;
    tsc_khz = us != 0 ? (uint32_t)(cycles * 1000 / us) : 0;
    return true;
}

static bool try_way(const struct way *way)
{
    if (!way->prepare())
        return false;
    tick_line = way->line;
    irq_register(way->line, tick, "timer");
    if (ticks_come())
        return true;
    irq_unregister(way->line);
    return false;
}

void timer_init(bool use_pit)
{
    if (use_pit)
        use_counter(pit_init());
}

void timer_report(void)
{
    char tick_text[48] = "nothing ticks", clock_text[48] = "nothing counts";

    if (tick_name != NULL)
        ksnprintf(tick_text, sizeof(tick_text), "%s at %u Hz", tick_name, 1000 / TIMER_TICK_MS);
    if (counter != NULL)
        ksnprintf(clock_text, sizeof(clock_text), "%s at %u Hz", counter->name, counter->hz);
    klog("interrupts: %s, timer: %s, clock: %s", irq_route_name(), tick_text, clock_text);
}

void timer_start(void)
{
    hpet_init();
    for (uint32_t i = 0; i < ARRAY_SIZE(ways) && tick_name == NULL; i++) {
        if (try_way(&ways[i]))
            tick_name = ways[i].name;
    }
}

struct timer_info timer_info(void)
{
    return (struct timer_info){
        .tick = tick_name,
        .line = tick_line,
        .counter = counter != NULL ? counter->name : NULL,
        .counter_hz = counter != NULL ? counter->hz : 0,
    };
}
