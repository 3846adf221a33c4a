/*
 * Tests of what the CPU and the interrupt hardware are set up to do.
 */
#include <selftest.h>
#include "mem/layout.h"
#include <drivers/timer.h>
#include <lib/string.h>
#include <sched/spinlock.h>
#include <sched/thread.h>
#include <x86/cpu.h>
#include <x86/io.h>
#include <x86/irq.h>
#include <x86/probe.h>
#include <x86/tables.h>

#define EFLAGS_DF (1u << 10)

/* ---- Flags ---- */

SELFTEST(x86_flags, "x86: threads run with interrupts on and the direction flag clear")
{
    EXPECT(interrupts_enabled());
    EXPECT(!(read_eflags() & EFLAGS_DF));
    EXPECT(!irq_active());
    return NULL;
}

SELFTEST(x86_nesting, "x86: nested interrupts_save restores what was before")
{
    uint32_t outer = interrupts_save();
    bool off = !interrupts_enabled();
    uint32_t inner = interrupts_save();
    interrupts_restore(inner);
    bool still_off = !interrupts_enabled();
    interrupts_restore(outer);

    EXPECT(off && still_off);
    EXPECT(interrupts_enabled());
    return NULL;
}

SELFTEST(x86_spinlock, "x86: a spinlock turns interrupts off and is free again after it")
{
    static struct spinlock lock, second;

    for (uint32_t round = 0; round < 3; round++) {
        uint32_t flags = spin_lock(&lock);
        uint32_t nested = spin_lock(&second);
        bool taken = lock.taken && second.taken;
        spin_unlock(&second, nested);
        bool off = !interrupts_enabled();
        spin_unlock(&lock, flags);
        EXPECT(taken && off);
        EXPECT(interrupts_enabled());
        EXPECT(!lock.taken && !second.taken);
    }
    return NULL;
}

/* ---- Traps that return ---- */

SELFTEST(x86_probe, "x86: a probe reads what is there, and says what is not")
{
    static const uint32_t there = 0x600df00d;
    uint32_t word = 0;

    EXPECT(probe_read(&there, &word) && word == there);
    for (uint32_t i = 0; i < 3; i++) {
        EXPECT(!probe_read(NULL, &word));
        EXPECT(!probe_read((const uint32_t *)(uintptr_t)NOWHERE_BASE, &word));
    }
    EXPECT(word == there);
    EXPECT(interrupts_enabled());

    uint32_t flags = interrupts_save();
    bool read = probe_read(NULL, &word), off = !interrupts_enabled();
    interrupts_restore(flags);
    EXPECT(!read && off);
    return NULL;
}

static uint32_t raised;
static bool active_in_handler;

static void count_raised(void)
{
    raised++;
    active_in_handler = irq_active() && !interrupts_enabled();
}

SELFTEST(x86_software_line, "x86: INT reaches the handler of the software line, and it only")
{
    uint64_t before = irq_info(IRQ_SOFTWARE).count;

    raised = 0;
    irq_register(IRQ_SOFTWARE, count_raised, "selftest");
    for (uint32_t i = 0; i < 3; i++)
        irq_raise_software();
    irq_unregister(IRQ_SOFTWARE);
    EXPECT(raised == 3 && active_in_handler);
    EXPECT(irq_info(IRQ_SOFTWARE).count == before + 3);
    EXPECT(!irq_active() && interrupts_enabled());
    return NULL;
}

/* ---- Control registers and tables ---- */

SELFTEST(x86_control, "x86: CR0 and CR4 are what this CPU calls for")
{
    uint32_t cr4 = 0;

    if (cpu.has_cr4)
        cr4 = (cpu.has_pse ? CR4_PSE : 0) | (cpu.smep ? CR4_SMEP : 0) | (cpu.smap ? CR4_SMAP : 0) |
              (cpu.umip ? CR4_UMIP : 0);
    EXPECT(cpu_read_cr0() & CR0_PG);
    EXPECT(cpu_read_cr0() & CR0_WP);
    EXPECT(cpu_read_cr4() == cr4);
    EXPECT(cpu.has_pse || !cpu.has_pse36);
    EXPECT(cpu.physical_address_bits >= 32);
    return NULL;
}

#define DESCRIPTOR_PRESENT  0x80u
#define DESCRIPTOR_BUSY_TSS 0x8bu

/* A segment descriptor's type and rights, from its place in the GDT. */
static uint8_t descriptor_access(const struct descriptor_pointer *gdt, uint32_t selector)
{
    return ((const uint8_t *)(uintptr_t)gdt->base)[selector + 5];
}

