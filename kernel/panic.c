/*
 * The panic: what happened, the registers, the calls, and then nothing more.
 *
 * It uses no lock and no heap, and a panic inside a panic only says so.
 */
#include <panic.h>
#include "x86/regs.h"
#include <backtrace.h>
#include <check.h>
#include <drivers/console.h>
#include <drivers/power.h>
#include <lib/printf.h>
#include <log.h>
#include <sched/thread.h>
#include <x86/cpu.h>
#include <x86/io.h>

static void print_regs(const struct regs *regs, uint32_t esp)
{
    kprintf("eax 0x%08x  ebx 0x%08x  ecx 0x%08x  edx 0x%08x\n", regs->eax, regs->ebx, regs->ecx,
            regs->edx);
    kprintf("esi 0x%08x  edi 0x%08x  ebp 0x%08x  esp 0x%08x\n", regs->esi, regs->edi, regs->ebp,
            esp);
    kprintf("eip 0x%08x  eflags 0x%08x  cs 0x%04x  ds 0x%04x  es 0x%04x\n", regs->eip, regs->eflags,
            regs->cs & 0xffff, regs->ds & 0xffff, regs->es & 0xffff);
}

static void print_cpu(void)
{
    kprintf("cr0 0x%08x  cr2 0x%08x  cr3 0x%08x  cr4 0x%08x  thread %s\n", cpu_read_cr0(),
            cpu_read_cr2(), cpu_read_cr3(), cpu_read_cr4(), thread_current()->name);
}

static void (*details)(void); /* printed behind the calls */

void panic_details(void (*print)(void))
{
    details = print;
}

static void print_details(void)
{
    void (*print)(void) = details;

    details = NULL; /* if it faults, the report of that does without */
    if (print != NULL)
        print();
}

/* Where the report's calls begin: at the trap of `regs`, or at the frame of panic(). */
struct origin {
    const struct regs *regs;
    uint32_t esp;
    uint32_t frame; /* 0: a trap */
};

static void print_report(const struct origin *origin, const char *text)
{
    kprintf("\n" STYLE_BAD "PANIC: %s" STYLE_PLAIN "\n", text);
    print_regs(origin->regs, origin->esp);
    print_cpu();
    if (origin->frame != 0)
        backtrace_walk_frame(origin->frame, backtrace_print_call);
    else
        backtrace_walk(origin->regs, origin->esp, backtrace_print_call);
    print_details();
}

_Noreturn static void report(const struct origin *origin, const char *format, va_list args)
    PRINTF(2, 0);

/*
 * A panic inside a panic is most likely an output that faults: the report is given once more,
 * without that one. Whatever goes wrong then ends in silence rather than in a reset.
 */
_Noreturn static void report(const struct origin *origin, const char *format, va_list args)
{
    static uint32_t depth;
    static struct origin first;
    static struct regs first_regs;
    static char text[256];

    interrupts_disable();
    check_stop();
    switch (++depth) {
    case 1:
        first_regs = *origin->regs;
        first = (struct origin){ &first_regs, origin->esp, origin->frame };
        kvsnprintf(text, sizeof(text), format, args);
        break;
    case 2:
        console_give_up_writing();
        break;
    default:
        halt_forever();
    }

    console_take_over(); /* writes what was waiting, so that this can fault too */
    if (depth == 2)
        kprintf("\n(a second panic while this one was being reported)");
    print_report(&first, text);
    power_leave_selftest(false);
    kprintf("The machine is halted.\n");
    halt_forever();
}

/* The registers as they are here. The caller's EAX, ECX and EDX are gone already. */
__attribute__((always_inline)) static inline void read_registers(struct regs *regs)
{
    __asm__ volatile("movl %%eax, %0\n\t"
                     "movl %%ecx, %1\n\t"
                     "movl %%edx, %2\n\t"
                     "movl %%ebx, %3\n\t"
                     "movl %%esi, %4\n\t"
                     "movl %%edi, %5"
                     : "=m"(regs->eax), "=m"(regs->ecx), "=m"(regs->edx), "=m"(regs->ebx),
                       "=m"(regs->esi), "=m"(regs->edi));
    __asm__ volatile("movl %%cs, %0\n\t"
                     "movl %%ds, %1\n\t"
                     "movl %%es, %2"
                     : "=r"(regs->cs), "=r"(regs->ds), "=r"(regs->es));
    regs->eflags = read_eflags();
}

void panic(const char *format, ...)
{
    struct regs regs = { 0 };
    const uint32_t *frame = __builtin_frame_address(0);
    va_list args;

    read_registers(&regs);
    regs.ebp = frame[0]; /* the caller's */
    regs.eip = frame[1];

    const struct origin origin = { &regs, (uint32_t)(uintptr_t)(frame + 2),
                                   (uint32_t)(uintptr_t)frame };
    va_start(args, format);
    report(&origin, format, args);
}

void panic_with_regs(const struct regs *regs, uint32_t esp, const char *format, ...)
{
    const struct origin origin = { regs, esp, 0 };
    va_list args;

    va_start(args, format);
    report(&origin, format, args);
}
