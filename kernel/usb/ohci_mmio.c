/*
 * OHCI's registers in memory: 32 bits each.
 */
#include "ohci.h"

uint32_t ohci_read(const struct ohci *ohci, uint32_t offset)
{
    return *(const volatile uint32_t *)(ohci->registers + offset);
}

void ohci_write(struct ohci *ohci, uint32_t offset, uint32_t value)
{
    *(volatile uint32_t *)(ohci->registers + offset) = value;
}
