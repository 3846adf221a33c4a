/*
 * Backtraces along the frame pointers: EBP points at the caller's EBP, the return address lies
 * above it. start.S and thread.c end the chain with a zero. Behind a trap it goes on in the code
 * that was interrupted.
 */
#include <backtrace.h>
#include "x86/regs.h"
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

extern const char isr_common[];

/* Whether a function called from isr.S will return there: it is trap_dispatch(). */
static bool is_trap(uint32_t return_address)
{
    const char *name;
    uint32_t offset;

    return symbol_find(return_address - 1, &name, &offset) &&
           return_address - 1 - offset == (uint32_t)(uintptr_t)isr_common;
}

/* Where the code was that a trap interrupted; trap_dispatch() has a pointer to its registers. */
static bool interrupted_at(uint32_t frame, uint32_t *eip)
{
    if (!readable(frame + 8))
        return false;
    uint32_t place = word_at(frame + 8) + offsetof(struct regs, eip);
    if (!readable(place))
        return false;
    *eip = word_at(place);
    return true;
}

/* What EBP points at. */
struct frame {
    uint32_t caller, return_address;
};

/* False where the chain ends or is broken. */
static bool read_frame(uint32_t at, struct frame *frame)
{
    if (at == 0 || !readable(at) || !readable(at + 4))
        return false;
    *frame = (struct frame){ word_at(at), word_at(at + 4) };
    return frame->return_address != 0;
}

/* The frame of the caller. The stack grows down, so it lies above: else the chain is broken. */
static bool read_caller(uint32_t *at, struct frame *frame)
{
    if (frame->caller <= *at)
        return false;
    *at = frame->caller;
    return read_frame(*at, frame);
}

static void walk_frames(uint32_t at, uint32_t number, backtrace_visit *visit)
{
    struct frame frame;
    bool more = read_frame(at, &frame);

    while (more && number < BACKTRACE_MAX) {
        struct backtrace_call call = { frame.return_address, true, 0 };
        struct backtrace_call interrupted = { 0, false, 1 };
        bool trap = is_trap(call.address) && interrupted_at(at, &interrupted.address);

        do {
            call.times++; /* a function that calls itself */
            more = read_caller(&at, &frame);
        } while (more && frame.return_address == call.address && !trap);
        visit(number++, &call);
        if (trap)
            visit(number++, &interrupted);
    }
}

void backtrace_walk_frame(uint32_t frame, backtrace_visit *visit)
{
    walk_frames(frame, 0, visit);
}

#define PUSH_EBP     0x55
#define MOV_ESP_EBP0 0x89 /* MOV %esp, %ebp, first byte */
#define MOV_ESP_EBP1 0xe5
#define POP_EBP      0x5d
#define LEAVE        0xc9

/*
 * Where a trapped function keeps its return address, if EBP is still its caller's: the compiler
 * leaves the frame out of some leaves, makes it late or ends it early in others, and a call to
 * where there is no code has only pushed the return address. 0 if EBP is the function's own.
 */
static uint32_t return_address_at(uint32_t eip, uint32_t esp)
{
    const char *name;
    uint32_t offset;

    if (!symbol_find(eip, &name, &offset))
        return esp;
    const uint8_t *code = (const uint8_t *)(uintptr_t)(eip - offset);
    if (offset > 0 && (code[offset - 1] == POP_EBP || code[offset - 1] == LEAVE))
        return esp; /* an access between the frame's end and RET */
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

    visit(number++, &(struct backtrace_call){ regs->eip, false, 1 });
    if (hidden != 0 && readable(hidden) && in_text(word_at(hidden)))
        visit(number++, &(struct backtrace_call){ word_at(hidden), true, 1 });
    walk_frames(regs->ebp, number, visit);
}
