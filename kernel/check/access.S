/*
 * The compiler calls one of these before each access to memory: __asan_load4_noabort(address)
 * and so on. Nothing is wrong where the shadow of the first and the last byte is 0; anything else
 * is looked at in C, with the registers as for a trap (struct regs), and so is every access once
 * the budget of stretches without interrupts is used up.
 */
#include "mem/layout.h"

        .text

        .macro  access name, size, write
        .global __asan_\name\size\()_noabort
        .type   __asan_\name\size\()_noabort, @function
__asan_\name\size\()_noabort:
        cmpb    $0, check_on
        je      1f
        movl    4(%esp), %eax
        decl    check_budget
        js      2f
        movl    %eax, %edx
        shrl    $SHADOW_SHIFT, %edx
        cmpb    $0, SHADOW_BASE(%edx)
        jne     2f
        .if     \size > 1
        leal    (\size - 1)(%eax), %edx
        shrl    $SHADOW_SHIFT, %edx
        cmpb    $0, SHADOW_BASE(%edx)
        jne     2f
        .endif
1:      ret
2:      movl    $\size, %ecx
        movl    $\write, %edx
        jmp     look_closer
        .size   __asan_\name\size\()_noabort, . - __asan_\name\size\()_noabort
        .endm

        .macro  range name, write
        .global \name
        .type   \name, @function
\name:
        movl    4(%esp), %eax
        movl    8(%esp), %ecx
        movl    $\write, %edx
        cmpb    $0, check_on
        jne     look_closer
        ret
        .size   \name, . - \name
        .endm

        access  load, 1, 0
        access  load, 2, 0
        access  load, 4, 0
        access  load, 8, 0
        access  store, 1, 1
        access  store, 2, 1
        access  store, 4, 1
        access  store, 8, 1

        /* 16 bytes have a granule in the middle. */
        .macro  access16 name, write
        .global \name
        .type   \name, @function
\name:
        movl    4(%esp), %eax
        movl    $16, %ecx
        movl    $\write, %edx
        cmpb    $0, check_on
        jne     look_closer
        ret
        .size   \name, . - \name
        .endm

        access16 __asan_load16_noabort, 0
        access16 __asan_store16_noabort, 1
        range   __asan_loadN_noabort, 0
        range   __asan_storeN_noabort, 1
        range   check_read, 2
        range   check_write, 3

/* EAX: the address; ECX: the size; EDX: bit 0 a write, bit 1 of a range. As if called. */
        .type   look_closer, @function
look_closer:
        pushfl
        pushl   %cs
        pushl   8(%esp)                 /* EIP: where the access's code goes on */
        pushl   $0                      /* neither error code nor vector */
        pushl   $0
        pusha
        pushl   %ds
        pushl   %es
        movl    %esp, %ebx
        pushl   %edx
        pushl   %ecx
        pushl   %eax
        pushl   %ebx
        call    check_access            /* (regs, address, size, how) */
        addl    $16, %esp
        popl    %es
        popl    %ds
        popa
        addl    $16, %esp
        popfl
        ret
        .size   look_closer, . - look_closer

        .section .note.GNU-stack, "", @progbits
