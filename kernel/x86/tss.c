/*
 * The two task state segments. The main one only receives the registers when a double fault
 * switches away; the other gives the double fault handler a stack of its own. tables.S has their
 * descriptors, and start.S makes the main one the running task's.
 *
 * Source: Intel SDM vol 3, "Task Management".
 */
#include "x86/regs.h"
#include "x86/trap.h"
#include <lib/string.h>
#include <x86/tables.h>

#define EFLAGS_ALWAYS 0x2 /* the bit that is always set; interrupts off */

struct tss {
    uint32_t link;
    uint32_t esp0, ss0, esp1, ss1, esp2, ss2;
    uint32_t cr3;
    uint32_t eip, eflags;
    uint32_t eax, ecx, edx, ebx, esp, ebp, esi, edi;
    uint32_t es, cs, ss, ds, fs, gs;
    uint32_t ldt;
    uint16_t trap, io_map_base;
};

_Static_assert(sizeof(struct tss) == TSS_SIZE, "the TSS's size is the CPU's");

extern struct tss main_tss, double_fault_tss;

/* A report takes 2.7 KiB, and one that faults begins anew below itself. */
static uint8_t double_fault_stack[12288] __attribute__((aligned(16)));

struct tss main_tss = { .ss0 = SELECTOR_DATA, .io_map_base = sizeof(struct tss) };

/* The handler is a C function without arguments: its stack begins at a return address. */
struct tss double_fault_tss = {
    .cs = SELECTOR_CODE,
    .ds = SELECTOR_DATA,
    .es = SELECTOR_DATA,
    .ss = SELECTOR_DATA,
    .eip = (uint32_t)(uintptr_t)trap_double_fault,
    .eflags = EFLAGS_ALWAYS,
    .esp = (uint32_t)(uintptr_t)(double_fault_stack + sizeof(double_fault_stack) - 4),
    .io_map_base = sizeof(struct tss),
};

void tss_set_page_directory(uint32_t cr3)
{
    main_tss.cr3 = cr3;
    double_fault_tss.cr3 = cr3;
}

void tss_interrupted_task(struct regs *regs, uint32_t *esp)
{
    memset(regs, 0, sizeof(*regs));
    regs->eax = main_tss.eax;
    regs->ebx = main_tss.ebx;
    regs->ecx = main_tss.ecx;
    regs->edx = main_tss.edx;
    regs->esi = main_tss.esi;
    regs->edi = main_tss.edi;
    regs->ebp = main_tss.ebp;
    regs->ds = main_tss.ds;
    regs->es = main_tss.es;
    regs->cs = main_tss.cs;
    regs->eip = main_tss.eip;
    regs->eflags = main_tss.eflags;
    *esp = main_tss.esp;
}
