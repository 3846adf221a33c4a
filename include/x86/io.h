/*
 * Port I/O and the single instructions that C has no word for.
 */
#ifndef X86_IO_H
#define X86_IO_H

#include <types.h>
#include <x86/stretch.h>

static inline void outb(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void outw(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void outl(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t inb(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline uint16_t inw(uint16_t port)
{
    uint16_t value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline uint32_t inl(uint16_t port)
{
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

/* About a microsecond on old buses: a write to the POST code port, which nothing reads. */
static inline void io_delay(void)
{
    outb(0x80, 0);
}

/*
 * What write-combining buffers still hold goes out: it may stay there until an event of the kind
 * that a locked instruction is. Source: Intel SDM vol 3, "Methods of Caching Available".
 */
static inline void finish_writes(void)
{
    __asm__ volatile("lock; addl $0, (%%esp)" : : : "memory", "cc");
}

/* The time stamp counter; only where cpu.has_tsc. */
static inline uint64_t rdtsc(void)
{
    uint64_t value;
    __asm__ volatile("rdtsc" : "=A"(value) : : "memory");
    return value;
}

#define EFLAGS_IF (1u << 9)

static inline uint32_t read_eflags(void)
{
    uint32_t flags;
    __asm__ volatile("pushfl; popl %0" : "=r"(flags) : : "memory");
    return flags;
}

static inline bool interrupts_enabled(void)
{
    return read_eflags() & EFLAGS_IF;
}

static inline void interrupts_disable(void)
{
    __asm__ volatile("cli" : : : "memory");
    stretch_begin();
}

static inline void interrupts_enable(void)
{
    stretch_end();
    __asm__ volatile("sti" : : : "memory");
}

/* Turns interrupts off; returns EFLAGS for interrupts_restore(). */
static inline uint32_t interrupts_save(void)
{
    uint32_t flags = read_eflags();
    interrupts_disable();
    return flags;
}

static inline void interrupts_restore(uint32_t flags)
{
    if (flags & EFLAGS_IF)
        interrupts_enable();
}

/* Sleeps until the next interrupt. STI's shadow closes the gap: none can be missed between. */
static inline void wait_for_interrupt(void)
{
    stretch_end();
    __asm__ volatile("sti; hlt" : : : "memory");
}

_Noreturn static inline void halt_forever(void)
{
    for (;;)
        __asm__ volatile("cli; hlt" : : : "memory");
}

#endif
