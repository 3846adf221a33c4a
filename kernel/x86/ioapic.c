/*
 * I/O APICs: each has inputs that are numbered through from one to the next (global system
 * interrupts), and for each input an entry that says as what it arrives, and where.
 *
 * ISA line N is input N, edge triggered and active high, unless the MADT overrides it.
 */
#include "x86/ioapic.h"
#include <mem/window.h>

/* Registers are named in one window and read or written in another, 16 bytes further. */
#define SELECT           (0x00 / 4)
#define DATA             (0x10 / 4)
#define SIZE             0x20u

#define VERSION          0x01u
#define ENTRIES          0x10u /* two registers each: low, then high */

#define ENTRY_DELIVERY   (7u << 8)
#define ENTRY_SMI        (2u << 8)
#define ENTRY_NMI        (4u << 8)
#define ENTRY_EXTINT     (7u << 8)
#define ENTRY_ACTIVE_LOW (1u << 13)
#define ENTRY_LEVEL      (1u << 15)
#define ENTRY_MASKED     (1u << 16)

struct ioapic {
    volatile uint32_t *registers;
    uint32_t first, end; /* the inputs that it has: [first, end) */
};

static struct ioapic ioapics[ACPI_IOAPICS_MAX];
static uint32_t ioapic_count;
static struct acpi_isa_line routes[ACPI_ISA_LINES];
static uint32_t base, cpu_id;

static uint32_t read_register(const struct ioapic *ioapic, uint32_t number)
{
    ioapic->registers[SELECT] = number;
    return ioapic->registers[DATA];
}

static void write_register(const struct ioapic *ioapic, uint32_t number, uint32_t value)
{
    ioapic->registers[SELECT] = number;
    ioapic->registers[DATA] = value;
}

/* SMIs and NMIs are firmware's own business, and ExtINT is a way in that the PIC may have. */
static bool is_left_alone(uint32_t entry)
{
    uint32_t delivery = entry & ENTRY_DELIVERY;
    return delivery == ENTRY_SMI || delivery == ENTRY_NMI || delivery == ENTRY_EXTINT;
}

static void mask_all(const struct ioapic *ioapic)
{
    for (uint32_t i = 0; i < ioapic->end - ioapic->first; i++) {
        uint32_t entry = read_register(ioapic, ENTRIES + 2 * i);
        if (!is_left_alone(entry))
            write_register(ioapic, ENTRIES + 2 * i, entry | ENTRY_MASKED);
    }
}

static bool has_input(const struct ioapic *ioapic, uint32_t input)
{
    return input >= ioapic->first && input < ioapic->end;
}

/* Finds out which inputs it has. False where it is not there at all. */
static bool identify(struct ioapic *ioapic, uint32_t first_input)
{
    uint32_t version = read_register(ioapic, VERSION);

    if (version == UINT32_MAX || version == 0)
        return false;
    ioapic->first = first_input;
    ioapic->end = first_input + (version >> 16 & 0xff) + 1;
    return true;
}

static bool serves_isa(const struct ioapic *ioapic)
{
    for (uint32_t line = 0; line < ACPI_ISA_LINES; line++) {
        if (has_input(ioapic, routes[line].input))
            return true;
    }
    return false;
}

static void add(const struct acpi_ioapic *described)
{
    struct ioapic *ioapic = &ioapics[ioapic_count];

    ioapic->registers = map_window(described->address, SIZE, WINDOW_DEVICE);
    if (ioapic->registers == NULL)
        return;
    bool there = identify(ioapic, described->first_input);
    if (there)
        mask_all(ioapic);
    if (there && serves_isa(ioapic))
        ioapic_count++;
    else
        unmap_window((const void *)ioapic->registers);
}

bool ioapic_init(const struct acpi_madt *madt, uint32_t vector_base, uint32_t destination)
{
    base = vector_base;
    cpu_id = destination;
    for (uint32_t line = 0; line < ACPI_ISA_LINES; line++)
        routes[line] = madt->isa[line];
    for (uint32_t i = 0; i < madt->ioapic_count; i++)
        add(&madt->ioapics[i]);
    return ioapic_count != 0 && destination <= IOAPIC_DESTINATION_MAX;
}

/* Writes the entry of the input that a line has. */
static void set_entry(uint32_t line, uint32_t masked)
{
    const struct acpi_isa_line *route = &routes[line];

    for (const struct ioapic *ioapic = ioapics; ioapic < ioapics + ioapic_count; ioapic++) {
        if (!has_input(ioapic, route->input))
            continue;
        uint32_t number = ENTRIES + 2 * (route->input - ioapic->first);
        write_register(ioapic, number, ENTRY_MASKED);
        write_register(ioapic, number + 1, cpu_id << 24);
        write_register(ioapic, number,
                       (base + line) | masked | (route->active_low ? ENTRY_ACTIVE_LOW : 0) |
                           (route->level ? ENTRY_LEVEL : 0));
    }
}

void ioapic_mask(uint32_t line)
{
    set_entry(line, ENTRY_MASKED);
}

void ioapic_unmask(uint32_t line)
{
    set_entry(line, 0);
}
