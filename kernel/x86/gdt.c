/*
 * Segments and tasks. Segmentation is flat: one code and one data segment over all 4 GiB.
 *
 * There are two task state segments. The main one only receives the registers when a double
 * fault switches away; the other gives the double fault handler a stack of its own.
 *
 * Source: Intel SDM vol 3, "Protected-Mode Memory Management" and "Task Management".
 */
#include <x86/tables.h>
#include "x86/regs.h"
#include "x86/trap.h"
#include <lib/string.h>

#define DESCRIPTOR_CODE 0x9a /* present, ring 0, code, readable */
#define DESCRIPTOR_DATA 0x92 /* present, ring 0, data, writable */
#define DESCRIPTOR_TSS  0x89 /* present, ring 0, available 32-bit TSS */
#define FLAGS_FLAT      0xc  /* limit in pages, 32-bit */
#define FLAGS_BYTES     0x0

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

_Static_assert(sizeof(struct tss) == 104, "the TSS's size is the CPU's");

static uint64_t gdt[5];
static struct tss main_tss;
static struct tss double_fault_tss;

/* A report takes 2.7 KiB, and one that faults begins anew below itself. */
static uint8_t double_fault_stack[12288] __attribute__((aligned(16)));

static uint64_t descriptor(uint32_t base, uint32_t limit, uint8_t access, uint8_t flags)
{
    return (uint64_t)(limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)access << 40 |
           (uint64_t)(limit >> 16 & 0xf) << 48 | (uint64_t)(flags & 0xf) << 52 |
           (uint64_t)(base >> 24) << 56;
}

static void load_gdt(void)
{
    const struct descriptor_pointer pointer = { sizeof(gdt) - 1, (uint32_t)(uintptr_t)gdt };

    __asm__ volatile("lgdt %0\n\t"
                     "ljmp %1, $1f\n"
                     "1:\n\t"
                     "movl %2, %%ds\n\t"
                     "movl %2, %%es\n\t"
                     "movl %2, %%ss\n\t"
                     "movl %3, %%fs\n\t"
                     "movl %3, %%gs\n\t"
                     "lldt %w3\n\t"
                     "ltr %w4"
                     :
                     : "m"(pointer), "i"(SELECTOR_CODE), "r"(SELECTOR_DATA), "r"(0),
                       "r"(SELECTOR_TSS)
                     : "memory");
}

static void init_double_fault_task(void)
{
    double_fault_tss.cs = SELECTOR_CODE;
    double_fault_tss.ds = double_fault_tss.es = double_fault_tss.ss = SELECTOR_DATA;
    double_fault_tss.eip = (uint32_t)(uintptr_t)trap_double_fault;
    double_fault_tss.eflags = 0x2; /* the bit that is always set; interrupts off */
    /* The handler is a C function without arguments: its stack begins at a return address. */
    double_fault_tss.esp =
        (uint32_t)(uintptr_t)(double_fault_stack + sizeof(double_fault_stack)) - 4;
    double_fault_tss.io_map_base = sizeof(struct tss);
}

void gdt_init(void)
{
    init_double_fault_task();
    main_tss.ss0 = SELECTOR_DATA;
    main_tss.io_map_base = sizeof(struct tss);

    gdt[SELECTOR_CODE / 8] = descriptor(0, 0xfffff, DESCRIPTOR_CODE, FLAGS_FLAT);
    gdt[SELECTOR_DATA / 8] = descriptor(0, 0xfffff, DESCRIPTOR_DATA, FLAGS_FLAT);
    gdt[SELECTOR_TSS / 8] = descriptor((uint32_t)(uintptr_t)&main_tss, sizeof(main_tss) - 1,
                                       DESCRIPTOR_TSS, FLAGS_BYTES);
    gdt[SELECTOR_DOUBLE_FAULT / 8] =
        descriptor((uint32_t)(uintptr_t)&double_fault_tss, sizeof(double_fault_tss) - 1,
                   DESCRIPTOR_TSS, FLAGS_BYTES);
    load_gdt();
}

void gdt_set_page_directory(uint32_t cr3)
{
    main_tss.cr3 = cr3;
    double_fault_tss.cr3 = cr3;
}

void gdt_interrupted_task(struct regs *regs, uint32_t *esp)
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
