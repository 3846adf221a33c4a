/*
 * The CPU's descriptor tables: GDT with its task state segments, and IDT. They stand complete in
 * the image (tables.S), and start.S loads them before any C runs.
 */
#ifndef X86_TABLES_H
#define X86_TABLES_H

/* Selectors, for assembly too. */
#define SELECTOR_CODE         0x08
#define SELECTOR_DATA         0x10
#define SELECTOR_TSS          0x18
#define SELECTOR_DOUBLE_FAULT 0x20
#define SELECTOR_STACK        0x28

#define TSS_SIZE              104
#define ISR_STUB_SIZE         16 /* from one entry point of isr.S to the next */

#ifndef __ASSEMBLER__

#include <types.h>

struct regs;

/* The operand of LGDT and LIDT. */
struct descriptor_pointer {
    uint16_t limit;
    uint32_t base;
} PACKED;

/* Tells the double fault's task which page directory to run with. Call when paging is on. */
void tss_set_page_directory(uint32_t cr3);

/*
 * The interrupted task's registers and stack pointer, as the CPU saved them when it switched to
 * the double fault's task.
 */
void tss_interrupted_task(struct regs *regs, uint32_t *esp);

#endif /* __ASSEMBLER__ */

#endif
