/*
 * xHCI's rings: transfer request blocks (TRBs) in a page that the driver fills and the controller
 * empties, or the other way round. Pure.
 *
 * A ring that the driver fills ends in a link back to its start. A block is the consumer's while
 * its cycle bit equals the consumer's; the producer turns its own at the link, and only there.
 *
 * Source: eXtensible Host Controller Interface 1.2, "TRB Ring" and "Transfer Request Block".
 */
#ifndef USB_XHCI_RING_H
#define USB_XHCI_RING_H

#include <types.h>

#define XHCI_RING_TRBS  256u /* in a page */
#define XHCI_TD_MAX     3u   /* blocks that are pushed together */

#define TRB_CYCLE       (1u << 0)
#define TRB_TYPE(type)  ((uint32_t)(type) << 10)

/* Types. */
#define TRB_NORMAL      1
#define TRB_SETUP       2
#define TRB_DATA        3
#define TRB_STATUS      4
#define TRB_LINK        6
#define TRB_LINK_TOGGLE (1u << 1)

struct xhci_trb {
    uint32_t parameter[2];
    uint32_t status;
    uint32_t control; /* its bit TRB_CYCLE is the ring's */
};

/* Filled by the driver, which takes care that it is never full. */
struct xhci_ring {
    volatile struct xhci_trb *trbs;
    uint32_t at; /* the next block to fill */
    uint32_t cycle;
};

/* page: XHCI_RING_TRBS blocks, all zero, at the same physical address. */
void xhci_ring_init(struct xhci_ring *ring, void *page);

/*
 * Appends up to XHCI_TD_MAX blocks; the controller sees none before all are there. where[i] becomes
 * the physical address of block i.
 */
void xhci_ring_push(struct xhci_ring *ring, const struct xhci_trb *blocks, uint32_t count,
                    uint32_t *where);

/* Where the next block goes: its physical address, and the cycle state in bit 0. */
uint32_t xhci_ring_position(const struct xhci_ring *ring);

/* Filled by the controller: one segment without a link. */
struct xhci_event_ring {
    const volatile struct xhci_trb *trbs;
    uint32_t at;
    uint32_t cycle;
};

void xhci_event_ring_init(struct xhci_event_ring *ring, const void *page);

/* Takes the next event; false when there is none. */
bool xhci_event_ring_take(struct xhci_event_ring *ring, struct xhci_trb *event);

/* The physical address of the block that is taken next. */
uint32_t xhci_event_ring_position(const struct xhci_event_ring *ring);

#endif
