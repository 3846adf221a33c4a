/*
 * Interrupt lines: drivers register handlers, the shell shows counts.
 */
#ifndef X86_IRQ_H
#define X86_IRQ_H

#include <types.h>

struct acpi_madt;

#define IRQ_PIT         0
#define IRQ_KEYBOARD    1
#define IRQ_COM1        4
#define IRQ_MOUSE       12
#define IRQ_ISA_LINES   16 /* lines below come from the machine, by the PIC or an I/O APIC */
#define IRQ_LAPIC_TIMER 16 /* inside the CPU */
#define IRQ_SOFTWARE    17 /* raised by irq_raise_software() alone: what `bench` measures */
#define IRQ_LINES       18

/* Runs with interrupts off, on the interrupted thread's stack: short, no sleeping, no heap. */
typedef void irq_handler(void);

/*
 * Remaps and masks the PIC, and silences the local and I/O APICs where there are any. Interrupts
 * stay off until the caller turns them on. madt: what the tables say of APICs; NULL: nothing. Needs
 * windows.
 */
void irq_init(const struct acpi_madt *madt);

/* How the ISA lines reach the CPU. */
enum irq_route {
    IRQ_BY_PIC,           /* as firmware left the CPU's pins */
    IRQ_BY_PIC_AND_LAPIC, /* through the local APIC's LINT0, which some firmware leaves masked */
    IRQ_BY_IOAPIC,
};

/*
 * Sends them another way, before any line has a handler. False where the machine has not what it
 * takes. Interrupts off.
 */
bool irq_set_route(enum irq_route route);

/* "PIC" or "I/O APIC". */
const char *irq_route_name(void);

/*
 * Sets a line's handler and unmasks the line.
 * line: below IRQ_LINES, without a handler so far; name: a static string for the `irq` command.
 */
void irq_register(uint32_t line, irq_handler *handler, const char *name);

/* Masks the line and takes its handler away. */
void irq_unregister(uint32_t line);

#define IRQ_SOFTWARE_VECTOR 49

/* Raises line IRQ_SOFTWARE, which is handled at once. Interrupts on. */
static inline void irq_raise_software(void)
{
    __asm__ volatile("int %0" : : "i"(IRQ_SOFTWARE_VECTOR) : "memory", "cc");
}

/* Whether the line's interrupt has come and waits to be handled. Interrupts off. */
bool irq_pending(uint32_t line);

extern uint32_t irq_nesting; /* for irq_active() alone */

/* Whether the CPU is inside a handler. */
static inline bool irq_active(void)
{
    return irq_nesting != 0;
}

struct irq_info {
    const char *name; /* NULL: no handler */
    uint64_t count;
    uint64_t spurious; /* interrupts that the PIC could not name any more; lines 7 and 15 only */
};

/* line: below IRQ_LINES. */
struct irq_info irq_info(uint32_t line);

/* How often a vector arrived that is neither an exception nor one of the lines. */
uint32_t irq_unexpected(void);

#endif
