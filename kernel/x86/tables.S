/*
 * The CPU's tables, complete in the image, so that start.S has only to load them: a fault is named
 * from there on.
 *
 * Segmentation is flat: one code and one data segment over all 4 GiB. Only the boot stack has another
 * segment before paging (boot_stack.c). There are two task state segments, which tss.c has. Every
 * vector has a gate; the double fault enters by a task gate.
 *
 * The IDT lies in read-only data. The GDT cannot: the CPU marks there which task is busy. Both hold
 * addresses in pieces, which linker.ld cuts.
 *
 * Source: Intel SDM vol 3, "Protected-Mode Memory Management", "Task Management" and "Interrupt and
 * Exception Handling".
 */
#include "x86/trap.h"
#include <x86/tables.h>

#define CODE           0x9a /* present, ring 0, code, readable */
#define DATA           0x92 /* present, ring 0, data, writable */
#define STACK          0x96 /* the same, but all offsets above the limit */
#define TSS            0x89 /* present, ring 0, available 32-bit TSS */
#define FLAT           0xcf /* 32-bit; the limit counts pages, and these are its highest bits */
#define IN_PAGES       0xc0 /* 32-bit, the limit counts pages */
#define GATE_INTERRUPT 0x8e /* present, ring 0, 32-bit, interrupts off on entry */
#define GATE_TASK      0x85 /* present, ring 0, task */

        .macro  flat_segment access
        .short  0xffff, 0
        .byte   0, \access, FLAT, 0
        .endm

        /* The base lies below 16 MiB, like the whole image. */
        .macro  tss base_low, base_middle
        .short  TSS_SIZE - 1, \base_low
        .byte   \base_middle, TSS, 0, 0
        .endm

        .section .data
        .balign 8
        .type   gdt, @object
gdt:
        .quad   0
        flat_segment CODE
        flat_segment DATA
        tss     main_tss_low, main_tss_middle
        tss     double_fault_tss_low, double_fault_tss_middle
        .short  boot_stack_limit, 0
        .byte   0, STACK, IN_PAGES, 0
        .size   gdt, . - gdt
        .set    GDT_SIZE, . - gdt

        .section .rodata
        .balign 8
        .global idt
        .type   idt, @object
idt:
        .set    vector, 0
        .rept   256
        .if     vector == VECTOR_DOUBLE_FAULT
        .short  0, SELECTOR_DOUBLE_FAULT, GATE_TASK << 8, 0
        .else
        .short  isr_stubs_low + ISR_STUB_SIZE * vector, SELECTOR_CODE, GATE_INTERRUPT << 8, isr_stubs_high
        .endif
        .set    vector, vector + 1
        .endr
        .size   idt, . - idt
        .set    IDT_SIZE, . - idt

        /* The operands of LGDT and LIDT: size - 1 and address. */
        .global gdt_pointer, idt_pointer
gdt_pointer:
        .short  GDT_SIZE - 1
        .long   gdt
idt_pointer:
        .short  IDT_SIZE - 1
        .long   idt

        .section .note.GNU-stack, "", @progbits
