/*
 * The local APIC, reached through its registers in memory, or by MSRs where firmware left it in
 * x2APIC mode: newer CPUs may not leave that again.
 */
#include <x86/lapic.h>
#include "x86/trap.h"
#include <mem/window.h>
#include <x86/cpu.h>
#include <x86/irq.h>

#define MSR_APIC_BASE     0x1bu
#define APIC_BASE_X2APIC  (1ull << 10)
#define APIC_BASE_ENABLE  (1ull << 11)
#define APIC_BASE_ADDRESS 0x000ffffffffff000ull
#define MSR_X2APIC        0x800u /* the first register; each MSR is 16 bytes of the other kind */

#define USUAL_ADDRESS     0xfee00000u
#define SIZE              0x400u

/* Registers, by their offsets. */
#define ID                0x020u
#define VERSION           0x030u
#define TASK_PRIORITY     0x080u
#define END_OF_INTERRUPT  0x0b0u
#define SPURIOUS          0x0f0u
#define IN_SERVICE        0x100u /* 32 vectors every 16 bytes */
#define REQUESTS          0x200u /* likewise */
#define LVT_TIMER         0x320u
#define LVT_LINT0         0x350u
#define TIMER_INITIAL     0x380u
#define TIMER_CURRENT     0x390u
#define TIMER_DIVIDE      0x3e0u

#define SPURIOUS_ENABLE   (1u << 8)
#define LVT_EXTINT        (7u << 8)
#define LVT_MASKED        (1u << 16)
#define LVT_PERIODIC      (1u << 17)
#define DIVIDE_BY_16      0x3u

#define INTEGRATED        0x10u /* versions below are of the 82489DX, a chip of its own */
#define FAMILY_WITH_MSR   6u    /* a Pentium has its APIC where all have it, and no such MSR */

static volatile uint32_t *registers; /* NULL in x2APIC mode */

static uint32_t read_register(uint32_t offset)
{
    return registers != NULL ? registers[offset / 4]
                             : (uint32_t)cpu_read_msr(MSR_X2APIC + offset / 16);
}

static void write_register(uint32_t offset, uint32_t value)
{
    if (registers != NULL)
        registers[offset / 4] = value;
    else
        cpu_write_msr(MSR_X2APIC + offset / 16, value);
}

/* Makes the registers reachable. `address` is replaced by what the CPU says of it. */
static bool open_registers(paddr64_t address)
{
    if (cpu.has_msr && cpu.family >= FAMILY_WITH_MSR) {
        uint64_t base = cpu_read_msr(MSR_APIC_BASE);
        if (base & APIC_BASE_X2APIC)
            return base & APIC_BASE_ENABLE;
        if (!(base & APIC_BASE_ENABLE))
            cpu_write_msr(MSR_APIC_BASE, base | APIC_BASE_ENABLE);
        address = base & APIC_BASE_ADDRESS;
    }
    registers = map_window(address != 0 ? address : USUAL_ADDRESS, SIZE, WINDOW_DEVICE);
    return registers != NULL;
}

bool lapic_init(paddr64_t address)
{
    if (!cpu.has_apic || !open_registers(address))
        return false;

    uint32_t version = read_register(VERSION);
    if (version == UINT32_MAX || (version & 0xff) < INTEGRATED)
        return false;
    write_register(LVT_TIMER, LVT_MASKED | VECTOR_SPURIOUS);
    write_register(SPURIOUS, (read_register(SPURIOUS) & SPURIOUS_ENABLE) | VECTOR_SPURIOUS);
    return true;
}

void lapic_enable(void)
{
    write_register(TASK_PRIORITY, 0);
    write_register(SPURIOUS, SPURIOUS_ENABLE | VECTOR_SPURIOUS);
}

uint32_t lapic_id(void)
{
    uint32_t id = read_register(ID);
    return registers != NULL ? id >> 24 : id;
}

void lapic_set_lint0(bool pic)
{
    write_register(LVT_LINT0, pic ? LVT_EXTINT : LVT_EXTINT | LVT_MASKED);
}

static bool read_vector_bit(uint32_t offset, uint32_t vector)
{
    return read_register(offset + vector / 32 * 16) & 1u << vector % 32;
}

bool lapic_pending(uint32_t vector)
{
    return read_vector_bit(REQUESTS, vector);
}

bool lapic_in_service(uint32_t vector)
{
    return read_vector_bit(IN_SERVICE, vector);
}

void lapic_acknowledge(void)
{
    write_register(END_OF_INTERRUPT, 0);
}

void lapic_timer_count_down(void)
{
    write_register(LVT_TIMER, LVT_MASKED | VECTOR_SPURIOUS);
    write_register(TIMER_DIVIDE, DIVIDE_BY_16);
    write_register(TIMER_INITIAL, UINT32_MAX);
}

uint32_t lapic_timer_count(void)
{
    return read_register(TIMER_CURRENT);
}

void lapic_timer_tick(uint32_t count)
{
    write_register(LVT_TIMER, LVT_PERIODIC | (VECTOR_IRQ_BASE + IRQ_LAPIC_TIMER));
    write_register(TIMER_DIVIDE, DIVIDE_BY_16);
    write_register(TIMER_INITIAL, count);
}
