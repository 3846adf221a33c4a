/*
 * USB from below: what a host controller's driver gives to the core (usb/core.c), and the core to
 * it. A controller knows its registers, rings and schedules; it knows no device, descriptor or key.
 *
 *   xhci.c ehci.c ohci.c uhci.c --usb_controller_ops--> core.c --> hub.c, keyboard.c
 *
 * No controller interrupts. usb_core polls each of them from the timer's tick, and a thread that
 * waits for a transfer polls meanwhile: poll() finds what has ended and reports it by
 * usb_transfer_done(), whose callbacks may submit again at once. All transfers of a controller are
 * guarded by interrupts off.
 *
 * Root ports are asked and reset through the same functions as a hub's: the core sees one tree.
 */
#ifndef USB_HOST_H
#define USB_HOST_H

#include <types.h>

struct usb_device;
struct usb_transfer;

enum usb_speed { USB_SPEED_LOW, USB_SPEED_FULL, USB_SPEED_HIGH, USB_SPEED_SUPER };

/* USB 2.0, "USB Device Requests": the eight bytes of a setup packet. */
struct usb_setup {
    uint8_t request_type;
    uint8_t request;
    uint16_t value, index, length;
};

enum usb_status {
    USB_OK,
    USB_PENDING,   /* submitted and not ended yet */
    USB_STALLED,   /* the endpoint refused */
    USB_FAILED,    /* no answer, bad CRC, babble: the bus gave up */
    USB_CANCELLED, /* taken back, or the device is gone */
};

/* An endpoint that a class driver opened; endpoint 0 is opened with the device. */
struct usb_endpoint {
    struct usb_device *device;
    uint8_t address; /* as in its descriptor: bit 7 set for IN */
    uint16_t packet_size;
    uint8_t interval_ms; /* interrupt endpoints: how often it wants to be asked, 1 to 255 */
    void *host;          /* the controller's own */
};

/*
 * One transfer. The buffer lies in identity-mapped memory and does not cross a page: buffers come
 * from usb_alloc_page(). At most one transfer of an endpoint is pending.
 */
struct usb_transfer {
    struct usb_endpoint *endpoint;
    struct usb_setup setup; /* endpoint 0 only */
    void *buffer;
    uint16_t length;
    uint16_t actual; /* bytes moved */
    volatile enum usb_status status;
    void (*done)(struct usb_transfer *transfer); /* interrupts off; may submit again */
    void *arg;                                   /* for done() */
};

/* A port of a root hub or of a hub, as the core sees it. */
struct usb_port_status {
    bool connected, enabled, powered;
    bool changed; /* connected or enabled changed since last asked: the question clears it */
    enum usb_speed speed; /* right once enabled, on a hub also before */
};

/*
 * A device. The core owns it; below the line is for controllers to read, `host` to use.
 * On controllers that address devices themselves (xHCI) `address` is the core's name only.
 */
struct usb_device {
    struct usb_controller *controller;
    struct usb_device *parent; /* the hub it is plugged into; NULL: a root port */
    uint8_t port;              /* of that hub or root hub, 1 and up */
    uint8_t root_port;         /* the root port above all hubs, 1 and up */
    uint8_t depth;             /* hubs between: 0 at a root port, at most 5 */
    uint32_t route;            /* xHCI's route string: 4 bits a hub below the root port */
    enum usb_speed speed;
    uint8_t address;               /* 1 to 127; 0: not addressed yet */
    struct usb_device *translator; /* the high-speed hub that splits for a slower device, or NULL */
    uint8_t translator_port;       /* its port, on the way to the device */
    struct usb_endpoint control;   /* endpoint 0 */
    bool is_hub;
    uint8_t hub_ports;
    uint8_t hub_think_time; /* of wHubCharacteristics: 0 to 3, for 8 to 32 bit times */
    bool hub_multi_tt;      /* a translator for each port is in use */
    void *host;             /* the controller's own */

    struct usb_device_core *core; /* the core's own */
};

