/*
 * Where a base address register may be moved to. Pure.
 */
#ifndef DRIVERS_PCI_PLACE_H
#define DRIVERS_PCI_PLACE_H

#include <drivers/pci_scan.h>
#include <mem/memmap.h>

/* What is known of the address space that a new place must stay clear of. */
struct pci_surroundings {
    const struct pci_table *table;
    struct memmap_source regions;   /* firmware's memory map: every entry of it, of any type */
    const struct pci_window *taken; /* what else is in use: the framebuffer */
    uint32_t taken_count;
};

/*
 * Finds a place below 4 GiB for a memory BAR of a function of the table. bar: 0 to 5, its size
 * known. Returns the address, a multiple of the BAR's size and of the page size; or 0, and *why
 * says in words what is in the way.
 */
paddr64_t pci_place(const struct pci_surroundings *around, const struct pci_device_info *info,
                    uint32_t bar, const char **why) MUST_CHECK;

#endif
