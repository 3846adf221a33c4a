/*
 * The I/O APICs, as far as they serve the 16 ISA lines. Called with interrupts off.
 *
 * Source: Intel 82093AA data sheet, "Register Description".
 */
#ifndef X86_IOAPIC_H
#define X86_IOAPIC_H

#include <drivers/acpi_tables.h>

/*
 * Maps those that serve ISA lines by what the table says, and masks their inputs. The lines will
 * arrive at vectors from `vector_base` on, at the CPU whose local APIC is `destination`. Again, it
 * only answers. False, and nothing mapped, where there is none that can be reached.
 */
bool ioapic_init(const struct acpi_madt *madt, uint32_t vector_base, uint32_t destination);

/* line: 0 to 15; one that no I/O APIC serves is left alone. */
void ioapic_mask(uint32_t line);
void ioapic_unmask(uint32_t line);

#endif
