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

/* Sets and clears bits of the command register (PCI_COMMAND_*), status bits untouched. */
void pci_set_command(pci_address_t address, uint32_t set, uint32_t clear);

/*
 * Maps a memory BAR, wherever it lies, as device registers, and turns its decoding on, and that of
 * the bridges before it with what they pass on to memory. One out of reach, or without an address,
 * is first moved below 4 GiB, if a safe place is known; the table then has the new address. info:
 * from pci_get(); bar: 0 to 5; length: how much of it, in bytes, 0 for all. Returns its first byte,
 * or NULL, with a message in the log, when it is no memory BAR, too short or out of reach. Only one
 * thread at a time, the one that starts the devices.
 */
volatile void *pci_map_bar(const struct pci_device_info *info, uint32_t bar,
                           uint32_t length) MUST_CHECK;

/*
 * Puts a device into the power state D0, if firmware has left it in another; a line says so. May
 * sleep.
 */
void pci_wake(pci_address_t address);

/* The offset of the function's first capability with that ID, or 0. */
uint32_t pci_find_capability(pci_address_t address, uint8_t id);

#endif
