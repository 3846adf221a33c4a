/*
 * What PCI's configuration registers say, as plain integers. Pure.
 */
#ifndef DRIVERS_PCI_DECODE_H
#define DRIVERS_PCI_DECODE_H

#include <types.h>

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEMORY };

/* A base address register, or a pair of them, which then counts as the lower one. */
struct pci_bar {
    paddr64_t base; /* 0: firmware gave it no address */
    uint64_t size;  /* in bytes, a power of two; 0: not known, because it was not probed */
    enum pci_bar_kind kind;
    bool wide; /* memory: 64-bit, made of two registers */
    bool prefetchable;
};

/* What a bridge passes on to its secondary side: [start, end), closed if both are equal. */
struct pci_window {
    paddr64_t start, end;
    bool wide; /* it has the upper half: 32 bits of I/O, 64 of memory */
};

/* Whether the register of this value is the lower one of a 64-bit pair. */
bool pci_bar_is_wide(uint32_t value);

/*
 * value: what firmware left there; mask: what could be read back after ones were written. Of a
 * 64-bit pair both hold both registers, else their upper halves are 0. PCI_BAR_NONE if there is no
 * register, or if it contradicts itself.
 */
struct pci_bar pci_decode_bar(uint64_t value, uint64_t mask);

/* The same of a register that was not probed: the size stays 0. */
struct pci_bar pci_decode_unprobed_bar(uint64_t value);

/*
 * The windows of a bridge, from its registers: PCI_IO_WINDOW with PCI_IO_UPPER,
 * PCI_MEMORY_WINDOW, PCI_PREFETCHABLE_WINDOW with the two PCI_PREFETCHABLE_UPPER_*. All zeros is
 * how a window reads that does not exist or was never set: it counts as closed.
 */
struct pci_window pci_decode_io_window(uint32_t window, uint32_t upper);
struct pci_window pci_decode_memory_window(uint32_t window);
struct pci_window pci_decode_prefetchable_window(uint32_t window, uint32_t upper_base,
                                                 uint32_t upper_limit);

/* What kind of device that is, in words; never NULL. */
const char *pci_class_name(uint8_t class, uint8_t subclass, uint8_t interface);

#endif
