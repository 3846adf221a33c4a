/*
 * The CPU's descriptor tables: GDT with its task state segments, and IDT.
 */
#ifndef X86_TABLES_H
#define X86_TABLES_H

/* Selectors, for assembly too. */
#define SELECTOR_CODE         0x08
#define SELECTOR_DATA         0x10
#define SELECTOR_TSS          0x18
#define SELECTOR_DOUBLE_FAULT 0x20

#ifndef __ASSEMBLER__

#include <types.h>

struct regs;

/* The operand of LGDT and LIDT. */
struct descriptor_pointer {
    uint16_t limit;
    uint32_t base;
} PACKED;

/*
 * Loads flat code and data segments and the task register. The second task serves the double
 * fault: it has a stack of its own, so that a kernel stack that ran into its guard page is
 * reported instead of resetting the machine.
 */
void gdt_init(void);

/* Tells the double fault's task which page directory to run with. Call when paging is on. */
void gdt_set_page_directory(uint32_t cr3);

/*
 * The interrupted task's registers and stack pointer, as the CPU saved them when it switched to
 * the double fault's task.
 */
void gdt_interrupted_task(struct regs *regs, uint32_t *esp);

/* Fills all 256 vectors: exceptions, IRQs, and the rest, which is only counted. */
void idt_init(void);

#endif /* __ASSEMBLER__ */

#endif
