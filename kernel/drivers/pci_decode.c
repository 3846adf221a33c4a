/*
 * Base address registers, bridge windows and class codes.
 *
 * A base address register has its flags in the lowest bits, which are wired. Above them are wired
 * zeros up to the size, then bits that can be written: after ones were written, the lowest bit
 * that reads as one is the size. A register may lack bits at its top (16 of I/O, some of 64), but
 * never in between.
 *
 * Sources: PCI Local Bus Specification 3.0, "Base Addresses" and "Class Codes"; PCI-to-PCI Bridge
 * Architecture Specification 1.2, "I/O Base Register and I/O Limit Register" and those behind it.
 */
#include <drivers/pci_decode.h>

#define BAR_IO            0x1u
#define BAR_IO_FLAGS      0x3u
#define BAR_TYPE          0x6u
#define BAR_TYPE_WIDE     0x4u
#define BAR_TYPE_RESERVED 0x6u
#define BAR_PREFETCHABLE  0x8u
#define BAR_MEMORY_FLAGS  0xfu

#define IO_WINDOW_WIDE    0x1u /* in the lowest four bits, which say what the window can do */
#define MEM_WINDOW_WIDE   0x1u

bool pci_bar_is_wide(uint32_t value)
{
    return (value & (BAR_IO | BAR_TYPE)) == BAR_TYPE_WIDE;
}

static uint32_t flag_bits(uint64_t value)
{
    return value & BAR_IO ? BAR_IO_FLAGS : BAR_MEMORY_FLAGS;
}

/* Ones without a gap, which may end below the top. */
static bool is_one_run(uint64_t bits)
{
    uint64_t behind = bits + (bits & -bits);
    return (behind & (behind - 1)) == 0;
}

/* The kind of register that its flags say, without base and size. */
static struct pci_bar from_flags(uint32_t value)
{
    struct pci_bar bar = { .kind = PCI_BAR_NONE };

    if (value & BAR_IO) {
        bar.kind = PCI_BAR_IO;
    } else if ((value & BAR_TYPE) != BAR_TYPE_RESERVED) {
        bar.kind = PCI_BAR_MEMORY;
        bar.wide = pci_bar_is_wide(value);
        bar.prefetchable = value & BAR_PREFETCHABLE;
    }
    return bar;
}

struct pci_bar pci_decode_unprobed_bar(uint64_t value)
{
    struct pci_bar bar = from_flags((uint32_t)value);

    /* Zero may be no register at all; ones come from no device. */
    if (value == 0 || (uint32_t)value == UINT32_MAX || bar.kind == PCI_BAR_NONE)
        return (struct pci_bar){ .kind = PCI_BAR_NONE };
    bar.base = value & ~(uint64_t)flag_bits(value);
    return bar;
}

struct pci_bar pci_decode_bar(uint64_t value, uint64_t mask)
{
    struct pci_bar bar = from_flags((uint32_t)mask);
    uint64_t writable = mask & ~(uint64_t)flag_bits(mask);
    uint32_t wired = mask & BAR_IO ? BAR_IO : BAR_MEMORY_FLAGS; /* I/O's second bit is reserved */

    if (writable == 0 || !is_one_run(writable) || ((value ^ mask) & wired) != 0 ||
        bar.kind == PCI_BAR_NONE)
        return (struct pci_bar){ .kind = PCI_BAR_NONE };
    bar.base = value & writable;
    bar.size = writable & -writable;
    return bar;
}

/* base and last byte of a window; `set` is false if all its registers are zero. */
static struct pci_window window(uint64_t base, uint64_t last, bool wide, bool set)
{
    struct pci_window result = { .wide = wide };

    if (set && base <= last) {
        result.start = base;
        result.end = last != UINT64_MAX ? last + 1 : last;
    }
    return result;
}

struct pci_window pci_decode_io_window(uint32_t io, uint32_t upper)
{
    bool wide = (io & 0xf) == IO_WINDOW_WIDE;
    uint32_t base = (io & 0xf0) << 8;
    uint32_t last = (io & 0xf000) | 0xfff;

    if (wide) {
        base |= upper << 16;
        last |= upper & 0xffff0000;
    }
    return window(base, last, wide, base != 0 || last != 0xfff);
}

struct pci_window pci_decode_memory_window(uint32_t memory)
{
    uint32_t base = (memory & 0xfff0) << 16;
    uint32_t last = (memory & 0xfff00000) | 0xfffff;

