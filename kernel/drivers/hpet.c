/*
 * The HPET, for its main counter alone: its low half, which every HPET has.
 *
 * Source: IA-PC HPET Specification 1.0a, "Register Definitions".
 */
#include <drivers/acpi.h>
#include <drivers/counter.h>
#include <mem/window.h>

#define SIZE          0x400u

/* Registers, as 32-bit words. */
#define PERIOD        (0x004 / 4) /* the upper half of the capabilities: femtoseconds a count */
#define CONFIGURATION (0x010 / 4)
#define MAIN_COUNTER  (0x0f0 / 4)

#define ENABLE        (1u << 0)
#define LEGACY_ROUTE  (1u << 1) /* its own timers take the place of the PIT's IRQ 0 */

#define PERIOD_MAX    100000000u /* 10 MHz: no HPET may be slower */
#define FEMTOSECONDS  1000000000000000ull

static volatile uint32_t *registers;

static uint32_t read_main(void)
{
    return registers[MAIN_COUNTER];
}

/* An HPET that is not there reads as all ones. */
static bool start(struct counter *counter)
{
    uint32_t period = registers[PERIOD];

    if (period == 0 || period > PERIOD_MAX || FEMTOSECONDS / period > UINT32_MAX)
        return false;
    counter->hz = (uint32_t)(FEMTOSECONDS / period);
    registers[CONFIGURATION] = (registers[CONFIGURATION] & ~LEGACY_ROUTE) | ENABLE;
    return counter_counts(counter);
}

const struct counter *hpet_counter(void)
{
    static struct counter counter = { .name = "HPET", .read = read_main };
    paddr64_t address = acpi_hpet_address();

    if (address == 0)
        return NULL;
    registers = map_window(address, SIZE, WINDOW_DEVICE);
    if (registers == NULL)
        return NULL;
    if (start(&counter))
        return &counter;
    unmap_window((const void *)registers);
    return NULL;
}
