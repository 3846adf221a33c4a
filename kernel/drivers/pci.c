/*
 * PCI's configuration mechanism #1: the address of a word goes to one port, the word through
 * another. Interrupts are off between the two.
 *
 * Source: PCI Local Bus Specification 3.0, "Software Generation of Configuration Transactions".
 */
#include <drivers/pci.h>
#include <boot_info.h>
#include <drivers/pci_place.h>
#include <lib/printf.h>
#include <log.h>
#include <mem/window.h>
#include <panic.h>
#include <sched/thread.h>
#include <x86/io.h>

#define PORT_ADDRESS   0xcf8
#define PORT_DATA      0xcfc
#define ADDRESS_ENABLE 0x80000000u

#define FOUR_GIB       (1ull << 32)
#define BAR_NAME_MAX   24

static bool present;
static struct pci_table table; /* after pci_init() only pci_map_bar() changes it */

static uint32_t port_address(pci_address_t address, uint32_t offset)
{
    ASSERT(offset < 256 && offset % 4 == 0);
    return ADDRESS_ENABLE | (uint32_t)address << 8 | offset;
}

uint32_t pci_read(pci_address_t address, uint32_t offset)
{
    uint32_t where = port_address(address, offset);

    if (!present)
        return UINT32_MAX;
    uint32_t flags = interrupts_save();
    outl(PORT_ADDRESS, where);
    uint32_t value = inl(PORT_DATA);
    interrupts_restore(flags);
    return value;
}

void pci_write(pci_address_t address, uint32_t offset, uint32_t value)
{
    uint32_t where = port_address(address, offset);

    if (!present)
        return;
    uint32_t flags = interrupts_save();
    outl(PORT_ADDRESS, where);
    outl(PORT_DATA, value);
    interrupts_restore(flags);
}

void pci_write_byte(pci_address_t address, uint32_t offset, uint8_t value)
{
    uint32_t where = port_address(address, offset & ~3u);

    if (!present)
        return;
    uint32_t flags = interrupts_save();
    outl(PORT_ADDRESS, where);
    outb((uint16_t)(PORT_DATA + offset % 4), value);
    interrupts_restore(flags);
}

/* The address port is a register that keeps what is written; without PCI nothing is there. */
static bool has_mechanism_1(void)
{
    uint32_t flags = interrupts_save();
    uint32_t before = inl(PORT_ADDRESS);
    outl(PORT_ADDRESS, ADDRESS_ENABLE);
    bool kept = inl(PORT_ADDRESS) == ADDRESS_ENABLE;
    outl(PORT_ADDRESS, before);
    interrupts_restore(flags);
    return kept;
}

static const struct pci_access ports = { pci_read, pci_write, interrupts_save, interrupts_restore };

void pci_init(void)
{
    present = has_mechanism_1();
    if (!present) {
        klog_warning("PCI: none (no answer at port 0xcf8)");
        return;
    }
    pci_scan(&ports, &table);
    klog("PCI: %u function%s on %u bus%s", table.count, table.count == 1 ? "" : "s", table.buses,
         table.buses == 1 ? "" : "es");
    if (table.left_out != 0)
        klog_warning("PCI: %u more functions are left out: the table is full", table.left_out);
}

const struct pci_device_info *pci_get(uint32_t index)
{
    return index < table.count ? &table.functions[index] : NULL;
}

void pci_set_command(pci_address_t address, uint32_t set, uint32_t clear)
{
    uint32_t command = pci_read(address, PCI_COMMAND) & 0xffff; /* a 0 leaves a status bit alone */
    pci_write(address, PCI_COMMAND, (command & ~clear) | set);
}

/* "PCI: BUS:DEVICE.FUNCTION: BARn", which begins all messages about a BAR. */
static const char *bar_name(const struct pci_device_info *info, uint32_t bar,
                            char name[BAR_NAME_MAX])
{
    ksnprintf(name, BAR_NAME_MAX, "PCI: %02x:%02x.%x: BAR%u", pci_bus(info->address),
              pci_device(info->address), pci_function(info->address), bar);
    return name;
}

