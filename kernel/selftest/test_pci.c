/*
 * Tests of PCI on the machine at hand. One without PCI passes them all.
 */
#include <selftest.h>
#include <drivers/pci.h>
#include <mem/window.h>

#define CLASS_XHCI 0x0c0330u

static uint32_t class_of(const struct pci_device_info *info)
{
    return (uint32_t)(info->class << 16 | info->subclass << 8 | info->interface);
}

SELFTEST(pci_registers, "pci: registers read as they were found, and were left so")
{
    const struct pci_device_info *info;

    for (uint32_t i = 0; (info = pci_get(i)) != NULL; i++) {
        EXPECT(pci_read(info->address, PCI_ID) == (info->vendor | (uint32_t)info->device << 16));
        EXPECT(pci_read(info->address, PCI_CLASS) >> 24 == info->class);
        for (uint32_t b = 0; b < PCI_BARS; b++) {
            const struct pci_bar *bar = &info->bars[b];
            uint32_t flags = bar->kind == PCI_BAR_IO ? 0x3 : 0xf;
            if (bar->kind != PCI_BAR_NONE)
                EXPECT((pci_read(info->address, PCI_BAR0 + 4 * b) & ~flags) == (uint32_t)bar->base);
            if (bar->wide)
                EXPECT(pci_read(info->address, PCI_BAR0 + 4 * b + 4) == bar->base >> 32);
        }
    }
    return NULL;
}

SELFTEST(pci_capabilities, "pci: a capability that is found has its ID")
{
    const struct pci_device_info *info;

    for (uint32_t i = 0; (info = pci_get(i)) != NULL; i++) {
        for (uint32_t id = 0; id < 0x20; id++) {
            uint32_t offset = pci_find_capability(info->address, (uint8_t)id);
            EXPECT(offset == 0 || offset >= 0x40);
            EXPECT(offset == 0 || (uint8_t)pci_read(info->address, offset) == id);
        }
    }
    return NULL;
}

/* Whether the bridges before a bus pass on what goes either way. */
static bool bridges_open(uint32_t bus)
{
    const uint32_t wanted = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
    const struct pci_device_info *info;

    for (uint32_t i = 0; (info = pci_get(i)) != NULL; i++) {
        if (info->header == PCI_HEADER_BRIDGE && info->secondary != 0 && info->secondary <= bus &&
            bus <= info->subordinate && (pci_read(info->address, PCI_COMMAND) & wanted) != wanted)
            return false;
    }
    return true;
}

/* Wherever firmware put them. Source: xHCI Specification 1.2, "Capability Registers". */
SELFTEST(pci_xhci_bar, "pci: an xHCI's capability registers are seen through its BAR")
{
    const struct pci_device_info *info;

    for (uint32_t i = 0; (info = pci_get(i)) != NULL; i++) {
        if (class_of(info) != CLASS_XHCI)
            continue;
        const volatile uint32_t *registers = pci_map_bar(info, 0, 0x20);
        EXPECT(registers != NULL);
        uint32_t first = registers[0], structural = registers[1];
        unmap_window((const void *)registers);
        EXPECT(bridges_open(pci_bus(info->address)));
        EXPECT((first & 0xff) >= 0x20);                              /* CAPLENGTH */
        EXPECT(first >> 16 >= 0x0090 && first >> 16 <= 0x0200);      /* HCIVERSION */
        EXPECT((structural & 0xff) != 0 && (structural >> 24) != 0); /* slots, ports */
    }
    return NULL;
}
