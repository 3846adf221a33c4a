/*
 * What happens at a vector: exceptions are decoded and end in a panic, but for the fault of a
 * probe; IRQs go to irq.c, anything else is counted.
 */
#include "x86/trap.h"
#include "x86/irq_dispatch.h"
#include "mem/layout.h"
#include <check.h>
#include <mem/paging.h>
#include <mem/sections.h>
#include <panic.h>
#include <sched/thread.h>
#include <symbols.h>
#include <x86/boot_stack.h>
#include <x86/cpu.h>
#include <x86/io.h>
#include <x86/irq.h>
#include <x86/probe.h>
#include <x86/tables.h>

/* isr.S pushes in this order. */
_Static_assert(offsetof(struct regs, edi) == 8, "regs: PUSHA's part begins after ES and DS");
_Static_assert(offsetof(struct regs, vector) == 40, "regs: the vector follows PUSHA's part");
_Static_assert(sizeof(struct regs) == 60, "regs: fifteen words");

/* The page fault's error code. Source: Intel SDM vol 3, "Page-Fault Exceptions". */
#define FAULT_PRESENT  (1u << 0)
#define FAULT_WRITE    (1u << 1)
#define FAULT_RESERVED (1u << 3)

static const char *const exception_names[VECTOR_EXCEPTIONS] = {
    [0] = "divide error",
    [1] = "debug exception",
    [2] = "non-maskable interrupt",
    [3] = "breakpoint",
    [4] = "overflow",
    [5] = "bound range exceeded",
    [6] = "invalid opcode",
    [7] = "no coprocessor",
    [8] = "double fault",
    [9] = "coprocessor segment overrun",
    [10] = "invalid task state segment",
    [11] = "segment not present",
    [12] = "stack segment fault",
    [13] = "general protection fault",
    [14] = "page fault",
    [16] = "floating-point error",
    [17] = "alignment check",
    [18] = "machine check",
    [19] = "SIMD floating-point error",
    [20] = "virtualization exception",
    [21] = "control protection exception",
};

static bool within(uint32_t address, const char *start, const char *end)
{
    return address >= (uint32_t)(uintptr_t)start && address < (uint32_t)(uintptr_t)end;
}

/* Whether a stack has run over: then, whose. */
static bool in_guard_page(uint32_t address, struct thread_stack *stack)
{
    return thread_stack_at(address, stack) == STACK_GUARD;
}

/* Where a push goes that finds the boot stack full. */
static uint32_t below_boot_stack(void)
{
    return (uint32_t)(uintptr_t)_boot_stack_bottom - sizeof(uint32_t);
}

/* What lies at an address that must not be written, in words for the panic's first line. */
static const char *read_only_place(uint32_t address)
{
    if (within(address, _text_start, _text_end))
        return "kernel text";
    if (within(address, _rodata_start, _rodata_end))
        return "kernel read-only data";
    return "read-only page";
}

_Noreturn static void page_fault(const struct regs *regs)
{
    uint32_t address = cpu_read_cr2();
    uint32_t esp = regs_esp(regs);
    const char *access = regs->error & FAULT_WRITE ? "write to" : "read of";
    const struct panic_cause cause = { regs, esp, &address };
    struct thread_stack stack;

    if (regs->error & FAULT_RESERVED)
        panic_by(&cause, "page fault at 0x%08x: reserved bit set in the tables", address);
    if (in_guard_page(address, &stack))
        panic_by(&cause, "stack overflow in thread %s: %s its guard page at 0x%08x", stack.name,
                 access, address);
    if (address == regs->eip)
        access = "call of";
    if (address < PAGE_SIZE)
        panic_by(&cause, "page fault: %s NULL (0x%08x, not present)", access, address);
    if (!(regs->error & FAULT_PRESENT))
        panic_by(&cause, "page fault: %s 0x%08x (not present)", access, address);
    panic_by(&cause, "page fault: %s 0x%08x (present, read-only: %s)", access, address,
             read_only_place(address));
}