/* Gives a BAR an address below 4 GiB; false, with a message, where that cannot be. */
static bool move_bar(struct pci_device_info *info, uint32_t bar)
{
    char name[BAR_NAME_MAX];
    const char *why;
    struct multiboot2_framebuffer fb;
    paddr64_t from = info->bars[bar].base;

    (void)multiboot2_framebuffer(boot_info(), &fb); /* all zero if there is none */
    struct pci_window screen = { .start = fb.address,
                                 .end = fb.address + (uint64_t)fb.pitch * fb.height };
    struct pci_surroundings around = { &table, boot_info_regions(), &screen, 1 };
    paddr64_t to = pci_place(&around, info, bar, &why);
    if (to != 0 && !pci_move_bar(&ports, info, bar, to)) {
        to = 0;
        why = "it does not take another address";
    }
    if (to == 0 && from == 0)
        klog_warning("%s has no address, and is left alone: %s", bar_name(info, bar, name), why);
    else if (to == 0)
        klog_warning("%s at 0x%llx is out of reach, and is left alone: %s",
                     bar_name(info, bar, name), from, why);
    else
        klog("%s moved from 0x%llx to 0x%llx", bar_name(info, bar, name), from, to);
    return to != 0;
}

/*
 * Maps it where it is; else, and if it is nowhere, where it can be moved to. NULL, with a message,
 * when neither can be.
 */
static void *map_or_move(struct pci_device_info *info, uint32_t bar, uint32_t length)
{
    const struct pci_bar *b = &info->bars[bar];
    char name[BAR_NAME_MAX];
    void *window = b->base != 0 ? map_window(b->base, length, WINDOW_DEVICE) : NULL;

    if (window == NULL && (b->base == 0 || b->base + length > FOUR_GIB)) {
        if (!move_bar(info, bar))
            return NULL;
        window = map_window(b->base, length, WINDOW_DEVICE);
    }
    if (window == NULL)
        klog_warning("%s at 0x%llx cannot be mapped", bar_name(info, bar, name), b->base);
    return window;
}

/* What comes from the device and goes to it must pass the bridges before it. */
static void open_bridges_to(uint32_t bus)
{
    for (uint32_t i = 0; i < table.count; i++) {
        const struct pci_device_info *bridge = &table.functions[i];

        if (bridge->header == PCI_HEADER_BRIDGE && bridge->secondary != 0 &&
            bridge->secondary <= bus && bus <= bridge->subordinate)
            pci_set_command(bridge->address, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
    }
}

volatile void *pci_map_bar(const struct pci_device_info *info, uint32_t bar, uint32_t length)
{
    ASSERT(bar < PCI_BARS && info >= table.functions && info < table.functions + table.count);
    const struct pci_bar *b = &info->bars[bar];
    char name[BAR_NAME_MAX];

    if (length == 0)
        length = b->size > UINT32_MAX ? UINT32_MAX : (uint32_t)b->size;
    if (b->kind != PCI_BAR_MEMORY || length == 0 || b->size < length) {
        klog_warning("%s gives no registers", bar_name(info, bar, name));
        return NULL;
    }
    void *window = map_or_move(&table.functions[info - table.functions], bar, length);
    if (window != NULL) {
        open_bridges_to(pci_bus(info->address));
        pci_set_command(info->address, PCI_COMMAND_MEMORY, 0);
    }
    return window;
}

static void sleep_ms(uint32_t ms)
{
    (void)thread_sleep(ms);
}

void pci_wake(pci_address_t address)
{
    uint32_t state = pci_wake_function(&ports, address, sleep_ms);

    if (state != 0)
        klog("PCI: %02x:%02x.%x: woken from D%u", pci_bus(address), pci_device(address),
             pci_function(address), state);
}

uint32_t pci_find_capability(pci_address_t address, uint8_t id)
{
    return pci_scan_capability(&ports, address, id);
}
