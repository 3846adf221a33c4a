/*
 * Exceptions and the way from a vector to what handles it. The vectors are for assembly too.
 */
#ifndef X86_TRAP_H
#define X86_TRAP_H

#define VECTOR_DIVIDE         0
#define VECTOR_DEBUG          1
#define VECTOR_BREAKPOINT     3
#define VECTOR_INVALID_OPCODE 6
#define VECTOR_DOUBLE_FAULT   8
#define VECTOR_PAGE_FAULT     14
#define VECTOR_EXCEPTIONS     32 /* vectors below are the CPU's own */

/* Where the lines of irq.h arrive: at this and the following vectors. */
#define VECTOR_IRQ_BASE       32

/* Where the local APIC sends what was withdrawn; the low four bits must be set on older ones. */
#define VECTOR_SPURIOUS       255

#ifndef __ASSEMBLER__

#include "x86/regs.h"

/* Called by isr.S for every vector but the double fault, interrupts off. */
void trap_dispatch(struct regs *regs);

/* Entered by the task switch of a double fault, on its own stack. */
_Noreturn void trap_double_fault(void);

#endif /* __ASSEMBLER__ */

#endif