    return window(base, last, false, base != 0 || last != 0xfffff);
}

struct pci_window pci_decode_prefetchable_window(uint32_t memory, uint32_t upper_base,
                                                 uint32_t upper_limit)
{
    bool wide = (memory & 0xf) == MEM_WINDOW_WIDE;
    uint64_t base = (memory & 0xfff0) << 16;
    uint64_t last = (memory & 0xfff00000) | 0xfffff;

    if (wide) {
        base |= (uint64_t)upper_base << 32;
        last |= (uint64_t)upper_limit << 32;
    }
    return window(base, last, wide, base != 0 || last != 0xfffff);
}

#define ANY 0x100u

/* The first entry that fits counts. */
static const struct {
    uint16_t class, subclass, interface;
    const char *name;
} names[] = {
    { 0x00, 0x01, ANY, "old VGA controller" },
    { 0x00, ANY, ANY, "old device" },
    { 0x01, 0x00, ANY, "SCSI controller" },
    { 0x01, 0x01, ANY, "IDE controller" },
    { 0x01, 0x02, ANY, "floppy controller" },
    { 0x01, 0x04, ANY, "RAID controller" },
    { 0x01, 0x05, ANY, "ATA controller" },
    { 0x01, 0x06, 0x01, "SATA controller (AHCI)" },
    { 0x01, 0x06, ANY, "SATA controller" },
    { 0x01, 0x07, ANY, "SAS controller" },
    { 0x01, 0x08, ANY, "NVMe controller" },
    { 0x01, ANY, ANY, "storage controller" },
    { 0x02, 0x00, ANY, "Ethernet controller" },
    { 0x02, ANY, ANY, "network controller" },
    { 0x03, 0x00, ANY, "VGA controller" },
    { 0x03, ANY, ANY, "display controller" },
    { 0x04, 0x01, ANY, "audio controller" },
    { 0x04, 0x03, ANY, "HD audio controller" },
    { 0x04, ANY, ANY, "multimedia device" },
    { 0x05, ANY, ANY, "memory controller" },
    { 0x06, 0x00, ANY, "host bridge" },
    { 0x06, 0x01, ANY, "ISA bridge" },
    { 0x06, 0x02, ANY, "EISA bridge" },
    { 0x06, 0x04, 0x01, "PCI bridge (subtractive)" },
    { 0x06, 0x04, ANY, "PCI bridge" },
    { 0x06, 0x07, ANY, "CardBus bridge" },
    { 0x06, ANY, ANY, "bridge" },
    { 0x07, 0x00, ANY, "serial port" },
    { 0x07, 0x01, ANY, "parallel port" },
    { 0x07, ANY, ANY, "communication device" },
    { 0x08, 0x00, ANY, "interrupt controller" },
    { 0x08, 0x05, ANY, "SD card controller" },
    { 0x08, 0x06, ANY, "IOMMU" },
    { 0x08, ANY, ANY, "system device" },
    { 0x09, ANY, ANY, "input device" },
    { 0x0a, ANY, ANY, "docking station" },
    { 0x0b, ANY, ANY, "processor" },
    { 0x0c, 0x00, ANY, "FireWire controller" },
    { 0x0c, 0x03, 0x00, "USB controller (UHCI)" },
    { 0x0c, 0x03, 0x10, "USB controller (OHCI)" },
    { 0x0c, 0x03, 0x20, "USB controller (EHCI)" },
    { 0x0c, 0x03, 0x30, "USB controller (xHCI)" },
    { 0x0c, 0x03, 0x40, "USB controller (USB4)" },
    { 0x0c, 0x03, 0xfe, "USB device" },
    { 0x0c, 0x03, ANY, "USB controller" },
    { 0x0c, 0x05, ANY, "SMBus controller" },
    { 0x0c, ANY, ANY, "serial bus controller" },
    { 0x0d, ANY, ANY, "wireless controller" },
    { 0x10, ANY, ANY, "encryption controller" },
    { 0x11, ANY, ANY, "signal processing device" },
};

static bool fits(uint16_t wanted, uint8_t value)
{
    return wanted == ANY || wanted == value;
}

const char *pci_class_name(uint8_t class, uint8_t subclass, uint8_t interface)
{
    for (uint32_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (fits(names[i].class, class) && fits(names[i].subclass, subclass) &&
            fits(names[i].interface, interface))
            return names[i].name;
    }
    return "device";
}
