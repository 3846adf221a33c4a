/*
 * What the files of the xHCI driver share: a controller, its registers, a device's slot.
 *
 *   xhci.c         finding and starting controllers, commands, events
 *   xhci_ports.c   root ports
 *   xhci_device.c  slots, endpoints and transfers
 *   xhci_mmio.c    access to the registers
 *
 * Registers are read and written by 32 bits only. Structures in memory lie in single pages whose
 * physical address is their address, so the upper halves of all 64-bit addresses are 0.
 */
#ifndef KERNEL_USB_XHCI_H
#define KERNEL_USB_XHCI_H

#include <drivers/pci.h>
#include <usb/host.h>
#include <usb/xhci_context.h>
#include <usb/xhci_ring.h>

#define XHCI_MAX_SLOTS     255u
#define XHCI_MAX_PROTOCOLS 8u

/* Operational registers, from x->operational. */
#define OP_COMMAND         0x00
#define OP_STATUS          0x04
#define OP_PAGE_SIZE       0x08
#define OP_NOTIFICATION    0x14
#define OP_COMMAND_RING    0x18
#define OP_CONTEXT_ARRAY   0x30
#define OP_CONFIGURE       0x38
#define OP_PORTS           0x400
#define OP_PORT_STRIDE     0x10

/* Commands. */
#define CMD_ENABLE_SLOT    9
#define CMD_DISABLE_SLOT   10
#define CMD_ADDRESS_DEVICE 11
#define CMD_CONFIGURE      12
#define CMD_EVALUATE       13
#define CMD_RESET_ENDPOINT 14
#define CMD_STOP_ENDPOINT  15
#define CMD_SET_DEQUEUE    16
#define CMD_NO_OP          23

#define CMD_BLOCK_ADDRESS  (1u << 9) /* of CMD_ADDRESS_DEVICE: the device is not told */
#define CMD_ENDPOINT(dci)  ((uint32_t)(dci) << 16)
#define CMD_SLOT(slot)     ((uint32_t)(slot) << 24)

/* Completion codes. */
#define CODE_SUCCESS       1
#define CODE_BABBLE        3
#define CODE_TRANSACTION   4
#define CODE_STALL         6
#define CODE_SHORT_PACKET  13
#define CODE_ABORTED       25
#define CODE_STOPPED       26
#define CODE_STOPPED_SHORT 28
#define CODE_SPLIT         36

struct xhci_endpoint {
    struct xhci_ring ring;
    struct usb_transfer *pending;
    uint32_t blocks[XHCI_TD_MAX]; /* of the pending transfer: physical addresses */
    uint32_t count;
    uint16_t moved;  /* as far as known */
    bool broken_off; /* a control transfer, in the middle */
    bool halted;     /* as an event said */
    bool stopped;    /* by a command, and no doorbell was rung since */
};

/* A device that has a slot. */
struct xhci_device {
    uint32_t slot;
    uint32_t speed_id;                              /* as its port said when it was opened */
    uint8_t *context;                               /* the controller's */
    uint8_t *input;                                 /* what commands are given */
    struct xhci_endpoint *endpoints[XHCI_CONTEXTS]; /* by context index */
};

/* What the controller finds its other structures by, in one page. */
struct xhci_tables {
    uint64_t contexts[XHCI_MAX_SLOTS + 1];
    struct {
        uint64_t base;
        uint32_t size;
        uint32_t reserved;
    } segments[1] __attribute__((aligned(64)));
};

struct xhci {
    struct usb_controller controller; /* first */
    const struct pci_device_info *info;
    volatile uint8_t *registers;
    uint32_t size; /* of the registers, in bytes */
    uint32_t operational, runtime, doorbells;
    uint32_t context_size; /* 32 or 64 */
    uint32_t slots;

    struct xhci_protocol protocols[XHCI_MAX_PROTOCOLS];
    uint32_t protocol_count;

    struct xhci_tables *tables;
    struct xhci_device *devices[XHCI_MAX_SLOTS + 1]; /* by slot */
    struct xhci_event_ring events;

    /* One command at a time, by the thread "usb". */
    struct xhci_ring commands;
    uint32_t command;     /* its physical address, or 0 */
    uint8_t command_code; /* how it ended, or 0 */
    uint8_t command_slot;
};

/*
 * A register; offset: a multiple of 4 below x->size. In a file of their own, so that a test can be
 * the controller.
 */
uint32_t xhci_read(const struct xhci *x, uint32_t offset);
void xhci_write(struct xhci *x, uint32_t offset, uint32_t value);

static inline void xhci_ring_doorbell(struct xhci *x, uint32_t slot, uint32_t target)
{
    xhci_write(x, x->doorbells + 4 * slot, target);
}

static inline struct xhci *xhci_of(struct usb_controller *controller)
{
    return (struct xhci *)controller;
}

/*
 * Gives a command to the controller and waits for it. parameter: an address; control: its type and
 * what belongs to it, as CMD_SLOT(). Returns the completion code, 0 when the controller died.
 * *slot, which may be NULL, is the slot that the answer names. By the thread "usb".
 */
uint8_t xhci_command(struct xhci *x, uint32_t type, uint32_t parameter, uint32_t control,
                     uint8_t *slot);

/* The controller failed for good: says so once and takes its access to memory. Any context. */
void xhci_die(struct xhci *x, const char *why, uint32_t value);

/* Ports. */
bool xhci_find_protocols(struct xhci *x);
void xhci_power_ports(struct xhci *x);
const struct xhci_protocol *xhci_port_protocol(const struct xhci *x, uint32_t port);
uint32_t xhci_port_speed_id(const struct xhci *x, uint32_t port);
void xhci_port_status(struct usb_controller *controller, uint32_t port,
                      struct usb_port_status *status);
bool xhci_port_reset(struct usb_controller *controller, uint32_t port,
                     struct usb_port_status *status);
void xhci_port_disable(struct usb_controller *controller, uint32_t port);

/* The offset of the next extended capability of that ID behind `from` (0: the first), or 0. */
uint32_t xhci_find_capability(const struct xhci *x, uint32_t id, uint32_t from);

/* Slots and transfers: the functions of usb_controller_ops. */
bool xhci_device_open(struct usb_device *device);
bool xhci_device_address(struct usb_device *device);
bool xhci_device_update(struct usb_device *device);
void xhci_device_close(struct usb_device *device);
bool xhci_endpoint_open(struct usb_endpoint *endpoint);
void xhci_endpoint_close(struct usb_endpoint *endpoint);
bool xhci_endpoint_reset(struct usb_endpoint *endpoint);
bool xhci_submit(struct usb_transfer *transfer);
void xhci_cancel(struct usb_transfer *transfer);

/* A transfer event. Interrupts are off. */
void xhci_transfer_event(struct xhci *x, const struct xhci_trb *event);

#endif
