/*
 * UHCI's transfer descriptors (TDs): a transfer as a chain of them, one a packet, and what became
 * of it. Pure.
 *
 * A queue head's `element` points at the first TD that is not done. The controller moves it on
 * after each packet that went well, and stops at one that did not, or that was shorter than its TD
 * (SPD): the rest of the chain then waits for the driver.
 *
 * Source: Intel Universal Host Controller Interface (UHCI) Design Guide 1.1, "Transfer Descriptor
 * (TD)" and "Queue Head (QH)".
 */
#ifndef USB_UHCI_TD_H
#define USB_UHCI_TD_H

#include <types.h>
#include <usb/host.h>
#include <usb/pool.h>

/* Links: physical addresses, multiples of 16, and in their lowest bits: */
#define UHCI_TERMINATE        (1u << 0)
#define UHCI_QUEUE            (1u << 1) /* it points at a queue head */
#define UHCI_DEPTH            (1u << 2) /* go on with it in this frame */

#define UHCI_TD_ACTUAL        0x7ffu /* bytes - 1 */
#define UHCI_TD_BITSTUFF      (1u << 17)
#define UHCI_TD_CRC_TIMEOUT   (1u << 18)
#define UHCI_TD_NAK           (1u << 19)
#define UHCI_TD_BABBLE        (1u << 20)
#define UHCI_TD_BUFFER_ERROR  (1u << 21)
#define UHCI_TD_STALLED       (1u << 22)
#define UHCI_TD_ACTIVE        (1u << 23)
#define UHCI_TD_LOW_SPEED     (1u << 26)
#define UHCI_TD_THREE_ERRORS  (3u << 27) /* the third one ends it */
#define UHCI_TD_SHORT_PACKET  (1u << 29) /* SPD: stop the queue at a short packet */

#define UHCI_TOKEN_TOGGLE     (1u << 19)
#define UHCI_TOKEN_MAX_LENGTH 21 /* shift; bytes - 1, 0x7ff for none */

enum uhci_pid { UHCI_IN = 0x69, UHCI_OUT = 0xe1, UHCI_SETUP = 0x2d };

struct uhci_td {
    volatile uint32_t link, status, token, buffer;
};

/* Whom packets go to. */
struct uhci_target {
    uint8_t address, endpoint; /* the endpoint's number, without its direction */
    uint16_t packet_size;      /* 1 to 1023 */
    bool low_speed;
};

/* The TDs of one transfer. All zero is an empty one. */
struct uhci_chain {
    struct uhci_td *first, *last;
    struct uhci_td *current; /* the first that is not known to be done */
    uint16_t actual;         /* data bytes moved by those before it */
    bool control;            /* the first is the setup stage, the last the status stage */
};

/*
 * Makes the chain of a control transfer. setup: eight bytes that the controller reaches; in: the
 * data goes to the host. False, and nothing is taken, when the pool has too few TDs.
 */
bool uhci_chain_control(struct uhci_chain *chain, struct usb_pool *pool,
                        const struct uhci_target *target, const volatile void *setup, bool in,
                        void *buffer, uint32_t length) MUST_CHECK;

/* The same of an interrupt transfer that begins with this toggle; length 0: one empty packet. */
bool uhci_chain_interrupt(struct uhci_chain *chain, struct usb_pool *pool,
                          const struct uhci_target *target, bool toggle, bool in, void *buffer,
                          uint32_t length) MUST_CHECK;

/* Gives the TDs back; the controller has none of them any more. */
void uhci_chain_free(struct uhci_chain *chain, struct usb_pool *pool);

/*
 * Looks how far the controller is. `element` is the queue head's; after a short packet of a
 * control transfer it is set to the status stage. Any answer but USB_PENDING ends the chain, and
 * the controller neither reads nor writes it, or `element`, any more.
 */
enum usb_status uhci_chain_advance(struct uhci_chain *chain, volatile uint32_t *element);

/* The toggle that the endpoint's next packet has, after the chain ended or was taken back. */
bool uhci_chain_next_toggle(const struct uhci_chain *chain);

/* What a TD's status word says; USB_PENDING while it is active. */
enum usb_status uhci_td_status(uint32_t status);

#endif
