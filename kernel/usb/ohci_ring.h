/*
 * An OHCI endpoint: its descriptor (ED), and the transfer descriptors (TDs) of the one transfer
 * that may be pending, in a ring. Pure.
 *
 * The controller runs the TDs from `head` up to `tail`, which is an unused one: the next transfer
 * begins in it. A TD that is done, well or badly, leaves the list for the controller's done queue
 * and is the driver's again when that queue was handed over: ohci_ring_retire(). After an error
 * the ED is halted. One TD describes a whole stage, of up to a page: a control transfer takes
 * three at most, so that with the unused one the ring of four is never too small.
 *
 * Source: OpenHCI Specification 1.0a, "Endpoint Descriptor", "General Transfer Descriptor",
 * "Completion Codes".
 */
#ifndef USB_OHCI_RING_H
#define USB_OHCI_RING_H

#include <types.h>
#include <usb/host.h>

#define OHCI_RING_TDS        4u
#define OHCI_POINTER         0xfffffff0u

/* ED, control */
#define OHCI_ED_ENDPOINT     7 /* shifts */
#define OHCI_ED_PACKET_SIZE  16
#define OHCI_ED_LOW_SPEED    (1u << 13)
#define OHCI_ED_SKIP         (1u << 14)
/* ED, head */
#define OHCI_ED_HALTED       (1u << 0)
#define OHCI_ED_CARRY        (1u << 1) /* the next packet's toggle */

/* TD, control */
#define OHCI_TD_ROUNDING     (1u << 18) /* a short packet is no error */
#define OHCI_TD_PID          19         /* shift */
#define OHCI_TD_DELAY        21         /* shift: frames until the done queue is handed over */
#define OHCI_TD_DATA0        (2u << 24)
#define OHCI_TD_DATA1        (3u << 24)
#define OHCI_TD_CODE         28 /* shift */
#define OHCI_TD_NOT_ACCESSED 15u

enum ohci_pid { OHCI_SETUP = 0, OHCI_OUT = 1, OHCI_IN = 2 };

struct ohci_ed {
    volatile uint32_t control, tail, head, next;
};

struct ohci_td {
    volatile uint32_t control, buffer, next, buffer_end;
};

/* At a multiple of 16. */
struct ohci_ring {
    struct ohci_ed ed;
    struct ohci_td td[OHCI_RING_TDS];
    uint8_t first;   /* the pending transfer's first TD; without a transfer the unused one */
    uint8_t count;   /* its TDs; 0: there is no transfer */
    uint8_t retired; /* which of td[] have come back, as bits */
    bool is_control;
};

/* An empty ring; the ED's control word and link are the caller's. */
void ohci_ring_init(struct ohci_ring *ring);

/*
 * Starts a transfer on an empty ring: the controller sees it at once. setup: eight bytes that the
 * controller reaches; in: the data goes to the host; buffer: crosses no page.
 */
void ohci_ring_control(struct ohci_ring *ring, const volatile void *setup, bool in, void *buffer,
                       uint32_t length);
void ohci_ring_interrupt(struct ohci_ring *ring, bool in, void *buffer, uint32_t length);

/* A TD came back. False when the address is not that of a TD of the pending transfer. */
bool ohci_ring_retire(struct ohci_ring *ring, uint32_t address) MUST_CHECK;

/*
 * What became of the transfer; buffer, length: as it was started with. USB_PENDING until the
 * last TD or a failed one has come back. *actual: data bytes moved so far as is known.
 */
enum usb_status ohci_ring_result(const struct ohci_ring *ring, const void *buffer, uint32_t length,
                                 uint16_t *actual);

/* Whether all TDs that the controller has taken from the list have come back. */
bool ohci_ring_settled(const struct ohci_ring *ring);

/*
 * Forgets the transfer and any halt; the toggle stays. It has ended, or the controller skips the
 * ED and the ring is settled.
 */
void ohci_ring_clear(struct ohci_ring *ring);

/* What a completion code means. */
enum usb_status ohci_code_status(uint32_t code);

#endif
