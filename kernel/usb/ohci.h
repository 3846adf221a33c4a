/*
 * What the files of the OHCI driver share: a controller, its registers and its queues.
 *
 *   ohci.c        finding and starting controllers
 *   ohci_ports.c  root ports, and their power
 *   ohci_device.c queues: devices, endpoints and transfers; watching
 *   ohci_ring.c   a queue's transfer descriptors
 *   ohci_mmio.c   access to registers
 */
#ifndef KERNEL_USB_OHCI_H
#define KERNEL_USB_OHCI_H

#include "ohci_ring.h"
#include <lib/list.h>
#include <types.h>
#include <usb/host.h>
#include <usb/periodic.h>
#include <usb/pool.h>

/* Registers, Hc... in the specification. */
#define CONTROL                0x04
#define COMMAND_STATUS         0x08
#define INTERRUPT_STATUS       0x0c
#define CONTROL_CURRENT_ED     0x24
#define FM_NUMBER              0x3c
#define RH_DESCRIPTOR_A        0x48
#define RH_PORT_STATUS         0x54

#define CONTROL_CONTROL_LIST   (1u << 4)
#define COMMAND_CONTROL_FILLED (1u << 1)
#define FM_NUMBER_MASK         0xffffu
#define ALL_ONES               0xffffffffu /* also what reads where nothing is */
#define MAX_PORTS              15u
#define QUEUE_SIZE             128u
#define QUEUE_PAGES            2u

struct ohci_hcca {
    volatile uint32_t interrupt[PERIODIC_FRAMES];
    volatile uint16_t frame, pad;
    volatile uint32_t done_head;
};

struct ohci_queue {
    struct ohci_ring ring;         /* first: the controller's view */
    volatile uint32_t setup[2];    /* the setup packet of a pending control transfer */
    struct list open;              /* in ohci.open */
    struct ohci_queue *head;       /* the skeleton that it hangs behind */
    struct usb_transfer *transfer; /* pending, or NULL */
    uint8_t address;               /* of the device, as it answers now */
    bool taking_back;              /* cancel() waits for the controller: poll() leaves it alone */
};
_Static_assert(sizeof(struct ohci_queue) <= QUEUE_SIZE, "a queue fits its piece");

struct ohci {
    struct usb_controller usb; /* first: the core's pointer is ours */
    volatile uint8_t *registers;
    struct ohci_hcca *hcca;
    struct usb_pool queues;
    struct ohci_queue *interrupt[PERIODIC_QUEUES];
    struct ohci_queue *control;
    struct list open; /* queues of endpoints */
};

static inline struct ohci *ohci_of(struct usb_controller *controller)
{
    return (struct ohci *)controller;
}

static inline struct ohci *ohci_of_endpoint(const struct usb_endpoint *endpoint)
{
    return ohci_of(endpoint->device->controller);
}

uint32_t ohci_read(const struct ohci *ohci, uint32_t offset);
void ohci_write(struct ohci *ohci, uint32_t offset, uint32_t value);

/* A warning about this controller. */
void ohci_warn(const struct ohci *ohci, const char *message);

/* Keeps the controller from running and from memory. */
void ohci_stop(struct ohci *ohci);

/* How many root ports there are, 1 to MAX_PORTS; 0: it does not say. */
uint32_t ohci_count_ports(const struct ohci *ohci);

/* All ports get power. */
void ohci_power_ports(struct ohci *ohci);

/* HcRhPortStatus of a root port. */
static inline uint32_t ohci_port_register(uint32_t port)
{
    return RH_PORT_STATUS + 4 * (port - 1);
}

/* The rest are functions of usb_controller_ops. */
void ohci_port_status(struct usb_controller *controller, uint32_t port,
                      struct usb_port_status *status);
bool ohci_port_reset(struct usb_controller *controller, uint32_t port,
                     struct usb_port_status *status);
void ohci_port_disable(struct usb_controller *controller, uint32_t port);
bool ohci_device_open(struct usb_device *device);
bool ohci_device_address(struct usb_device *device);
bool ohci_device_update(struct usb_device *device);
void ohci_device_close(struct usb_device *device);
bool ohci_endpoint_open(struct usb_endpoint *endpoint);
void ohci_endpoint_close(struct usb_endpoint *endpoint);
bool ohci_endpoint_reset(struct usb_endpoint *endpoint);
bool ohci_submit(struct usb_transfer *transfer);
void ohci_cancel(struct usb_transfer *transfer);
void ohci_poll(struct usb_controller *controller);

#endif