SELFTEST(x86_pat, "x86: entry 1 of the PAT is write-combining, entry 3 uncached")
{
    if (!cpu.has_pat)
        return NULL;
    uint64_t pat = cpu_read_pat();

    EXPECT((pat >> 8 & 0xff) == 1);
    EXPECT((pat >> 24 & 0xff) == 0);
    EXPECT((pat & 0xff) == 6); /* what all other pages use: write-back */
    EXPECT((cpu_read_cr0() & (CR0_CD | CR0_NW)) == 0);
    return NULL;
}

SELFTEST(x86_gdt, "x86: segments and the task register are the kernel's own")
{
    struct descriptor_pointer gdt;
    uint16_t cs, ds, es, ss, tr;

    __asm__ volatile("sgdt %0" : "=m"(gdt));
    __asm__ volatile("movw %%cs, %0\n\tmovw %%ds, %1\n\tmovw %%es, %2\n\tmovw %%ss, %3"
                     : "=r"(cs), "=r"(ds), "=r"(es), "=r"(ss));
    __asm__ volatile("str %0" : "=r"(tr));

    EXPECT(cs == SELECTOR_CODE && ds == SELECTOR_DATA && es == SELECTOR_DATA);
    EXPECT(ss == SELECTOR_DATA && tr == SELECTOR_TSS);
    EXPECT(gdt.limit >= SELECTOR_DOUBLE_FAULT + 7);
    EXPECT(descriptor_access(&gdt, SELECTOR_TSS) == DESCRIPTOR_BUSY_TSS);
    EXPECT(descriptor_access(&gdt, SELECTOR_DOUBLE_FAULT) & DESCRIPTOR_PRESENT);
    return NULL;
}

#define GATE_SIZE        8u
#define GATE_TYPE_OFFSET 5u
#define GATE_TASK        0x85u
#define GATE_INTERRUPT   0x8eu
#define DOUBLE_FAULT     8u

SELFTEST(x86_idt, "x86: every vector has a gate; the double fault's is a task")
{
    struct descriptor_pointer idt;

    __asm__ volatile("sidt %0" : "=m"(idt));
    EXPECT(idt.limit == 256 * GATE_SIZE - 1);

    const uint8_t *gates = (const uint8_t *)(uintptr_t)idt.base;
    for (uint32_t vector = 0; vector < 256; vector++) {
        uint8_t type = gates[vector * GATE_SIZE + GATE_TYPE_OFFSET];
        EXPECT(type == (vector == DOUBLE_FAULT ? GATE_TASK : GATE_INTERRUPT));
    }
    return NULL;
}

/* ---- Interrupts ---- */

static uint32_t registers_after[9]; /* EAX, EBX, ECX, EDX, ESI, EDI, EBP, ESP, EFLAGS */
static uint32_t esp_before;

/*
 * Loads every register with a value of its own, sets the direction flag, raises the vector, and
 * stores what came back.
 */
static void raise_vector_0x80(void)
{
    __asm__ volatile("pusha\n\t"
                     "pushfl\n\t"
                     "movl $0xaaaaaaa1, %%eax\n\t"
                     "movl $0xbbbbbbb2, %%ebx\n\t"
                     "movl $0xccccccc3, %%ecx\n\t"
                     "movl $0xddddddd4, %%edx\n\t"
                     "movl $0x55555555, %%esi\n\t"
                     "movl $0x66666666, %%edi\n\t"
                     "movl $0x77777777, %%ebp\n\t"
                     "movl %%esp, %c1\n\t"
                     "std\n\t"
                     "int $0x80\n\t"
                     "movl %%eax, %c0\n\t"
                     "movl %%ebx, %c0+4\n\t"
                     "movl %%ecx, %c0+8\n\t"
                     "movl %%edx, %c0+12\n\t"
                     "movl %%esi, %c0+16\n\t"
                     "movl %%edi, %c0+20\n\t"
                     "movl %%ebp, %c0+24\n\t"
                     "movl %%esp, %c0+28\n\t"
                     "pushfl\n\t"
                     "popl %c0+32\n\t"
                     "popfl\n\t"
                     "popa"
                     :
                     : "i"(registers_after), "i"(&esp_before)
                     : "memory", "cc");
}

SELFTEST(x86_unexpected, "x86: a vector that nobody uses is counted and changes no register")
{
    static const uint32_t expected[7] = { 0xaaaaaaa1, 0xbbbbbbb2, 0xccccccc3, 0xddddddd4,
                                          0x55555555, 0x66666666, 0x77777777 };
    uint32_t counted = irq_unexpected();

    raise_vector_0x80();
    EXPECT(irq_unexpected() == counted + 1);
    for (uint32_t i = 0; i < ARRAY_SIZE(expected); i++)
        EXPECT(registers_after[i] == expected[i]);
    EXPECT(registers_after[7] == esp_before);
    EXPECT(registers_after[8] & EFLAGS_DF);
    EXPECT(registers_after[8] & EFLAGS_IF);
    EXPECT(!(read_eflags() & EFLAGS_DF));
    return NULL;
}

