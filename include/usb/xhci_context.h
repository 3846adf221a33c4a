/*
 * xHCI's contexts, and the speeds of its ports, as words. Pure.
 *
 * Source: eXtensible Host Controller Interface 1.2, "Slot Context", "Endpoint Context" and "xHCI
 * Supported Protocol Capability".
 */
#ifndef USB_XHCI_CONTEXT_H
#define USB_XHCI_CONTEXT_H

#include <types.h>
#include <usb/host.h>

#define XHCI_CONTEXTS    32u /* of a device: the slot's, and one for each endpoint */
#define XHCI_MAX_SPEEDS  15u
#define XHCI_CONTROL_DCI 1u /* endpoint 0's place among the contexts */

/* Ports that speak the same protocol. */
struct xhci_protocol {
    uint8_t major;             /* 2 or 3; 0: not known */
    uint8_t first_port, ports; /* 1 and up */
    uint8_t slot_type;
    uint8_t speed_count; /* 0: the speeds of the specification's table */
    uint32_t speeds[XHCI_MAX_SPEEDS];
};

/* Which of the core's speeds a port's speed ID means. */
enum usb_speed xhci_speed(const struct xhci_protocol *protocol, uint32_t id);

/* The ID for a device of that speed behind a hub. */
uint32_t xhci_speed_id(const struct xhci_protocol *protocol, enum usb_speed speed);

/* The device context index of an endpoint address. */
uint32_t xhci_dci(uint8_t address);

/*
 * The four words of a slot context that the driver writes; the rest stays 0.
 * speed_id: of the device's own speed; entries: the highest index in use; translator_slot: of
 * device->translator, if there is one.
 */
void xhci_slot_context(uint32_t *words, const struct usb_device *device, uint32_t speed_id,
                       uint32_t entries, uint32_t translator_slot);

/* The five words of an endpoint's. ring: where its transfers begin, with the cycle state. */
void xhci_endpoint_context(uint32_t *words, const struct usb_endpoint *endpoint, uint32_t ring);

#endif
