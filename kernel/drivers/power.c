/*
 * Power: the ways to switch off and to restart, the proper one first. Each is waited for a while
 * and followed by the next, because a machine may offer what it does not do.
 */
#include <drivers/power.h>
#include <drivers/acpi.h>
#include <x86/io.h>

/* Without ACPI: the power management port of QEMU's pc and q35, and of older QEMU and Bochs. */
#define PORT_PM_QEMU         0x604
#define PORT_PM_BOCHS        0xb004
#define PM_SLEEP_S5          0x2000 /* SLP_EN, sleep type 0 */

#define PORT_DEBUG_EXIT      0xf4 /* QEMU's isa-debug-exit */

#define PORT_KEYBOARD_STATUS 0x64
#define KEYBOARD_INPUT_FULL  0x02
#define KEYBOARD_PULSE_RESET 0xfe
#define MAX_POLLS            100000u

static bool selftest;

void power_off(void)
{
    acpi_power_off();
    outw(PORT_PM_QEMU, PM_SLEEP_S5);
    outw(PORT_PM_BOCHS, PM_SLEEP_S5);
    for (uint32_t i = 0; i < MAX_POLLS; i++)
        io_delay(); /* an emulator may take a moment */
}

void power_reboot(void)
{
    interrupts_disable();
    acpi_reset();
    for (uint32_t polls = 0; polls < MAX_POLLS; polls++) {
        if (!(inb(PORT_KEYBOARD_STATUS) & KEYBOARD_INPUT_FULL))
            break;
    }
    outb(PORT_KEYBOARD_STATUS, KEYBOARD_PULSE_RESET);
    for (uint32_t i = 0; i < MAX_POLLS; i++)
        io_delay();

    /* No keyboard controller: an interrupt without an interrupt table resets the CPU. */
    const struct {
        uint16_t limit;
        uint32_t base;
    } PACKED empty = { 0, 0 };
    __asm__ volatile("lidt %0; int3" : : "m"(empty));
    halt_forever();
}

void power_enter_selftest(void)
{
    selftest = true;
}

void power_leave_selftest(bool passed)
{
    if (!selftest)
        return;
    outb(PORT_DEBUG_EXIT, passed ? 0 : 1);
    power_off();
}
