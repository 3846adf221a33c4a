/*
 * The USB core: one tree of hubs, ports and devices, whatever controller they are on. Pure but for
 * usb/system.h.
 *
 *   usb_core_step()   looks at the ports that may have changed and brings devices up or takes them
 *                     down, by the thread "usb"; a step takes as long as its devices take
 *   usb_core_tick()   lets the controllers report what has ended, and keys repeat; in each tick
 *
 * A port with a connection that was stable for 100 ms is reset, and its device is asked for its
 * descriptors, gets an address, and goes to the first class driver that knows one of its
 * interfaces. Without such a driver it is listed and left alone. A device that fails on the way is
 * tried again, each time after a longer pause in which others have their turn, until it is given up
 * with a line in the log.
 *
 * Everything here is by the thread "usb" with interrupts on, if nothing else is said.
 */
#ifndef USB_CORE_H
#define USB_CORE_H

#include <types.h>
#include <usb/descriptor.h>
#include <usb/host.h>

#define USB_MAX_DEPTH    5u /* hubs between a root port and a device */
#define USB_STRING_SIZE  32u
#define USB_CONTROL_MAX  2048u /* bytes of a control transfer's data */
#define USB_CLASS_BUFFER 2048u /* bytes that a class driver has */

/* ---- For class drivers ---- */

/* What became of a device. */
enum usb_attach {
    USB_ATTACHED,
    USB_NOT_USED,  /* nobody can use it, now or later: it is listed only */
    USB_TRY_AGAIN, /* it failed, and may do better after another reset */
};

struct usb_class {
    const char *name;
    bool (*matches)(const struct usb_device *device, const struct usb_interface *interface);
    /* The device is configured. If it is not attached, nothing is left behind. */
    enum usb_attach (*attach)(struct usb_device *device, const struct usb_interface *interface);
    /* In each step: what has to be done by the thread. */
    void (*service)(struct usb_device *device);
    /* The device is gone, or its controller is; endpoints are closed, memory is given back. */
    void (*detach)(struct usb_device *device);
};

extern const struct usb_class usb_hub_class, usb_keyboard_class;

/* The core's part of a device. */
struct usb_device_core {
    struct usb_device device;
    struct usb_device_descriptor descriptor;
    struct usb_interface interface; /* the first one, or the driver's */
    char manufacturer[USB_STRING_SIZE], product[USB_STRING_SIZE];
    struct usb_transfer control;
    uint8_t *page;                  /* control data, and then the class driver's buffer */
    const struct usb_class *driver; /* NULL: none knows it */
    void *driver_data;
    struct usb_hub *hub; /* the device's ports, if it is a hub that works */
    bool restart;        /* usb_restart() wants it */
};

/* USB 2.0, "Setup Data Format": the parts of bmRequestType, and requests used in several places. */
#define USB_TO_HOST           0x80
#define USB_CLASS_REQUEST     0x20
#define USB_TO_INTERFACE      0x01
#define USB_TO_ENDPOINT       0x02
#define USB_TO_OTHER          0x03

#define USB_GET_STATUS        0
#define USB_CLEAR_FEATURE     1
#define USB_SET_FEATURE       3
#define USB_SET_ADDRESS       5
#define USB_GET_DESCRIPTOR    6
#define USB_CLEAR_TT_BUFFER   8 /* of hubs */
#define USB_SET_CONFIGURATION 9
#define USB_SET_INTERFACE     11

/*
 * A control transfer: sends, or with USB_TO_HOST fetches, up to `length` bytes. USB_OK also when
 * fewer came; *actual says how many and may be NULL. length: up to USB_CONTROL_MAX.
 */
enum usb_status usb_control(struct usb_device *device, const struct usb_setup *setup, void *data,
                            uint16_t *actual);

/* The same without data, or with all of it: true when just that was moved. */
bool usb_request(struct usb_device *device, uint8_t request_type, uint8_t request, uint16_t value,
                 uint16_t index, void *data, uint16_t length);

