/*
 * Entry points of all 256 interrupt vectors.
 *
 * Each stub pushes an error code where the CPU pushes none, then its vector, so that struct regs
 * always has the same shape; the common part saves the registers and calls trap_dispatch(regs).
 */
#include <x86/tables.h>

        .section .text.isr, "ax"        /* linker.ld sees to it that one gate's high half fits all */

        .balign ISR_STUB_SIZE
        .global isr_stubs
        .type   isr_stubs, @function
isr_stubs:                              /* stub N begins at isr_stubs + ISR_STUB_SIZE * N */
        .set    vector, 0
        .rept   256
        .balign ISR_STUB_SIZE
        /* At vectors 8, 10 to 14, 17, 21, 29 and 30 the CPU pushes an error code itself. */
        .if     (vector != 8) && (vector < 10 || vector > 14) && (vector != 17) && (vector != 21) && (vector != 29) && (vector != 30)
        pushl   $0
        .endif
        pushl   $vector
        jmp     isr_common
        .set    vector, vector + 1
        .endr
        .balign ISR_STUB_SIZE
        .size   isr_stubs, . - isr_stubs

        .global isr_common
        .type   isr_common, @function
isr_common:
        pusha
        pushl   %ds
        pushl   %es
        movl    $SELECTOR_DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        cld
        movl    %esp, %eax
#ifdef CHECK                            /* red zones want a stack that is aligned, as C keeps it */
        movl    %esp, %ebx
        andl    $-16, %esp
        subl    $12, %esp
        pushl   %eax
        call    trap_dispatch
        movl    %ebx, %esp
#else
        pushl   %eax
        call    trap_dispatch
        addl    $4, %esp
#endif
        popl    %es
        popl    %ds
        popa
        addl    $8, %esp                /* the vector and the error code */
        iret
        .size   isr_common, . - isr_common

        .section .note.GNU-stack, "", @progbits