SELFTEST(x86_irq_counts, "x86: the timer's interrupts are counted")
{
    uint32_t line = timer_info().line;
    uint64_t before = irq_info(line).count;
    uint64_t start = timer_uptime_ms();

    EXPECT(timer_info().tick != NULL);
    EXPECT(irq_info(line).name != NULL);
    if (!thread_sleep(3 * TIMER_TICK_MS))
        return NULL; /* stopped */
    uint64_t after = irq_info(line).count;
    EXPECT(after >= before + 3);
    EXPECT(timer_uptime_ms() - start >= 3 * TIMER_TICK_MS);
    return NULL;
}

#define PIC_MASTER      0x20
#define PIC_SLAVE       0xa0
#define PIC_READ_ISR    0x0b
#define PIC_CASCADE_BIT 0x04u
#define PIC_TIMER_BIT   0x01u

static uint8_t in_service(uint16_t port)
{
    outb(port, PIC_READ_ISR);
    return inb(port);
}

SELFTEST(x86_pic, "x86: outside of handlers the PIC has nothing in service")
{
    uint32_t flags = interrupts_save();
    uint8_t master = in_service(PIC_MASTER), slave = in_service(PIC_SLAVE);
    uint8_t mask = inb(PIC_MASTER + 1);
    interrupts_restore(flags);

    if (strcmp(irq_route_name(), "PIC") != 0)
        return NULL; /* it is masked, or not there at all */
    EXPECT(master == 0 && slave == 0);
    EXPECT(!(mask & PIC_CASCADE_BIT));
    EXPECT(!(mask & PIC_TIMER_BIT) == (timer_info().line == IRQ_PIT));
    return NULL;
}

/* ---- Time ---- */

static bool timer_counts(void)
{
    return timer_info().counter != NULL;
}

SELFTEST(x86_busy_wait, "x86: a busy wait takes its time, with interrupts on or off")
{
    const uint32_t us = 3000;
    bool long_enough = false;

    /* A host that stalls may delay the tick that the clock counts: not every time. */
    for (uint32_t tries = 0; tries < 20 && !long_enough; tries++) {
        uint64_t start = timer_clock_us();
        bool measured = timer_busy_wait_us(us);
        EXPECT(measured == timer_counts());
        long_enough = timer_clock_us() - start >= us;
    }
    uint32_t flags = interrupts_save();
    bool measured = timer_busy_wait_us(us);
    interrupts_restore(flags);

    EXPECT(measured == timer_counts());
    EXPECT(long_enough || !timer_counts());
    EXPECT(interrupts_enabled());
    return NULL;
}

/*
 * Waits with interrupts off. True if the timer's interrupt came meanwhile and is pending, so that
 * the clock had to go on without its tick; *advance is what the clock says.
 */
static bool wait_over_a_tick(uint32_t us, uint64_t *advance)
{
    uint32_t flags = interrupts_save();
    uint64_t start = timer_clock_us();
    timer_busy_wait_us(us);
    bool pending = irq_pending(timer_info().line);
    *advance = timer_clock_us() - start;
    interrupts_restore(flags);
    return pending;
}

SELFTEST(x86_clock_pending, "x86: the clock goes on while a tick is pending")
{
    const uint32_t us = 4000;
    uint32_t seen = 0, right = 0;

    /* A stalled host can spoil any one of them, but not all. */
    for (uint32_t tries = 0; tries < 25 && right == 0 && timer_counts(); tries++) {
        uint64_t advance;
        if (wait_over_a_tick(us, &advance)) {
            seen++;
            right += advance >= us;
        }
    }
    EXPECT(right > 0 || seen < 3);
    return NULL;
}

SELFTEST(x86_clock, "x86: the clock never goes back")
{
    uint64_t first = timer_clock_us(), last = first;

    for (uint32_t i = 0; i < 10000; i++) {
        uint64_t now = timer_clock_us();
        EXPECT(now >= last);
        last = now;
    }
    /* It stands while a tick is late, however often it is read: this one comes. */
    thread_sleep(2 * TIMER_TICK_MS);
    EXPECT(timer_clock_us() > first || thread_interrupted());
    return NULL;
}

SELFTEST(x86_tsc, "x86: the time stamp counter counts where there is one")
{
    uint64_t first = cpu_tsc(), last = first;

    for (uint32_t i = 0; i < 1000; i++) {
        uint64_t now = cpu_tsc();
        EXPECT(now >= last);
        last = now;
    }
    EXPECT(cpu.has_tsc ? last > first : last == 0);
    return NULL;
}
