/*
 * The table of interrupt handlers, over whatever controller brings the lines.
 *
 * Line N arrives at vector VECTOR_IRQ_BASE + N by each of them.
 */
#include <x86/irq.h>
#include "x86/ioapic.h"
#include "x86/irq_dispatch.h"
#include "x86/pic.h"
#include "x86/trap.h"
#include <panic.h>
#include <sched/sched.h>
#include <x86/io.h>
#include <x86/lapic.h>

_Static_assert(VECTOR_IRQ_BASE + IRQ_SOFTWARE == IRQ_SOFTWARE_VECTOR, "INT reaches its line");
_Static_assert(IRQ_ISA_LINES == ACPI_ISA_LINES, "the MADT speaks of the same lines");

/* What brings interrupts. All of it is called with interrupts off. */
struct controller {
    const char *name;
    void (*mask)(uint32_t line);
    void (*unmask)(uint32_t line);
    bool (*pending)(uint32_t line);
    bool (*spurious)(uint32_t line); /* arrived, but is not being served */
    void (*acknowledge)(uint32_t line);
};

static struct {
    irq_handler *handler;
    struct irq_info info;
} lines[IRQ_LINES];

static uint32_t unexpected;
uint32_t irq_nesting; /* changed with interrupts off only */

/* ---- Controllers ---- */

static bool never_spurious(uint32_t line UNUSED)
{
    return false; /* these have a vector of their own, which is only counted */
}

static bool pending_at_lapic(uint32_t line)
{
    return lapic_pending(VECTOR_IRQ_BASE + line);
}

static void acknowledge_at_lapic(uint32_t line UNUSED)
{
    lapic_acknowledge();
}

static void leave(uint32_t line UNUSED)
{
    /* The LAPIC's timer is silent until it is started; the software line is until INT. */
}

static bool never_pending(uint32_t line UNUSED)
{
    return false;
}

static const struct controller pic = { "PIC",       pic_mask,     pic_unmask,
                                       pic_pending, pic_spurious, pic_acknowledge };
static const struct controller ioapic = { "I/O APIC",       ioapic_mask,    ioapic_unmask,
                                          pending_at_lapic, never_spurious, acknowledge_at_lapic };
static const struct controller lapic = { "LAPIC",          leave,          leave,
                                         pending_at_lapic, never_spurious, acknowledge_at_lapic };
static const struct controller software = { "INT",         leave,          leave,
                                            never_pending, never_spurious, leave };

static const struct controller *isa = &pic;
static bool has_lapic, has_ioapic;

static const struct controller *controller_of(uint32_t line)
{
    if (line < IRQ_ISA_LINES)
        return isa;
    return line == IRQ_LAPIC_TIMER ? &lapic : &software;
}

void irq_init(const struct acpi_madt *madt)
{
    has_lapic = lapic_init(madt != NULL ? madt->lapic_address : 0);
    has_ioapic = has_lapic && madt != NULL && ioapic_init(madt, VECTOR_IRQ_BASE, lapic_id());
    pic_init(VECTOR_IRQ_BASE);
}

static bool route_by_ioapic(void)
{
    if (!has_ioapic)
        return false;
    lapic_enable();
    lapic_set_lint0(false);
    isa = &ioapic;
    return true;
}

static bool route_by_lint0(void)
{
    if (!has_lapic)
        return false;
    lapic_enable();
    lapic_set_lint0(true);
    isa = &pic;
    return true;
}

bool irq_set_route(enum irq_route route)
{
    for (uint32_t line = 0; line < IRQ_LINES; line++)
        ASSERT(lines[line].handler == NULL); /* so all are masked at the present controller */

    switch (route) {
    case IRQ_BY_PIC:
        isa = &pic;
        return true;
    case IRQ_BY_PIC_AND_LAPIC:
        return route_by_lint0();
    case IRQ_BY_IOAPIC:
        return route_by_ioapic();
    }
    return false;
}

const char *irq_route_name(void)
{
    return isa->name;
}

/* ---- Lines ---- */

void irq_register(uint32_t line, irq_handler *handler, const char *name)
{
    ASSERT(line < IRQ_LINES && lines[line].handler == NULL);

    uint32_t flags = interrupts_save();
    lines[line].handler = handler;
    lines[line].info.name = name;
    controller_of(line)->unmask(line);
    interrupts_restore(flags);
}

void irq_unregister(uint32_t line)
{
    ASSERT(line < IRQ_LINES && lines[line].handler != NULL);

    uint32_t flags = interrupts_save();
    controller_of(line)->mask(line);
    lines[line].handler = NULL;
    lines[line].info.name = NULL;
    interrupts_restore(flags);
}

bool irq_pending(uint32_t line)
{
    return controller_of(line)->pending(line);
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

/*
 * Firmware's own interrupts may come at any vector: one was pending when the kernel took over, or a
 * device was left to send messages. The local APIC holds up all below it until it is ended.
 */
static bool end_stray(uint32_t vector)
{
    if (!has_lapic || !lapic_in_service(vector))
        return false;
    lapic_acknowledge();
    return true;
}

void irq_unexpected_vector(uint32_t vector)
{
    end_stray(vector);
    unexpected++;
}

void irq_dispatch(uint32_t line)
{
    const struct controller *controller = controller_of(line);

    /* Neither the PIC's nor INT's ever show there. */
    bool by_lapic = controller == &ioapic || controller == &lapic;
    if (!by_lapic && end_stray(VECTOR_IRQ_BASE + line)) {
        unexpected++;
        return;
    }
    if (controller->spurious(line)) {
        lines[line].info.spurious++;
        return;
    }

    irq_nesting++;
    lines[line].info.count++;
    if (lines[line].handler != NULL) {
        stretch_is_of(lines[line].handler);
        lines[line].handler();
    }
    controller->acknowledge(line);
    irq_nesting--;
    sched_preempt();
}
