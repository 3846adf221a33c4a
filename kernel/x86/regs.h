/*
 * The registers as isr.S leaves them on the stack. isr.S pushes in the order of this structure,
 * last field first; trap.c asserts the offsets that assembly relies on.
 */
#ifndef X86_REGS_H
#define X86_REGS_H

#include <types.h>

struct regs {
    uint32_t es, ds;
    uint32_t edi, esi, ebp, esp_pusha, ebx, edx, ecx, eax; /* as PUSHA leaves them */
    uint32_t vector;
    uint32_t error;           /* the CPU's error code, 0 for vectors that have none */
    uint32_t eip, cs, eflags; /* pushed by the CPU; ESP and SS are not: there is no user mode */
};

/* The interrupted code's stack pointer: what lies above the CPU's own three words. */
static inline uint32_t regs_esp(const struct regs *regs)
{
    return (uint32_t)(uintptr_t)(&regs->eflags + 1);
}

#endif
