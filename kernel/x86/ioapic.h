/*
 * The I/O APICs, as far as they serve the 16 ISA lines. Called with interrupts off.
 *
 * Source: Intel 82093AA data sheet, "Register Description".
 */
#ifndef X86_IOAPIC_H
#define X86_IOAPIC_H

#include <drivers/acpi_tables.h>

#define IOAPIC_DESTINATION_MAX 254u /* 255 is all CPUs */

/*
 * Masks the inputs of all that the table names, but for firmware's own and the PIC's, and keeps
 * those mapped that serve ISA lines. The lines will arrive at vectors from `vector_base` on, at the
 * CPU whose local APIC is `destination`. Called once. False, and nothing mapped, where none serves
 * an ISA line or that CPU is out of their reach.
 */
bool ioapic_init(const struct acpi_madt *madt, uint32_t vector_base, uint32_t destination);

/* line: 0 to 15; one that no I/O APIC serves is left alone. */
void ioapic_mask(uint32_t line);
void ioapic_unmask(uint32_t line);

#endif
