/*
 * Short backtraces that are kept. Taking one must be cheap: it reads no tables but trusts the
 * frames to lie on the stack that the caller runs on.
 */
#include "check/trace.h"
#include "mem/layout.h"
#include <address.h>
#include <lib/string.h>
#include <log.h>
#include <mem/sections.h>

vaddr_t check_stack_end(vaddr_t address)
{
    if (address >= (vaddr_t)_boot_stack_bottom && address < (vaddr_t)_boot_stack_top)
        return (vaddr_t)_boot_stack_top;
    if (address >= STACKS_BASE && address < STACKS_END)
        return address - (address - STACKS_BASE) % STACK_SLOT_SIZE + STACK_SLOT_SIZE;
    return address;
}

void check_trace_take(struct check_trace *trace, const void *frame)
{
    const uint32_t *at = frame;
    vaddr_t end = check_stack_end((vaddr_t)at);
    uint32_t count = 0;

    __builtin_memcpy(trace->thread, thread_current()->name, sizeof(trace->thread));
    while (count < TRACE_CALLS && (vaddr_t)at < end - sizeof(uint32_t) && at[1] != 0) {
        const uint32_t *caller = (const uint32_t *)(uintptr_t)at[0];
        trace->calls[count++] = at[1];
        if (caller <= at)
            break;
        at = caller;
    }
    while (count < TRACE_CALLS)
        trace->calls[count++] = 0;
}

void check_trace_print(const char *what, const struct check_trace *trace)
{
    kprintf("%s by thread %.*s:\n", what, THREAD_NAME_SIZE, trace->thread);
    for (uint32_t i = 0; i < TRACE_CALLS && trace->calls[i] != 0; i++) {
        char place[ADDRESS_TEXT_MAX];
        address_format_code(place, sizeof(place), trace->calls[i], true);
        kprintf("#%u 0x%08x %s\n", i, trace->calls[i], place);
    }
}
