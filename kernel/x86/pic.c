/*
 * The 8259A pair: master on lines 0 to 7, slave on 8 to 15 behind the master's line 2.
 *
 * Source: Intel 8259A data sheet, "Programming the 8259A".
 */
#include "x86/pic.h"
#include <x86/io.h>

#define MASTER_COMMAND 0x20
#define MASTER_DATA    0x21
#define SLAVE_COMMAND  0xa0
#define SLAVE_DATA     0xa1

#define ICW1_INIT_ICW4 0x11 /* edge triggered, cascaded, ICW4 follows */
#define ICW4_8086      0x01
#define OCW2_EOI       0x20 /* non-specific end of interrupt */
#define OCW3_READ_IRR  0x0a
#define OCW3_READ_ISR  0x0b

#define CASCADE_LINE   2

static void write_slow(uint16_t port, uint8_t value)
{
    outb(port, value);
    io_delay();
}

void pic_init(uint32_t vector_base)
{
    write_slow(MASTER_COMMAND, ICW1_INIT_ICW4);
    write_slow(SLAVE_COMMAND, ICW1_INIT_ICW4);
    write_slow(MASTER_DATA, (uint8_t)vector_base);
    write_slow(SLAVE_DATA, (uint8_t)(vector_base + 8));
    write_slow(MASTER_DATA, 1u << CASCADE_LINE);
    write_slow(SLAVE_DATA, CASCADE_LINE);
    write_slow(MASTER_DATA, ICW4_8086);
    write_slow(SLAVE_DATA, ICW4_8086);
    outb(MASTER_DATA, (uint8_t) ~(1u << CASCADE_LINE));
    outb(SLAVE_DATA, 0xff);
}

static uint16_t mask_port(uint32_t line)
{
    return line < 8 ? MASTER_DATA : SLAVE_DATA;
}

void pic_mask(uint32_t line)
{
    uint16_t port = mask_port(line);
    outb(port, (uint8_t)(inb(port) | 1u << (line & 7)));
}

void pic_unmask(uint32_t line)
{
    uint16_t port = mask_port(line);
    outb(port, (uint8_t)(inb(port) & ~(1u << (line & 7))));
}

static uint16_t command_port(uint32_t line)
{
    return line < 8 ? MASTER_COMMAND : SLAVE_COMMAND;
}

bool pic_pending(uint32_t line)
{
    uint16_t command = command_port(line);
    outb(command, OCW3_READ_IRR);
    return inb(command) & 1u << (line & 7);
}

bool pic_spurious(uint32_t line)
{
    if ((line & 7) != 7)
        return false;

    uint16_t command = command_port(line);
    outb(command, OCW3_READ_ISR);
    if (inb(command) & 0x80)
        return false;
    if (line >= 8)
        outb(MASTER_COMMAND, OCW2_EOI); /* the master did serve its cascade line */
    return true;
}

void pic_acknowledge(uint32_t line)
{
    if (line >= 8)
        outb(SLAVE_COMMAND, OCW2_EOI);
    outb(MASTER_COMMAND, OCW2_EOI);
}
