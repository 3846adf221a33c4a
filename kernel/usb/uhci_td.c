/*
 * Chains of UHCI's transfer descriptors.
 */
#include "uhci_td.h"

static uint32_t length_field(uint32_t length)
{
    return (length - 1) & UHCI_TD_ACTUAL;
}

static uint32_t td_length(uint32_t field)
{
    return (field + 1) & UHCI_TD_ACTUAL;
}

static struct uhci_td *next_td(const struct uhci_td *td)
{
    return (struct uhci_td *)(uintptr_t)(td->link & ~15u);
}

/* Appends one packet. Full-speed packets follow each other in the same frame if there is room;
 * the controller does not foresee how long a low-speed one takes, so those get a frame each. */
static bool add_packet(struct uhci_chain *chain, struct usb_pool *pool,
                       const struct uhci_target *target, enum uhci_pid pid, bool toggle,
                       uint32_t buffer, uint32_t length)
{
    struct uhci_td *td = usb_pool_take(pool);

    if (td == NULL)
        return false;
    td->link = UHCI_TERMINATE;
    td->status = UHCI_TD_ACTIVE | UHCI_TD_THREE_ERRORS | length_field(0) |
                 (target->low_speed ? UHCI_TD_LOW_SPEED : 0) |
                 (pid == UHCI_IN ? UHCI_TD_SHORT_PACKET : 0);
    td->token = pid | (uint32_t)target->address << 8 | (uint32_t)target->endpoint << 15 |
                (toggle ? UHCI_TOKEN_TOGGLE : 0) | length_field(length) << UHCI_TOKEN_MAX_LENGTH;
    td->buffer = buffer;

    if (chain->last == NULL)
        chain->first = chain->current = td;
    else
        chain->last->link = usb_phys(td) | (target->low_speed ? 0 : UHCI_DEPTH);
    chain->last = td;
    return true;
}

/* Packets for `length` bytes, none for 0. */
static bool add_data(struct uhci_chain *chain, struct usb_pool *pool,
                     const struct uhci_target *target, bool toggle, bool in, uint32_t buffer,
                     uint32_t length)
{
    while (length > 0) {
        uint32_t size = length < target->packet_size ? length : target->packet_size;
        if (!add_packet(chain, pool, target, in ? UHCI_IN : UHCI_OUT, toggle, buffer, size))
            return false;
        toggle = !toggle;
        buffer += size;
        length -= size;
    }
    return true;
}

bool uhci_chain_control(struct uhci_chain *chain, struct usb_pool *pool,
                        const struct uhci_target *target, const volatile void *setup, bool in,
                        void *buffer, uint32_t length)
{
    /* The status stage runs against the data; without data it is IN. */
    enum uhci_pid status = in && length > 0 ? UHCI_OUT : UHCI_IN;

    *chain = (struct uhci_chain){ .control = true };
    if (add_packet(chain, pool, target, UHCI_SETUP, false, (uint32_t)(uintptr_t)setup,
                   sizeof(struct usb_setup)) &&
        add_data(chain, pool, target, true, in, usb_phys(buffer), length) &&
        add_packet(chain, pool, target, status, true, 0, 0))
        return true;
    uhci_chain_free(chain, pool);
    return false;
}

bool uhci_chain_interrupt(struct uhci_chain *chain, struct usb_pool *pool,
                          const struct uhci_target *target, bool toggle, bool in, void *buffer,
                          uint32_t length)
{
    enum uhci_pid pid = in ? UHCI_IN : UHCI_OUT;

    *chain = (struct uhci_chain){ 0 };
    if (length == 0 ? add_packet(chain, pool, target, pid, toggle, 0, 0)
                    : add_data(chain, pool, target, toggle, in, usb_phys(buffer), length))
        return true;
    uhci_chain_free(chain, pool);
    return false;
}

void uhci_chain_free(struct uhci_chain *chain, struct usb_pool *pool)
{
    for (struct uhci_td *td = chain->first, *next; td != NULL; td = next) {
        next = td->link & UHCI_TERMINATE ? NULL : next_td(td);
        usb_pool_give(pool, td);
    }
    *chain = (struct uhci_chain){ 0 };
}

enum usb_status uhci_td_status(uint32_t status)
{
    if (status & UHCI_TD_ACTIVE)
        return USB_PENDING;
    if (status & (UHCI_TD_BITSTUFF | UHCI_TD_CRC_TIMEOUT | UHCI_TD_BABBLE | UHCI_TD_BUFFER_ERROR))
        return USB_FAILED; /* `stalled` is set as well when the controller gives up */
    return status & UHCI_TD_STALLED ? USB_STALLED : USB_OK;
}

static bool is_data(const struct uhci_chain *chain, const struct uhci_td *td)
{
    return !chain->control || (td != chain->first && td != chain->last);
}

enum usb_status uhci_chain_advance(struct uhci_chain *chain, volatile uint32_t *element)
{
    for (;;) {
        struct uhci_td *td = chain->current;
        uint32_t word = td->status;
        uint32_t moved = td_length(word), asked = td_length(td->token >> UHCI_TOKEN_MAX_LENGTH);
        enum usb_status status = uhci_td_status(word);
        bool is_short = is_data(chain, td) && moved < asked;

        if (status != USB_OK)
            return status;
        /* A TD is written before the queue head: the controller may yet move `element` on. */
        if (td == chain->last && !is_short && !(*element & UHCI_TERMINATE))
            return USB_PENDING;
        if (is_data(chain, td))
            chain->actual = (uint16_t)(chain->actual + moved);
        if (td == chain->last || (is_short && !chain->control))
            return USB_OK;

        chain->current = is_short ? chain->last : next_td(td);
        if (is_short)
            *element = usb_phys(chain->last);
    }
}

bool uhci_chain_next_toggle(const struct uhci_chain *chain)
{
    bool toggle = chain->current->token & UHCI_TOKEN_TOGGLE;

    return uhci_td_status(chain->current->status) == USB_OK ? !toggle : toggle;
}
