/*
 * bool probe_read(const uint32_t *address, uint32_t *value)
 *
 * A fault of the one instruction at probe_access goes on at probe_failed: see probe_recover().
 */
        .text
        .global probe_read, probe_access, probe_failed
        .type   probe_read, @function
probe_read:
        movl    4(%esp), %ecx
        movl    8(%esp), %edx
        xorl    %eax, %eax
probe_access:
        movl    (%ecx), %ecx
        movl    %ecx, (%edx)
        incl    %eax
probe_failed:
        ret
        .size   probe_read, . - probe_read

        .section .note.GNU-stack, "", @progbits
