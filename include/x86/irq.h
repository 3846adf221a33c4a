/*
 * Interrupt lines: drivers register handlers, the shell shows counts.
 */
#ifndef X86_IRQ_H
#define X86_IRQ_H

#include <types.h>

#define IRQ_PIT      0
#define IRQ_KEYBOARD 1
#define IRQ_COM1     4
#define IRQ_MOUSE    12

/* Runs with interrupts off, on the interrupted thread's stack: short, no sleeping, no heap. */
typedef void irq_handler(void);

/* Remaps and masks the PIC. Interrupts stay off until the caller turns them on. */
void irq_init(void);

/*
 * Sets a line's handler and unmasks the line.
 * line: 0 to 15, without a handler so far; name: a static string for the `irq` command.
 */
void irq_register(uint32_t line, irq_handler *handler, const char *name);

/* Whether the CPU is inside a handler. */
bool irq_active(void);

struct irq_info {
    const char *name; /* NULL: no handler */
    uint64_t count;
    uint64_t spurious; /* interrupts that the PIC could not name any more; lines 7 and 15 only */
};

/* line: 0 to 15. */
struct irq_info irq_info(uint32_t line);

/* How often a vector arrived that is neither an exception nor one of the 16 lines. */
uint32_t irq_unexpected(void);

#endif