/*
 * What a controller does. Where nothing else is said: called by the thread "usb" with interrupts
 * on, may sleep, and every wait has a bound.
 */
struct usb_controller_ops {
    /* Root ports, 1 to `ports`. reset() drives the reset and waits; true: the port is enabled. */
    void (*port_status)(struct usb_controller *controller, uint32_t port,
                        struct usb_port_status *status);
    bool (*port_reset)(struct usb_controller *controller, uint32_t port,
                       struct usb_port_status *status);
    void (*port_disable)(struct usb_controller *controller, uint32_t port);

    /*
     * Makes endpoint 0 usable, with control.packet_size as the core guesses it from the speed, and
     * the device answers at address 0. device->host is the controller's to set.
     */
    bool (*device_open)(struct usb_device *device);
    /* The device gets `device->address` (the core chose it). After it the core reads descriptors.
     */
    bool (*device_address)(struct usb_device *device);
    /* endpoint 0's packet size is known now, or hub_ and is_hub were set. */
    bool (*device_update)(struct usb_device *device);
    /* Forgets the device. All its endpoints were closed but the control endpoint. */
    void (*device_close)(struct usb_device *device);

    /* An interrupt endpoint of an addressed device. endpoint->host is the controller's to set. */
    bool (*endpoint_open)(struct usb_endpoint *endpoint);
    void (*endpoint_close)(struct usb_endpoint *endpoint);
    /*
     * After a stall or a failure, with nothing pending: the endpoint can be used again, its toggle
     * is DATA0 (the core has cleared the halt at the device). Called for endpoint 0, too, where
     * the device has nothing to clear; a controller that needs nothing there returns true.
     */
    bool (*endpoint_reset)(struct usb_endpoint *endpoint);

    /* Starts a transfer; false: the controller cannot, nothing was started. Interrupts are off. */
    bool (*submit)(struct usb_transfer *transfer);
    /* Takes a pending transfer back; it is ended by usb_transfer_done() before this returns. */
    void (*cancel)(struct usb_transfer *transfer);
    /* Looks for what has ended. Interrupts are off; bounded, no sleeping, no heap. */
    void (*poll)(struct usb_controller *controller);
    /* A line for the command `usb`: state, registers that tell what is wrong. May be NULL. */
    void (*describe)(struct usb_controller *controller);
};

/* A controller. Its driver embeds this in its own struct and keeps it for good. */
struct usb_controller {
    const char *kind; /* "xHCI", "EHCI", "OHCI", "UHCI" */
    uint16_t pci;     /* pci_address_t */
    const struct usb_controller_ops *ops;
    uint32_t ports;
    bool dead; /* it failed for good: nothing more is asked of it */

    /* The core's own. */
    uint64_t addresses[2];
    struct usb_controller *next;
};

/*
 * A controller is up and its ports have power: from here on the core asks it. Called by the
 * drivers' start functions, in the thread "usb". False, with a message, when there is no memory to
 * keep track of it: the driver then stops it again.
 */
bool usb_register_controller(struct usb_controller *controller) MUST_CHECK;

/* A transfer has ended: sets its status and bytes and calls done(). Interrupts are off. */
void usb_transfer_done(struct usb_transfer *transfer, enum usb_status status, uint16_t actual);

/*
 * Zeroed memory for rings, schedules and buffers: one page that the controller reaches, whose
 * physical address is its address. NULL when there is none.
 */
void *usb_alloc_page(void) MUST_CHECK;
void usb_free_page(void *page);

/* The physical address of something in such a page. */
static inline uint32_t usb_phys(const void *pointer)
{
    return (uint32_t)(uintptr_t)pointer;
}

/*
 * Waits up to `ms` milliseconds until ready(arg) is true, looking often at first and sleeping
 * between looks later. False when it never was.
 */
bool usb_wait(bool (*ready)(void *arg), void *arg, uint32_t ms);

/* Each tries all functions of its class and registers what comes up. By the thread "usb". */
void xhci_start(void);
void ehci_start(void); /* before the companions: it decides who gets the ports */
void ohci_start(void);
void uhci_start(void);

#endif
