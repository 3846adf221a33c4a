/*
 * What the files of the EHCI driver share: a controller and its registers.
 *
 *   ehci.c          finding, starting and watching controllers
 *   ehci_ports.c    root ports, and who owns them
 *   ehci_device.c   pipes: devices, endpoints and transfers
 *   ehci_quirks.c   chips that need a bit more, or are left alone
 *   ehci_queue.c    a pipe as the controller reads it
 *   ehci_schedule.c when interrupt pipes are asked
 */
#ifndef KERNEL_USB_EHCI_H
#define KERNEL_USB_EHCI_H

#include <types.h>
#include <drivers/pci.h>
#include <usb/ehci_queue.h>
#include <usb/host.h>
#include <usb/pool.h>

/* Operational registers. */
#define USBCMD                0x00
#define USBSTS                0x04
#define USBINTR               0x08
#define FRINDEX               0x0c
#define CTRLDSSEGMENT         0x10
#define PERIODICLISTBASE      0x14
#define ASYNCLISTADDR         0x18
#define CONFIGFLAG            0x40
#define PORTSC(port)          (0x40u + 4 * (port)) /* ports count from 1 */

#define USBCMD_RUN            (1u << 0)
#define USBCMD_RESET          (1u << 1)
#define USBCMD_PERIODIC       (1u << 4)
#define USBCMD_ASYNC          (1u << 5)
#define USBCMD_DOORBELL       (1u << 6) /* IAAD */
#define USBCMD_THRESHOLD_1_MS (8u << 16)
#define USBCMD_WORKING        (USBCMD_RUN | USBCMD_PERIODIC | USBCMD_ASYNC | USBCMD_THRESHOLD_1_MS)

#define USBSTS_SYSTEM_ERROR   (1u << 4)
#define USBSTS_ADVANCED       (1u << 5) /* IAA: the doorbell's answer */
#define USBSTS_HALTED         (1u << 12)
#define USBSTS_ASYNC          (1u << 15)
#define USBSTS_CLEAR          0x3fu /* ones that are written clear these */

#define EHCI_PIPE_SIZE        512u
#define EHCI_POOL_PAGES       4u
#define EHCI_PIPES            32u /* head and end among them */

struct ehci {
    struct usb_controller controller; /* first */
    char name[sizeof("EHCI 00:00.0")];
    volatile uint8_t *capability, *operational; /* registers */
    uint32_t companions;                        /* controllers that take slower devices */
    uint32_t refused;                           /* bit n: nobody can serve what is at port n */
    volatile uint32_t *frames;                  /* the periodic schedule */
    struct ehci_pipe *head;                     /* of the asynchronous schedule */
    struct ehci_pipe *end;                      /* of each frame's list */
    struct usb_pool pool;    /* of pipes; guarded, like their list, by interrupts off */
    struct ehci_pipe *pipes; /* all but head and end */
};

static inline struct ehci *ehci_of(struct usb_controller *controller)
{
    return (struct ehci *)controller;
}

static inline uint32_t ehci_read(const struct ehci *hc, uint32_t offset)
{
    return *(const volatile uint32_t *)(hc->operational + offset);
}

static inline void ehci_write(const struct ehci *hc, uint32_t offset, uint32_t value)
{
    *(volatile uint32_t *)(hc->operational + offset) = value;
}

/* Waits up to `ms` until the register's bits in `mask` are `value`. */
bool ehci_wait(const struct ehci *hc, uint32_t offset, uint32_t mask, uint32_t value, uint32_t ms);

/* False: the chip is known not to work. */
bool ehci_is_usable(const struct pci_device_info *info);

/* Sets what this chip needs in its configuration space. */
void ehci_apply_quirks(const struct pci_device_info *info);

/* The controller failed for good: says so once and takes its access to memory. Any context. */
void ehci_give_up(struct ehci *hc, const char *why);

/* All ports get power. */
void ehci_power_ports(const struct ehci *hc);

/* Ends the transfers of a pipe that are over. Interrupts are off. */
void ehci_look_at(struct ehci_pipe *pipe);

/* The rest are functions of usb_controller_ops. */
void ehci_port_status(struct usb_controller *controller, uint32_t port,
                      struct usb_port_status *status);
bool ehci_port_reset(struct usb_controller *controller, uint32_t port,
                     struct usb_port_status *status);
void ehci_port_disable(struct usb_controller *controller, uint32_t port);

bool ehci_device_open(struct usb_device *device);
bool ehci_device_address(struct usb_device *device);
bool ehci_device_update(struct usb_device *device);
void ehci_device_close(struct usb_device *device);
bool ehci_endpoint_open(struct usb_endpoint *endpoint);
void ehci_endpoint_close(struct usb_endpoint *endpoint);
bool ehci_endpoint_reset(struct usb_endpoint *endpoint);
bool ehci_submit(struct usb_transfer *transfer);
void ehci_cancel(struct usb_transfer *transfer);

#endif
