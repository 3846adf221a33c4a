/*
 * ACPI as far as RoninOS needs it: switching off (S5) and the reset register.
 */
#ifndef DRIVERS_ACPI_H
#define DRIVERS_ACPI_H

#include <types.h>

/*
 * Finds the tables, takes from them what the two functions below need, and logs one line. Whatever
 * the tables say, it returns. Needs boot_info, windows and the log; called once, from a thread.
 */
void acpi_init(void);

/*
 * Puts the machine into S5. Returns where the tables offer none, and after a second or two where
 * the machine does not follow. Interrupts on or off.
 */
void acpi_power_off(void);

/* Writes to the reset register. Returns where there is none or nothing follows. Any context. */
void acpi_reset(void);

#endif
