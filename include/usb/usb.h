/*
 * USB as the rest of the kernel sees it. Keyboards come and go through drivers/input.h.
 */
#ifndef USB_USB_H
#define USB_USB_H

#include <types.h>
#include <usb/core.h>

/*
 * Starts the controllers, if there are any, and the thread "usb" that serves them. Returns when
 * what is plugged in was brought up, or after a few seconds: the rest then comes later. PCI and
 * input must be up.
 */
void usb_init(void);

/* What the tree looks like at one moment. */
struct usb_device_info {
    uint8_t depth, port, root_port;
    enum usb_speed speed;
    uint8_t address;
    struct usb_device_descriptor descriptor;
    uint8_t class; /* of its first interface, or of its driver's */
    char manufacturer[USB_STRING_SIZE], product[USB_STRING_SIZE];
    const char *driver; /* NULL: none */
    uint8_t hub_ports;  /* 0: not a hub */
};

/* The controller with that index, NULL behind the last; they stay. Any thread. */
struct usb_controller *usb_controller_get(uint32_t index);

/*
 * The device with that index on a controller, a hub before what is behind it; false behind the
 * last. Waits while the thread "usb" takes a step. Any other thread.
 */
bool usb_device_get(const struct usb_controller *controller, uint32_t index,
                    struct usb_device_info *info) MUST_CHECK;

#endif
