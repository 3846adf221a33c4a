/*
 * PCI's configuration mechanism #1: the address of a word goes to one port, the word through
 * another. Interrupts are off between the two.
 *
 * Source: PCI Local Bus Specification 3.0, "Software Generation of Configuration Transactions".
 */
#include <drivers/pci.h>
#include <log.h>
#include <mem/window.h>
#include <panic.h>
#include <x86/io.h>

#define PORT_ADDRESS   0xcf8
#define PORT_DATA      0xcfc
#define ADDRESS_ENABLE 0x80000000u

static bool present;
static struct pci_table table; /* does not change any more after pci_init() */

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
        klog("PCI: none (no answer at port 0xcf8)");
        return;
    }
    pci_scan(&ports, &table);
    klog("PCI: %u function%s on %u bus%s", table.count, table.count == 1 ? "" : "s", table.buses,
         table.buses == 1 ? "" : "es");
    if (table.left_out != 0)
        klog("PCI: %u more functions are left out: the table is full", table.left_out);
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

volatile void *pci_map_bar(const struct pci_device_info *info, uint32_t bar, uint32_t length)
{
    ASSERT(bar < PCI_BARS);
    const struct pci_bar *b = &info->bars[bar];

    if (length == 0)
        length = b->size > UINT32_MAX ? UINT32_MAX : (uint32_t)b->size;
    if (b->kind != PCI_BAR_MEMORY || b->base == 0 || length == 0 || b->size < length) {
        klog("PCI: %02x:%02x.%x: BAR%u gives no registers", pci_bus(info->address),
             pci_device(info->address), pci_function(info->address), bar);
        return NULL;
    }
    void *window = map_window(b->base, length, WINDOW_DEVICE);
    if (window == NULL)
        klog("PCI: %02x:%02x.%x: BAR%u at 0x%llx is out of reach", pci_bus(info->address),
             pci_device(info->address), pci_function(info->address), bar, b->base);
    else
        pci_set_command(info->address, PCI_COMMAND_MEMORY, 0);
    return window;
}

uint32_t pci_find_capability(pci_address_t address, uint8_t id)
{
    return pci_scan_capability(&ports, address, id);
}
