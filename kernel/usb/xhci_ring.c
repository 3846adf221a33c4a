/*
 * Rings. A block's last word goes in last, because it holds the cycle bit; of several blocks the
 * first one goes in last, because the controller stops there until then. x86 keeps stores in order,
 * and volatile keeps the compiler to it.
 */
#include <usb/xhci_ring.h>

#define LINK (XHCI_RING_TRBS - 1)

static uint32_t address_of(const volatile struct xhci_trb *block)
{
    return (uint32_t)(uintptr_t)block;
}

void xhci_ring_init(struct xhci_ring *ring, void *page)
{
    *ring = (struct xhci_ring){ .trbs = page, .at = 0, .cycle = 1 };
    ring->trbs[LINK].parameter[0] = address_of(ring->trbs);
    ring->trbs[LINK].control = TRB_TYPE(TRB_LINK) | TRB_LINK_TOGGLE;
}

/* Over the link, which the controller may follow from now on. */
static void wrap(struct xhci_ring *ring)
{
    ring->trbs[LINK].control = TRB_TYPE(TRB_LINK) | TRB_LINK_TOGGLE | ring->cycle;
    ring->at = 0;
    ring->cycle ^= TRB_CYCLE;
}

void xhci_ring_push(struct xhci_ring *ring, const struct xhci_trb *blocks, uint32_t count,
                    uint32_t *where)
{
    volatile struct xhci_trb *first = &ring->trbs[ring->at];

    for (uint32_t i = 0; i < count; i++) {
        volatile struct xhci_trb *block = &ring->trbs[ring->at];
        uint32_t cycle = i == 0 ? ring->cycle ^ TRB_CYCLE : ring->cycle;

        block->parameter[0] = blocks[i].parameter[0];
        block->parameter[1] = blocks[i].parameter[1];
        block->status = blocks[i].status;
        block->control = (blocks[i].control & ~TRB_CYCLE) | cycle;
        where[i] = address_of(block);
        if (++ring->at == LINK)
            wrap(ring);
    }
    first->control ^= TRB_CYCLE;
}

uint32_t xhci_ring_position(const struct xhci_ring *ring)
{
    return address_of(&ring->trbs[ring->at]) | ring->cycle;
}

void xhci_event_ring_init(struct xhci_event_ring *ring, const void *page)
{
    *ring = (struct xhci_event_ring){ .trbs = page, .at = 0, .cycle = 1 };
}

bool xhci_event_ring_take(struct xhci_event_ring *ring, struct xhci_trb *event)
{
    const volatile struct xhci_trb *block = &ring->trbs[ring->at];
    uint32_t control = block->control;

    if ((control & TRB_CYCLE) != ring->cycle)
        return false;
    *event =
        (struct xhci_trb){ { block->parameter[0], block->parameter[1] }, block->status, control };
    if (++ring->at == XHCI_RING_TRBS) {
        ring->at = 0;
        ring->cycle ^= TRB_CYCLE;
    }
    return true;
}

uint32_t xhci_event_ring_position(const struct xhci_event_ring *ring)
{
    return address_of(&ring->trbs[ring->at]);
}