/*
 * What only the compiler writes here, where the program does what the language leaves open: UD2 by
 * GCC, UD1 by clang. Intel SDM vol 2, "UD - Undefined Instruction".
 */
static bool is_compilers_trap(uint32_t eip)
{
    const uint8_t *code = (const uint8_t *)(uintptr_t)eip;

    return within(eip, _text_start, _text_end) && code[0] == 0x0f &&
           (code[1] == 0x0b || code[1] == 0xb9);
}

_Noreturn static void undefined_behaviour(const struct regs *regs)
{
    const struct panic_cause cause = { regs, regs_esp(regs), NULL };
    const char *name = "?", *file = "?";
    uint32_t offset, line = 0;

    if (!symbol_find(regs->eip, &name, &offset) || !symbol_line(regs->eip, &file, &line))
        line = 0;
    panic_by(&cause, "invalid opcode: undefined behaviour in %s (%s:%u)", name, file, line);
}

/* The boot stack's last word was written. This goes on in the guard page, which is still mapped. */
_Noreturn static void boot_stack_full(const struct regs *regs)
{
    const uint32_t below = below_boot_stack();
    uint32_t esp = regs_esp(regs);
    const struct panic_cause cause = { regs, esp, &below };
    struct thread_stack stack;

    (void)in_guard_page(below, &stack);
    panic_by(&cause, "stack overflow in thread %s (debug exception, ESP 0x%08x)", stack.name, esp);
}

/* Not inline: saving the registers that it uses would cost every interrupt. */
_Noreturn static __attribute__((noinline)) void exception(const struct regs *regs)
{
    const char *name = exception_names[regs->vector];
    bool astray = !within(regs->eip, _text_start, _text_end);
    const struct panic_cause cause = { regs, regs_esp(regs), astray ? &regs->eip : NULL };

    if (regs->vector == VECTOR_PAGE_FAULT)
        page_fault(regs);
    if (regs->vector == VECTOR_DEBUG && boot_stack_watch_hit())
        boot_stack_full(regs);
    if (regs->vector == VECTOR_INVALID_OPCODE && is_compilers_trap(regs->eip))
        undefined_behaviour(regs);
    panic_by(&cause, "%s (exception %u, error code 0x%x)",
             name != NULL ? name : "reserved exception", regs->vector, regs->error);
}

static void dispatch(struct regs *regs)
{
    if (regs->vector == VECTOR_PAGE_FAULT && probe_recover(regs))
        return;
    if (regs->vector < VECTOR_EXCEPTIONS)
        exception(regs);
    if (regs->vector < VECTOR_IRQ_BASE + IRQ_LINES)
        irq_dispatch(regs->vector - VECTOR_IRQ_BASE);
    else
        irq_unexpected_vector(regs->vector);
}

/* IRET turns interrupts on again if they were. */
void trap_dispatch(struct regs *regs)
{
    stretch_begin();
    dispatch(regs);
    if (regs->eflags & EFLAGS_IF)
        stretch_end();
}

void trap_double_fault(void)
{
    struct regs regs;
    uint32_t esp;

    check_stop(); /* this stack is aligned as the CPU has left it */
    tss_interrupted_task(&regs, &esp);
    regs.vector = VECTOR_DOUBLE_FAULT;

    /* The usual cause: a push ran into the guard page, and so did the page fault's own push. */
    uint32_t pushed_at = esp - sizeof(uint32_t);
    if (!paging_enabled() && pushed_at < below_boot_stack())
        pushed_at = below_boot_stack(); /* the segment's limit stopped it, however far below */
    const struct panic_cause cause = { &regs, esp, &pushed_at };
    struct thread_stack stack;
    if (in_guard_page(pushed_at, &stack) || in_guard_page(cpu_read_cr2(), &stack))
        panic_by(&cause, "stack overflow in thread %s (double fault, ESP 0x%08x)", stack.name, esp);
    panic_by(&cause, "double fault (ESP 0x%08x)", esp);
}
