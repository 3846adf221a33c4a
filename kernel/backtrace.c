/*
 * Backtraces along the frame pointers: EBP points at the caller's EBP, the return address lies
 * above it. start.S and thread.c end the chain with a zero.
 */
#include <backtrace.h>
#include "x86/regs.h"
#include <log.h>
#include <mem/paging.h>
#include <mem/sections.h>
#include <symbols.h>

/* Whether a word can be read without a fault. Before paging is on only the boot stack counts. */
static bool readable(uint32_t address)
{
    if (address % sizeof(uint32_t) != 0)
        return false;
    if (paging_enabled())
        return translate(address).mapped;
    return address >= (uint32_t)(uintptr_t)_boot_stack_bottom &&
           address < (uint32_t)(uintptr_t)_boot_stack_top;
}

static bool in_text(uint32_t address)
{
    return address >= (uint32_t)(uintptr_t)_text_start && address < (uint32_t)(uintptr_t)_text_end;
}

static uint32_t word_at(uint32_t address)
{
    return *(const uint32_t *)(uintptr_t)address;
}

static void walk_frames(uint32_t frame, uint32_t number, backtrace_visit *visit)
{
    while (number < BACKTRACE_MAX && frame != 0 && readable(frame) && readable(frame + 4)) {
        uint32_t return_address = word_at(frame + 4);
        uint32_t caller = word_at(frame);

        if (return_address == 0)
            break;
        visit(number++, return_address, true);
        if (caller <= frame)
            break; /* the stack grows down, so callers lie above: the chain is broken */
        frame = caller;
    }
}

void backtrace_walk_frame(uint32_t frame, backtrace_visit *visit)
{
    walk_frames(frame, 0, visit);
}

#define PUSH_EBP     0x55
#define MOV_ESP_EBP0 0x89 /* MOV %esp, %ebp, first byte */
#define MOV_ESP_EBP1 0xe5

/*
 * Where a trapped function keeps its return address, if EBP is still its caller's: the compiler
 * leaves the frame out of some leaves, makes it late in others, and a call to where there is no
 * code has only pushed the return address. 0 if EBP is the function's own.
 */
static uint32_t return_address_at(uint32_t eip, uint32_t esp)
{
    const char *name;
    uint32_t offset;

    if (!symbol_find(eip, &name, &offset))
        return esp;
    const uint8_t *code = (const uint8_t *)(uintptr_t)(eip - offset);
    for (uint32_t i = 0; i + 1 < offset; i++) {
        if (code[i] == MOV_ESP_EBP0 && code[i + 1] == MOV_ESP_EBP1)
            return 0;
    }
    return offset > 0 && code[0] == PUSH_EBP ? esp + sizeof(uint32_t) : esp;
}

void backtrace_walk(const struct regs *regs, uint32_t esp, backtrace_visit *visit)
{
    uint32_t number = 0;
    uint32_t hidden = return_address_at(regs->eip, esp);

    visit(number++, regs->eip, false);
    if (hidden != 0 && readable(hidden) && in_text(word_at(hidden)))
        visit(number++, word_at(hidden), true);
    walk_frames(regs->ebp, number, visit);
}

void backtrace_print_call(uint32_t number, uint32_t address, bool is_return_address)
{
    const char *name;
    uint32_t offset;

    /* The call lies before its return address; after a call that never returns that matters. */
    if (symbol_find(address - is_return_address, &name, &offset))
        kprintf("#%u 0x%08x %s+0x%x\n", number, address, name, offset + is_return_address);
    else
        kprintf("#%u 0x%08x ?+0x0\n", number, address);
}
