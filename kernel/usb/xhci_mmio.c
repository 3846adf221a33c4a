/*
 * xHCI's registers in memory: 32 bits at a time, whatever a register's size.
 */
#include "xhci.h"

uint32_t xhci_read(const struct xhci *x, uint32_t offset)
{
    return *(const volatile uint32_t *)(x->registers + offset);
}

void xhci_write(struct xhci *x, uint32_t offset, uint32_t value)
{
    *(volatile uint32_t *)(x->registers + offset) = value;
}
