/*
 * Finding the functions of the PCI buses. Pure: configuration space is reached by four functions.
 */
#ifndef DRIVERS_PCI_SCAN_H
#define DRIVERS_PCI_SCAN_H

#include <drivers/pci_decode.h>
#include <types.h>

#define PCI_BUSES         256u
#define PCI_MAX_FUNCTIONS 128u
#define PCI_BARS          6u

/* Where a function is in configuration space: bus, device (0 to 31) and function (0 to 7). */
typedef uint16_t pci_address_t;

#define PCI_ADDRESS(bus, device, function)                                                         \
    ((pci_address_t)((bus) << 8 | (device) << 3 | (function)))

static inline uint32_t pci_bus(pci_address_t address)
{
    return address >> 8;
}

static inline uint32_t pci_device(pci_address_t address)
{
    return address >> 3 & 31u;
}

static inline uint32_t pci_function(pci_address_t address)
{
    return address & 7u;
}

/* Registers of configuration space, as offsets of the 32-bit words that hold them. */
#define PCI_ID                       0x00 /* vendor, device */
#define PCI_COMMAND                  0x04 /* command; status: written ones clear its bits */
#define PCI_CLASS                    0x08 /* revision, interface, subclass, class */
#define PCI_HEADER                   0x0c /* cache line, latency, header type, self-test */
#define PCI_BAR0                     0x10
#define PCI_ROM                      0x30 /* of a device: its expansion ROM */
#define PCI_CAPABILITIES             0x34
#define PCI_INTERRUPT                0x3c /* line, pin, ... */

#define PCI_BUS_NUMBERS              0x18 /* of a bridge: primary, secondary, subordinate */
#define PCI_IO_WINDOW                0x1c
#define PCI_MEMORY_WINDOW            0x20
#define PCI_PREFETCHABLE_WINDOW      0x24
#define PCI_PREFETCHABLE_UPPER_BASE  0x28
#define PCI_PREFETCHABLE_UPPER_LIMIT 0x2c
#define PCI_IO_UPPER                 0x30
#define PCI_BRIDGE_ROM               0x38

#define PCI_COMMAND_IO               (1u << 0)
#define PCI_COMMAND_MEMORY           (1u << 1)
#define PCI_COMMAND_MASTER           (1u << 2)
#define PCI_COMMAND_INTX_OFF         (1u << 10)
#define PCI_STATUS_CAPABILITIES      (1u << 20) /* in the word PCI_COMMAND */

#define PCI_HEADER_DEVICE            0
#define PCI_HEADER_BRIDGE            1
#define PCI_HEADER_CARDBUS           2

/* How configuration space is reached. offset: a multiple of 4 below 256. */
struct pci_access {
    uint32_t (*read)(pci_address_t address, uint32_t offset);
    void (*write)(pci_address_t address, uint32_t offset, uint32_t value);
    /* Nothing else may run between these two: the function does not decode its addresses. */
    uint32_t (*quiet_begin)(void);
    void (*quiet_end)(uint32_t state);
};

struct pci_device_info {
    pci_address_t address;
    uint16_t vendor, device;
    uint8_t class, subclass, interface;
    uint8_t header;         /* PCI_HEADER_* */
    uint8_t interrupt_line; /* as firmware noted it */
    uint8_t interrupt_pin;  /* 1 to 4: A to D; 0: none */
    struct pci_bar bars[PCI_BARS];
    uint32_t rom; /* where its expansion ROM lies, if that is enabled; else 0 */

    /* Bridges only; the windows not of PCI_HEADER_CARDBUS. */
    uint8_t secondary, subordinate; /* the bus behind it, and the last one behind that */
    struct pci_window io_window, memory_window, prefetchable_window;
};

struct pci_table {
    struct pci_device_info functions[PCI_MAX_FUNCTIONS];
    uint32_t count;
    uint32_t left_out; /* functions that were found when the table was full */
    uint32_t buses;    /* that have a function */
};

/*
 * Fills the table, bus by bus, beginning with bus 0. What is written to configuration space is
 * back as it was at the end.
 */
void pci_scan(const struct pci_access *access, struct pci_table *table);

/*
 * Writes another address to a memory BAR, and to info. The function decodes nothing meanwhile;
 * its command register is as it was at the end. False, and nothing has changed, when the register
 * does not take the address.
 */
bool pci_move_bar(const struct pci_access *access, struct pci_device_info *info, uint32_t bar,
                  paddr64_t to) MUST_CHECK;

/*
 * The offset of the first capability with that ID, or 0. A list that is damaged or runs in a
 * circle ends.
 */
uint32_t pci_scan_capability(const struct pci_access *access, pci_address_t address, uint8_t id);

#define PCI_WAKE_MS 10u /* what a function may take from D3 to D0 */

/*
 * Puts a device (not a bridge) into the power state D0, through the capability for that. Returns
 * the state it was in, 0 to 3: 0 also if it has no such capability, or did not answer. From
 * another than 0 it may have been reset on the way: its base addresses, command register and
 * interrupt line are as before. sleep: waits at least so many milliseconds.
 */
uint32_t pci_wake_function(const struct pci_access *access, pci_address_t address,
                           void (*sleep)(uint32_t ms));

#endif
