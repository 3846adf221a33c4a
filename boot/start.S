/*
 * From GRUB's jump to kernel_main.
 *
 * On entry: EAX holds the magic, EBX the physical address of the information block, protected
 * mode with flat segments, paging and interrupts off. Nothing else is promised: the stack, the
 * GDT and IDT are GRUB's and lie in memory marked free, EFLAGS and CR0 may hold leftovers of the
 * firmware. CR4 and EFER, which not every CPU has, are put right in C (cpu_init), as is the interrupt
 * controller. The kernel's own tables are loaded first, so that a fault is named from there on.
 *
 * Source: Multiboot2 Specification 2.0, "I386 machine state".
 */
#include "mem/layout.h"
#include <x86/boot_stack.h>
#include <x86/tables.h>

/* CR0: protected mode, x87 errors by exception #MF; caching on, paging off, no FPU emulation. */
#define CR0_PE 0x00000001
#define CR0_ET 0x00000010
#define CR0_NE 0x00000020

        .section .text.start, "ax"
        .global start
        .type   start, @function
start:
        cli
        cld
        lgdt    gdt_pointer
        ljmp    $SELECTOR_CODE, $1f
1:      movl    $SELECTOR_DATA, %ecx
        movl    %ecx, %ds
        movl    %ecx, %es
        movw    $SELECTOR_STACK, %cx
        movl    %ecx, %ss
        movl    $_boot_stack_top, %esp
        xorl    %ecx, %ecx
        movl    %ecx, %fs
        movl    %ecx, %gs
        lldt    %cx
        movw    $SELECTOR_TSS, %cx
        ltr     %cx
        lidt    idt_pointer

        movl    $(CR0_PE | CR0_ET | CR0_NE), %ecx
        movl    %ecx, %cr0
        pushl   $0                      /* EFLAGS: no NT, AC, TF, IOPL left over */
        popfl

        /* .bss, which GRUB should have cleared; the information block never lies in it. */
        movl    %eax, %edx
        xorl    %eax, %eax
        movl    $_bss_start, %edi
        movl    $_bss_end, %ecx
        subl    %edi, %ecx
        rep stosb

        movl    $_boot_stack_bottom, %ecx
        movl    %ecx, %dr0
        movl    $DR7_WATCH, %ecx
        movl    %ecx, %dr7

        xorl    %ebp, %ebp              /* the end of every backtrace */
        pushl   $0                      /* keeps the arguments 16-byte aligned */
        pushl   $0
        pushl   %ebx
        pushl   %edx
        call    kernel_main
2:      cli
        hlt
        jmp     2b
        .size   start, . - start

        .section .note.GNU-stack, "", @progbits