/*
 * USB 2.0, "Clear TT Buffer": after a control transfer that was broken off, the hub that splits for
 * the device still waits for the rest. Both directions; that it fails, as on a hub that was
 * pulled, changes nothing. bus_address: the device's on the bus.
 */
static inline void usb_clear_translator(const struct usb_device *device, uint32_t bus_address)
{
    struct usb_device *hub = device->translator;
    uint16_t endpoint = (uint16_t)(bus_address << 4);
    uint16_t port = hub->hub_multi_tt ? device->translator_port : 1;

    if (usb_request(hub, USB_CLASS_REQUEST | USB_TO_OTHER, USB_CLEAR_TT_BUFFER, endpoint, port,
                    NULL, 0))
        (void)usb_request(hub, USB_CLASS_REQUEST | USB_TO_OTHER, USB_CLEAR_TT_BUFFER,
                          endpoint | 0x8000, port, NULL, 0);
}

/* Opens an interface's interrupt endpoint. The struct must live until it is closed. */
bool usb_open_interrupt(struct usb_device *device, const struct usb_interface *interface,
                        struct usb_endpoint *endpoint) MUST_CHECK;

/* Takes a transfer back, if one is pending, without its done(), and closes the endpoint. */
void usb_close_interrupt(struct usb_endpoint *endpoint, struct usb_transfer *transfer);

/* After a stall or a failure of an interrupt endpoint: makes it usable again. */
bool usb_recover_interrupt(struct usb_endpoint *endpoint) MUST_CHECK;

/*
 * Nothing else helps: after this call of service() the device is detached, its port is reset, and
 * it is brought up anew. A device that needs that too often is given up.
 */
void usb_restart(struct usb_device *device);

/* Starts a transfer, any context. False: nothing was started. */
bool usb_submit(struct usb_transfer *transfer) MUST_CHECK;

/* The class driver's buffer, USB_CLASS_BUFFER bytes. */
static inline uint8_t *usb_class_buffer(struct usb_device *device)
{
    return device->core->page + USB_CONTROL_MAX;
}

/* Where a device is, as "xHCI 00:04.0 port 5.2". */
void usb_format_place(const struct usb_device *device, char *text, size_t size);

/* ---- Ports ---- */

enum usb_port_state {
    USB_PORT_EMPTY,
    USB_PORT_SETTLING, /* something is connected, but not for long enough */
    USB_PORT_USED,
    USB_PORT_FAILED, /* what is connected cannot be used */
};

struct usb_port {
    enum usb_port_state state;
    uint64_t since_ms; /* settling: from when on it counts, perhaps in the future; used */
    uint32_t attempts; /* at what is connected now */
    struct usb_device *device;
};

/* A hub's ports, or a root hub's. */
struct usb_hub {
    struct usb_controller *controller;
    struct usb_device *device; /* NULL: the root hub */
    uint32_t ports;
    uint32_t changed; /* ports of a hub that have to be looked at, 1 << port; guarded by usb_lock */
    struct usb_port *port; /* [ports + 1] */

    bool (*port_status)(struct usb_hub *hub, uint32_t port, struct usb_port_status *status);
    bool (*port_reset)(struct usb_hub *hub, uint32_t port, struct usb_port_status *status);
    void (*port_disable)(struct usb_hub *hub, uint32_t port);
};

/* Looks at a hub's ports, and at what is behind them. */
void usb_service_ports(struct usb_hub *hub);

/* All devices behind a hub are gone. */
void usb_detach_ports(struct usb_hub *hub);

/* ---- For the system ---- */

/* True: no port is settling, but for those whose devices have failed twice. */
bool usb_core_step(void);

/* Interrupts are off. */
void usb_core_tick(void);

/* What the keyboards have to do in each tick. Interrupts are off. */
void usb_keyboards_tick(uint64_t now_ms);

/* Controllers in the order in which they registered; NULL behind the last. They stay. */
struct usb_controller *usb_core_controller(uint32_t index);

/* The device with that index, a hub before what is behind it; NULL behind the last. */
const struct usb_device *usb_core_device(const struct usb_controller *controller, uint32_t index);

const char *usb_speed_text(enum usb_speed speed);

#endif
