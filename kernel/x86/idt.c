/*
 * The interrupt descriptor table: every vector has an entry from the first moment, so that a
 * fault at any point of the boot is named. The double fault enters by a task gate.
 *
 * Source: Intel SDM vol 3, "Interrupt and Exception Handling".
 */
#include <x86/tables.h>
#include "x86/trap.h"

#define VECTORS        256
#define STUB_SIZE      16
#define GATE_INTERRUPT 0x8e /* present, ring 0, 32-bit, interrupts off on entry */
#define GATE_TASK      0x85 /* present, ring 0, task */

struct gate {
    uint16_t offset_low;
    uint16_t selector;
    uint8_t zero;
    uint8_t type;
    uint16_t offset_high;
};

static struct gate idt[VECTORS];

extern const char isr_stubs[];

static struct gate gate(uint32_t offset, uint16_t selector, uint8_t type)
{
    return (struct gate){ (uint16_t)offset, selector, 0, type, (uint16_t)(offset >> 16) };
}

void idt_init(void)
{
    for (uint32_t vector = 0; vector < VECTORS; vector++)
        idt[vector] = gate((uint32_t)(uintptr_t)isr_stubs + STUB_SIZE * vector, SELECTOR_CODE,
                           GATE_INTERRUPT);
    idt[VECTOR_DOUBLE_FAULT] = gate(0, SELECTOR_DOUBLE_FAULT, GATE_TASK);

    const struct descriptor_pointer pointer = { sizeof(idt) - 1, (uint32_t)(uintptr_t)idt };
    __asm__ volatile("lidt %0" : : "m"(pointer) : "memory");
}
