/*
 * ACPI as far as RoninOS needs it: switching off (S5), the reset register, and where timers and
 * interrupt controllers are.
 */
#ifndef DRIVERS_ACPI_H
#define DRIVERS_ACPI_H

#include <drivers/acpi_tables.h>
#include <types.h>

/*
 * Finds the tables, takes from them what the functions below need, and logs one line. Whatever the
 * tables say, it returns. Needs boot_info, windows and the log; called once.
 */
void acpi_init(void);

/* What the tables say, or NULL where there is no such sound table. Any context. */
const struct acpi_fadt *acpi_fadt(void);
const struct acpi_madt *acpi_madt(void);

/* The physical address of the HPET's registers; 0: none. Any context. */
paddr64_t acpi_hpet_address(void);

/*
 * Puts the machine into S5. Returns where the tables offer none, and after a second or two where
 * the machine does not follow. Interrupts on or off.
 */
void acpi_power_off(void);

/* Writes to the reset register. Returns where there is none or nothing follows. Any context. */
void acpi_reset(void);

#endif
