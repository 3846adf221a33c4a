/*
 * The PCI buses: what is on them, and access to configuration space.
 */
#ifndef DRIVERS_PCI_H
#define DRIVERS_PCI_H

#include <drivers/pci_scan.h>
#include <types.h>

/* Finds all functions and logs how many, or why there are none. Called once, before the rest. */
void pci_init(void);

/* The function with that index, in the order in which they were found; NULL behind the last. */
const struct pci_device_info *pci_get(uint32_t index);

/*
 * One 32-bit word of configuration space; offset: a multiple of 4 below 256. Any context. Without
 * PCI all reads give ones.
 */
uint32_t pci_read(pci_address_t address, uint32_t offset);
void pci_write(pci_address_t address, uint32_t offset, uint32_t value);

/* Writes a single byte, offset below 256, and leaves those beside it alone. Any context. */
void pci_write_byte(pci_address_t address, uint32_t offset, uint8_t value);

/* The offset of the function's first capability with that ID, or 0. */
uint32_t pci_find_capability(pci_address_t address, uint8_t id);

#endif
