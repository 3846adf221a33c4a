/*
 * What catches an overflow of the boot stack before paging, when there is no guard page yet.
 * start.S sets up both:
 *
 * - The stack segment ends where the stack does: it is one that expands down, with the same base
 *   as all others, so that C notices nothing. Whatever goes below is a stack fault, whose own push
 *   is a double fault, which has another stack.
 * - A debug register watches the stack's last word. QEMU's own emulation checks no segment limits
 *   and would else see nothing. The watch sees a push, but not a frame that leaps over the word.
 *
 * Source: Intel SDM vol 3, "Segment Descriptors" and "Debug Registers".
 */
#include <x86/boot_stack.h>
#include <x86/tables.h>

#define DR6_B0 (1u << 0)

bool boot_stack_watch_hit(void)
{
    uint32_t dr6;

    __asm__ volatile("movl %%dr6, %0" : "=r"(dr6));
    return dr6 & DR6_B0;
}

void boot_stack_is_guarded(void)
{
    __asm__ volatile("movl %0, %%dr7\n\t"
                     "movl %1, %%ss"
                     :
                     : "r"(DR7_NOTHING), "r"(SELECTOR_DATA)
                     : "memory");
}
