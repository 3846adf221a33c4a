/*
 * void context_switch(uint32_t *save_esp, uint32_t load_esp)
 *
 * Saves what C expects to survive a call, changes stacks, restores the other thread's. Called
 * with interrupts off; EAX, ECX and EDX are the caller's, so they need no saving.
 */
        .text
        .global context_switch
        .type   context_switch, @function
context_switch:
        movl    4(%esp), %eax
        movl    8(%esp), %edx

        pushl   %ebp
        pushl   %ebx
        pushl   %esi
        pushl   %edi

        movl    %esp, (%eax)
        movl    %edx, %esp

        popl    %edi
        popl    %esi
        popl    %ebx
        popl    %ebp
        ret
        .size   context_switch, . - context_switch

        .section .note.GNU-stack, "", @progbits
