/*
 * From GRUB's jump to kernel_main.
 *
 * On entry: EAX holds the magic, EBX the physical address of the information block, protected
 * mode with flat segments, paging and interrupts off. Nothing else is promised: the stack, the
 * GDT and IDT are GRUB's and lie in memory marked free, EFLAGS and CR0 may hold leftovers of the
 * firmware. CR4 and EFER, which not every CPU has, are put right in C (cpu_init), as are GDT, IDT
 * and the interrupt controller.
 *
 * Source: Multiboot2 Specification 2.0, "I386 machine state".
 */
#include "mem/layout.h"

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
        movl    $_boot_stack_top, %esp
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

        xorl    %ebp, %ebp              /* the end of every backtrace */
        pushl   $0                      /* keeps the arguments 16-byte aligned */
        pushl   $0
        pushl   %ebx
        pushl   %edx
        call    kernel_main
1:      cli
        hlt
        jmp     1b
        .size   start, . - start

        .section .note.GNU-stack, "", @progbits
