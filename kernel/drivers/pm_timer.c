/*
 * The ACPI power management timer: 3.579545 MHz, 24 or 32 bits, read from one port.
 */
#include <drivers/acpi.h>
#include <drivers/counter.h>
#include <x86/io.h>

#define HZ           3579545u
#define BITS_24_TURN (1u << 24)
#define BITS_24_MASK (BITS_24_TURN - 1)

static uint16_t port;

static uint32_t read_24(void)
{
    return inl(port) & BITS_24_MASK;
}

static uint32_t read_32(void)
{
    return inl(port);
}

const struct counter *pm_timer_counter(void)
{
    static struct counter counter = { .name = "ACPI PM timer", .hz = HZ };
    const struct acpi_fadt *fadt = acpi_fadt();

    if (fadt == NULL || fadt->pm_timer == 0)
        return NULL;
    port = fadt->pm_timer;
    counter.turn = fadt->pm_timer_32_bits ? 0 : BITS_24_TURN;
    counter.read = fadt->pm_timer_32_bits ? read_32 : read_24;
    return counter_counts(&counter) ? &counter : NULL;
}
