/*
 * The HPET, for its main counter alone: its low half, which every HPET has. Its timers are
 * silenced, because firmware may have used them.
 *
 * Source: IA-PC HPET Specification 1.0a, "Register Definitions".
 */
#include <drivers/acpi.h>
#include <drivers/counter.h>
#include <mem/window.h>

#define SIZE                 0x400u

/* Registers, as 32-bit words. */
#define CAPABILITIES         (0x000 / 4)
#define PERIOD               (0x004 / 4) /* the upper half of the capabilities: femtoseconds a count */
#define CONFIGURATION        (0x010 / 4)
#define MAIN_COUNTER         (0x0f0 / 4)
#define TIMER(n)             ((0x100 + 0x20 * (n)) / 4) /* its configuration */

#define TIMERS(capabilities) (((capabilities) >> 8 & 0x1f) + 1)
#define TIMERS_MAX           24u /* that fit SIZE */

#define ENABLE               (1u << 0)
#define LEGACY_ROUTE         (1u << 1) /* its timers take IRQ 0 from the PIT, IRQ 8 from the RTC */
#define TIMER_ENABLE         (1u << 2) /* its interrupt, that is */

#define PERIOD_MAX           100000000u /* 10 MHz: no HPET may be slower */
#define FEMTOSECONDS         1000000000000000ull

static volatile uint32_t *registers; /* NULL: there is none */
static uint32_t period;

static uint32_t read_main(void)
{
    return registers[MAIN_COUNTER];
}

static bool is_there(void)
{
    period = registers[PERIOD]; /* all ones where nothing answers */
    return period != 0 && period <= PERIOD_MAX && FEMTOSECONDS / period <= UINT32_MAX;
}

static void silence(void)
{
    uint32_t timers = TIMERS(registers[CAPABILITIES]);

    registers[CONFIGURATION] &= ~LEGACY_ROUTE;
    for (uint32_t n = 0; n < timers && n < TIMERS_MAX; n++)
        registers[TIMER(n)] &= ~TIMER_ENABLE;
}

void hpet_init(void)
{
    paddr64_t address = acpi_hpet_address();

    if (address != 0)
        registers = map_window(address, SIZE, WINDOW_DEVICE);
    if (registers == NULL)
        return;
    if (is_there()) {
        silence();
        return;
    }
    unmap_window((const void *)registers);
    registers = NULL;
}

const struct counter *hpet_counter(void)
{
    static struct counter counter = { .name = "HPET", .read = read_main };

    if (registers == NULL)
        return NULL;
    counter.hz = (uint32_t)(FEMTOSECONDS / period);
    registers[CONFIGURATION] |= ENABLE;
    return counter_counts(&counter) ? &counter : NULL;
}
