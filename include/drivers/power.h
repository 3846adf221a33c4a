/*
 * Switching off and restarting.
 */
#ifndef DRIVERS_POWER_H
#define DRIVERS_POWER_H

#include <types.h>

/* Switches the machine off, by ACPI or an emulator's port; returns where neither works. */
void power_off(void);

/* Restarts the machine: ACPI's reset register, keyboard controller, a triple fault. Any context. */
_Noreturn void power_reboot(void);

/* From here on a panic leaves QEMU as a failure. */
void power_enter_selftest(void);

/*
 * Under `selftest`: leaves QEMU by its debug exit port, or switches off where there is none.
 * Returns if neither worked, and at once when power_enter_selftest() was not called.
 */
void power_leave_selftest(bool passed);

#endif
