/*
 * OHCI's transfer descriptors, in rings of four.
 */
#include "ohci_ring.h"
#include <panic.h>

#define CODE_NO_ERROR   0u
#define CODE_STALL      4u

#define DELAY_IMMEDIATE 0u
#define DELAY_LATER     6u /* the longest: the last TD or an error comes sooner */

static uint32_t index_of(uint32_t index)
{
    return index % OHCI_RING_TDS;
}

static uint32_t td_address(const struct ohci_ring *ring, uint32_t index)
{
    return usb_phys(&ring->td[index_of(index)]);
}

void ohci_ring_init(struct ohci_ring *ring)
{
    ring->first = ring->count = ring->retired = 0;
    ring->ed.head = ring->ed.tail = td_address(ring, 0);
}

static void add_td(struct ohci_ring *ring, enum ohci_pid pid, uint32_t flags, uint32_t buffer,
                   uint32_t length)
{
    uint32_t index = ring->first + ring->count++;
    struct ohci_td *td = &ring->td[index_of(index)];

    td->control = flags | (uint32_t)pid << OHCI_TD_PID | DELAY_LATER << OHCI_TD_DELAY |
                  OHCI_TD_NOT_ACCESSED << OHCI_TD_CODE | (pid == OHCI_IN ? OHCI_TD_ROUNDING : 0);
    td->buffer = length != 0 ? buffer : 0;
    td->buffer_end = length != 0 ? buffer + length - 1 : 0;
    td->next = td_address(ring, index + 1);
}

/* Hands over what was added. The last TD brings the others back with it. */
static void start(struct ohci_ring *ring)
{
    ring->td[index_of(ring->first + ring->count - 1u)].control &= ~(7u << OHCI_TD_DELAY);
    ring->ed.tail = td_address(ring, ring->first + ring->count);
}

void ohci_ring_control(struct ohci_ring *ring, const volatile void *setup, bool in, void *buffer,
                       uint32_t length)
{
    ASSERT(ring->count == 0);
    ring->is_control = true;
    add_td(ring, OHCI_SETUP, OHCI_TD_DATA0, (uint32_t)(uintptr_t)setup, sizeof(struct usb_setup));
    if (length > 0)
        add_td(ring, in ? OHCI_IN : OHCI_OUT, OHCI_TD_DATA1, usb_phys(buffer), length);
    /* The status stage runs against the data; without data it is IN. */
    add_td(ring, in && length > 0 ? OHCI_OUT : OHCI_IN, OHCI_TD_DATA1, 0, 0);
    start(ring);
}

void ohci_ring_interrupt(struct ohci_ring *ring, bool in, void *buffer, uint32_t length)
{
    ASSERT(ring->count == 0);
    ring->is_control = false;
    add_td(ring, in ? OHCI_IN : OHCI_OUT, 0, usb_phys(buffer), length); /* the ED has the toggle */
    start(ring);
}

bool ohci_ring_retire(struct ohci_ring *ring, uint32_t address)
{
    for (uint32_t i = 0; i < ring->count; i++) {
        uint32_t index = index_of(ring->first + i);
        if (td_address(ring, index) != address)
            continue;
        bool expected = !(ring->retired & 1u << index);
        ring->retired |= (uint8_t)(1u << index);
        return expected;
    }
    return false;
}

enum usb_status ohci_code_status(uint32_t code)
{
    if (code == CODE_NO_ERROR)
        return USB_OK;
    return code == CODE_STALL ? USB_STALLED : USB_FAILED;
}

/* The controller moves `buffer` on, and sets it to 0 when all is done. */
static uint32_t bytes_moved(const struct ohci_td *td, uint32_t start_address, uint32_t length)
{
    uint32_t moved = td->buffer == 0 ? length : td->buffer - start_address;

    return moved < length ? moved : length;
}

enum usb_status ohci_ring_result(const struct ohci_ring *ring, const void *buffer, uint32_t length,
                                 uint16_t *actual)
{
    *actual = 0;
    for (uint32_t i = 0; i < ring->count; i++) {
        uint32_t index = index_of(ring->first + i);
        const struct ohci_td *td = &ring->td[index];
        bool is_data = !ring->is_control || i == 1; /* or the status stage, and length is 0 */

        if (!(ring->retired & 1u << index))
            return USB_PENDING;
        if (is_data)
            *actual = (uint16_t)bytes_moved(td, usb_phys(buffer), length);
        enum usb_status status = ohci_code_status(td->control >> OHCI_TD_CODE);
        if (status != USB_OK)
            return status;
    }
    return USB_OK;
}

bool ohci_ring_settled(const struct ohci_ring *ring)
{
    uint32_t head = ring->ed.head & OHCI_POINTER;

    for (uint32_t i = 0; i < ring->count; i++) {
        uint32_t index = index_of(ring->first + i);
        if (td_address(ring, index) == head)
            break; /* from here on they are still in the list */
        if (!(ring->retired & 1u << index))
            return false;
    }
    return true;
}

void ohci_ring_clear(struct ohci_ring *ring)
{
    ring->first = (uint8_t)index_of(ring->first + ring->count);
    ring->count = ring->retired = 0;
    ring->ed.head = ring->ed.tail | (ring->ed.head & OHCI_ED_CARRY);
}
