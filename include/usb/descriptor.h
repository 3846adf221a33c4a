/*
 * USB descriptors: what a device says of itself, as plain structs. Pure.
 *
 * All bytes are the device's, and any of them may lie: nothing is read outside of the `length`
 * bytes that arrived, and a descriptor that contradicts itself is refused or ends the walk.
 *
 * Source: USB 2.0, "Standard USB Descriptor Definitions" and "Hub Descriptor"; USB 3.2, "Hub
 * Descriptor".
 */
#ifndef USB_DESCRIPTOR_H
#define USB_DESCRIPTOR_H

#include <types.h>
#include <usb/host.h>

enum usb_descriptor_type {
    USB_DESCRIPTOR_DEVICE = 1,
    USB_DESCRIPTOR_CONFIGURATION = 2,
    USB_DESCRIPTOR_STRING = 3,
    USB_DESCRIPTOR_INTERFACE = 4,
    USB_DESCRIPTOR_ENDPOINT = 5,
    USB_DESCRIPTOR_HUB = 0x29,
    USB_DESCRIPTOR_SUPER_HUB = 0x2a,
};

#define USB_DEVICE_DESCRIPTOR_SIZE        18u
#define USB_CONFIGURATION_DESCRIPTOR_SIZE 9u

#define USB_CLASS_HID                     3
#define USB_CLASS_HUB                     9
#define USB_HID_BOOT                      1 /* subclass */
#define USB_HID_KEYBOARD                  1 /* protocol */
#define USB_HUB_MULTI_TT                  2 /* protocol: a transaction translator for each port */

struct usb_device_descriptor {
    uint16_t version; /* of USB, as 0x0210 */
    uint8_t class, subclass, protocol;
    uint16_t vendor, product;
    uint8_t manufacturer_string, product_string; /* 0: none */
};

/* False when it is no complete device descriptor. */
bool usb_parse_device(const uint8_t *bytes, uint32_t length,
                      struct usb_device_descriptor *descriptor) MUST_CHECK;

/*
 * Endpoint 0's packet size: from the first 8 bytes of the device descriptor, 0 if it is none that
 * the speed allows; and what to begin with before it is known.
 */
uint16_t usb_parse_control_packet_size(const uint8_t *bytes, uint32_t length,
                                       enum usb_speed speed) MUST_CHECK;
uint16_t usb_first_control_packet_size(enum usb_speed speed);

struct usb_configuration {
    uint8_t value;         /* for SET_CONFIGURATION */
    uint16_t total_length; /* of all its descriptors, itself included; at least 9 */
};

bool usb_parse_configuration(const uint8_t *bytes, uint32_t length,
                             struct usb_configuration *configuration) MUST_CHECK;

/* An interface, in one of its settings, with the first interrupt endpoint towards the host. */
struct usb_interface {
    uint8_t number, setting;
    uint8_t class, subclass, protocol;
    struct {
        uint8_t address; /* 0: there is none */
        uint16_t packet_size;
        uint8_t interval; /* as it stands there: usb_interval_ms() */
    } interrupt_in;
};

/*
 * The next interface behind *offset in a whole configuration of `length` bytes. Start with 0;
 * false at the end, or where a length leads nowhere.
 */
bool usb_next_interface(const uint8_t *bytes, uint32_t length, uint32_t *offset,
                        struct usb_interface *interface) MUST_CHECK;

/* bInterval as milliseconds, 1 to 255. */
uint8_t usb_interval_ms(enum usb_speed speed, uint8_t interval);

struct usb_hub_descriptor {
    uint8_t ports; /* 1 to USB_HUB_MAX_PORTS */
    uint8_t think_time;
    uint16_t power_good_ms; /* from a port's power to a device that answers */
};

#define USB_HUB_MAX_PORTS 15u /* more have no place in a route */

/* False when it is none. A hub of more ports is used as far as USB_HUB_MAX_PORTS. */
bool usb_parse_hub(const uint8_t *bytes, uint32_t length,
                   struct usb_hub_descriptor *descriptor) MUST_CHECK;

/* A string descriptor as ASCII, cut to `size` with the terminator; what is not ASCII becomes '?'.
 */
void usb_parse_string(const uint8_t *bytes, uint32_t length, char *text, size_t size);

#endif
