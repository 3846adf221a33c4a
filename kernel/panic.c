/*
 * The panic: what happened, the registers, the calls, and then nothing more.
 *
 * It uses no lock and no heap, and a panic inside a panic only says so.
 */
#include <panic.h>
#include "x86/regs.h"
#include <backtrace.h>
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
    kprintf("eip 0x%08x  eflags 0x%08x  cs 0x%04x  ds 0x%04x  es 0x%04x\n", regs->eip,
            regs->eflags, regs->cs & 0xffff, regs->ds & 0xffff, regs->es & 0xffff);
}

static void print_cpu(void)
{
    kprintf("cr0 0x%08x  cr2 0x%08x  cr3 0x%08x  cr4 0x%08x  thread %s\n", cpu_read_cr0(),
            cpu_read_cr2(), cpu_read_cr3(), cpu_read_cr4(), thread_current()->name);
}

_Noreturn static void report(const struct regs *regs, uint32_t esp, const char *format,
                             va_list args) PRINTF(3, 0);

_Noreturn static void report(const struct regs *regs, uint32_t esp, const char *format,
                             va_list args)
{
    static bool panicking;
    char        text[256];

    console_take_over();
    kvsnprintf(text, sizeof(text), format, args);
    if (panicking) {
        kprintf("\nPANIC inside a panic: %s\n", text);
        halt_forever();
    }
    panicking = true;

    kprintf("\nPANIC: %s\n", text);
    if (regs != NULL)
        print_regs(regs, esp);
    print_cpu();
    backtrace_print(regs, esp);
    power_leave_selftest(false);
    kprintf("The machine is halted.\n");
    halt_forever();
}

void panic(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    report(NULL, 0, format, args);
}

void panic_with_regs(const struct regs *regs, uint32_t esp, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    report(regs, esp, format, args);
}
