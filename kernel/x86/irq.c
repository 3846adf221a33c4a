/*
 * The table of interrupt handlers over the PIC.
 */
#include <x86/irq.h>
#include "x86/irq_dispatch.h"
#include "x86/trap.h"
#include "x86/pic.h"
#include <panic.h>
#include <sched/sched.h>
#include <x86/io.h>

static struct {
    irq_handler *handler;
    struct irq_info info;
} lines[IRQ_LINES];

static uint32_t unexpected;
static uint32_t nesting; /* changed with interrupts off only */

void irq_init(void)
{
    pic_init(VECTOR_IRQ_BASE);
}

void irq_register(uint32_t line, irq_handler *handler, const char *name)
{
    ASSERT(line < IRQ_LINES && lines[line].handler == NULL);

    uint32_t flags = interrupts_save();
    lines[line].handler = handler;
    lines[line].info.name = name;
    pic_unmask(line);
    interrupts_restore(flags);
}

bool irq_active(void)
{
    return nesting != 0;
}

struct irq_info irq_info(uint32_t line)
{
    ASSERT(line < IRQ_LINES);

    uint32_t flags = interrupts_save(); /* 64-bit counters change in two steps */
    struct irq_info info = lines[line].info;
    interrupts_restore(flags);
    return info;
}

uint32_t irq_unexpected(void)
{
    return unexpected;
}

void irq_count_unexpected(void)
{
    unexpected++;
}

void irq_dispatch(uint32_t line)
{
    if (pic_spurious(line)) {
        lines[line].info.spurious++;
        return;
    }

    nesting++;
    lines[line].info.count++;
    if (lines[line].handler != NULL)
        lines[line].handler();
    pic_acknowledge(line);
    nesting--;
    sched_preempt();
}
