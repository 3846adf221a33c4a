/*
 * UHCI: the USB 1.1 controllers of Intel and VIA, and companions of their EHCIs.
 *
 * The schedule is a table of 1024 frames of a millisecond. Each entry begins a chain of queue
 * heads that ends with those for control transfers:
 *
 *   frame --> interrupt queue q --> interrupt queue 0 --> control, low --> control, full speed
 *             (periodic.h)          (every frame)
 *
 * These skeleton queues stay empty; an endpoint's queue hangs behind the one that it belongs to.
 * Only the driver writes `link`; `element` is the controller's while a transfer is pending.
 *
 * Invariants:
 * - a queue goes back to its pool only when two frames have begun since it was unlinked, or when
 *   the controller is stopped; TDs also when the controller is through with them all or has ended
 *   at one of them, which it does not run again;
 * - a queue has TDs exactly while it has a transfer.
 *
 * A controller takes QUEUE_PAGES and TD_PAGES once: 56 endpoints (a keyboard needs two), 512
 * packets pending. There are no interrupts. Guarded by usb_lock(): all queues, the pools, and the
 * ports' registers while they are read and written.
 *
 * Source: Intel UHCI Design Guide 1.1; Intel 82371AB (PIIX4), "USB Host Controller Register
 * Descriptions".
 */
#include "mem/layout.h"
#include "uhci_td.h"
#include <drivers/pci.h>
#include <drivers/timer.h>
#include <heap.h>
#include <lib/list.h>
#include <log.h>
#include <panic.h>
#include <usb/core.h>
#include <usb/host.h>
#include <usb/periodic.h>
#include <usb/pool.h>
#include <usb/system.h>
#include <x86/io.h>

/* PCI */
#define CLASS_SERIAL_BUS  0x0c
#define SUBCLASS_USB      0x03
#define INTERFACE_UHCI    0x00
#define REGISTERS_BAR     4u
#define PCI_LEGACY        0xc0    /* LEGSUP in its lower half */
#define LEGACY_CLEAR      0x8f00u /* clears what was trapped; all SMIs and the interrupt off */
#define LEGACY_UPPER_HALF 0xffff0000u

/* I/O registers */
#define USBCMD            0x00
#define USBSTS            0x02
#define USBINTR           0x04
#define FRNUM             0x06
#define FRBASEADD         0x08
#define SOFMOD            0x0c
#define PORTSC1           0x10
#define IO_SPACE_SIZE     0x10000u
#define REGISTERS_SIZE    0x14u /* with the one port that there must be */

#define USBCMD_RUN        (1u << 0)
#define USBCMD_RESET      (1u << 1)
#define USBCMD_CONFIGURED (1u << 6)
#define USBCMD_MAX_64     (1u << 7)

#define USBSTS_HOST_ERROR (1u << 3) /* on the PCI bus */
#define USBSTS_PROCESS    (1u << 4) /* a descriptor makes no sense */
#define USBSTS_HALTED     (1u << 5)
#define USBSTS_CLEAR      0x3fu
#define GONE              0xffffu /* what reads where nothing is */

#define FRNUM_MASK        0x7ffu

#define PORT_CONNECTED    (1u << 0)
#define PORT_CONNECT_CHG  (1u << 1) /* written ones clear this */
#define PORT_ENABLED      (1u << 2)
#define PORT_ENABLE_CHG   (1u << 3) /* and this */
#define PORT_ALWAYS_ONE   (1u << 7)
#define PORT_LOW_SPEED    (1u << 8)
#define PORT_RESET        (1u << 9)
#define PORT_CHANGES      (PORT_CONNECT_CHG | PORT_ENABLE_CHG)
#define PORT_KEPT         (PORT_ENABLED | PORT_RESET) /* what else a write has to repeat */
#define MAX_PORTS         7u

#define FRAMES            1024u
#define QUEUE_SIZE        64u
#define QUEUE_PAGES       1u
#define TD_PAGES          2u

#define HALT_MS           20u
#define RESET_MS          50u
#define FRAMES_MS         100u /* two frames need two */
#define PORT_RESET_MS     50u  /* USB 2.0, "Reset Signaling" */
#define PORT_SETTLE_US    100u /* after a reset the status is not right at once */
#define ENABLE_TRIES      10u
#define ENABLE_PAUSE_MS   10u

struct uhci_queue {
    volatile uint32_t link, element; /* the controller's view, QH */
    volatile uint32_t setup[2];      /* the setup packet of a pending control transfer */
    struct list open;                /* in uhci.open */
    struct uhci_queue *head;         /* the skeleton queue that it hangs behind */
    struct usb_transfer *transfer;   /* pending, or NULL */
    struct uhci_chain chain;
    uint8_t address;  /* of the device, as it answers now */
    bool toggle;      /* of an interrupt endpoint's next packet */
    bool taking_back; /* cancel() waits for the controller: poll() leaves it alone */
};
_Static_assert(sizeof(struct uhci_queue) <= QUEUE_SIZE, "a queue fits its piece");

struct uhci {
    struct usb_controller usb; /* first: the core's pointer is ours */
    uint16_t io;
    uint32_t *frames;
    struct usb_pool queues, tds;
    struct uhci_queue *interrupt[PERIODIC_QUEUES];
    struct uhci_queue *control_low, *control_full;
    struct list open; /* queues of endpoints */
};

static struct uhci *uhci_of(struct usb_controller *controller)
{
    return (struct uhci *)controller;
}

static struct uhci *uhci_of_endpoint(const struct usb_endpoint *endpoint)
{
    return uhci_of(endpoint->device->controller);
}

static void warn(const struct uhci *uhci, const char *message)
{
    pci_address_t pci = uhci->usb.pci;

    klog_warning("UHCI: %02x:%02x.%x: %s", pci_bus(pci), pci_device(pci), pci_function(pci),
                 message);
}

/* ---- Transfers ---- */

/* The transfer's chain is the driver's again. Its callback may submit the next at once. */
static void end_transfer(struct uhci *uhci, struct uhci_queue *queue, enum usb_status status)
{
    struct usb_transfer *transfer = queue->transfer;
    uint16_t actual = queue->chain.actual;

    if (!queue->chain.control)
        queue->toggle = uhci_chain_next_toggle(&queue->chain);
    queue->element = UHCI_TERMINATE;
    queue->transfer = NULL;
    uhci_chain_free(&queue->chain, &uhci->tds);
    usb_transfer_done(transfer, status, actual);
}

/* Keeps the controller from running and from memory. */
static void stop(struct uhci *uhci)
{
    outw(uhci->io + USBCMD, 0);
    pci_set_command(uhci->usb.pci, 0, PCI_COMMAND_MASTER);
}

/* Stops the controller for good: after it no memory of ours is touched. Interrupts are off. */
static void give_up(struct uhci *uhci, const char *why)
{
    struct uhci_queue *queue;

    if (uhci->usb.dead)
        return;
    uhci->usb.dead = true;
    stop(uhci);
    warn(uhci, why);
    LIST_FOR_EACH_ENTRY(queue, &uhci->open, open) {
        if (queue->transfer != NULL && !queue->taking_back)
            end_transfer(uhci, queue, USB_FAILED);
    }
}

static void uhci_poll(struct usb_controller *controller)
{
    struct uhci *uhci = uhci_of(controller);
    struct uhci_queue *queue;

    if (uhci->usb.dead)
        return;
    uint16_t status = inw(uhci->io + USBSTS);
    if (status == GONE)
        give_up(uhci, "it is gone");
    else if (status & USBSTS_HOST_ERROR)
        give_up(uhci, "host system error, stopped");
    else if (status & USBSTS_PROCESS)
        give_up(uhci, "host controller process error, stopped");
    else if (status & USBSTS_HALTED)
        give_up(uhci, "it stopped by itself");
    if (uhci->usb.dead)
        return;

    LIST_FOR_EACH_ENTRY(queue, &uhci->open, open) {
        if (queue->transfer == NULL || queue->taking_back)
            continue;
        enum usb_status result = uhci_chain_advance(&queue->chain, &queue->element);
        if (result != USB_PENDING)
            end_transfer(uhci, queue, result);
    }
}

static bool make_chain(struct uhci *uhci, struct uhci_queue *queue,
                       const struct usb_transfer *transfer)
{
    const struct usb_endpoint *endpoint = transfer->endpoint;
    const struct usb_setup *setup = &transfer->setup;
    struct uhci_target target = {
        .address = queue->address,
        .endpoint = endpoint->address & 15u,
        .packet_size = endpoint->packet_size,
        .low_speed = endpoint->device->speed == USB_SPEED_LOW,
    };

    if (target.endpoint != 0)
        return uhci_chain_interrupt(&queue->chain, &uhci->tds, &target, queue->toggle,
                                    endpoint->address & 0x80, transfer->buffer, transfer->length);
    queue->setup[0] =
        setup->request_type | (uint32_t)setup->request << 8 | (uint32_t)setup->value << 16;
    queue->setup[1] = setup->index | (uint32_t)setup->length << 16;
    return uhci_chain_control(&queue->chain, &uhci->tds, &target, queue->setup,
                              setup->request_type & 0x80, transfer->buffer, transfer->length);
}

static bool uhci_submit(struct usb_transfer *transfer)
{
    struct uhci *uhci = uhci_of_endpoint(transfer->endpoint);
    struct uhci_queue *queue = transfer->endpoint->host;

    ASSERT(queue->transfer == NULL);
    if (uhci->usb.dead || queue->taking_back || transfer->endpoint->packet_size == 0 ||
        !make_chain(uhci, queue, transfer))
        return false;
    queue->transfer = transfer;
    transfer->status = USB_PENDING;
    queue->element = usb_phys(queue->chain.first);
    return true;
}

/* ---- Queues ---- */

struct frame_wait {
    struct uhci *uhci;
    uint32_t start;
};

static bool two_frames_passed(void *arg)
{
    const struct frame_wait *wait = arg;
    uint32_t now = inw(wait->uhci->io + FRNUM);

    return wait->uhci->usb.dead || ((now - wait->start) & FRNUM_MASK) >= 2;
}

/* After it the controller has forgotten what was unlinked before. */
static void wait_two_frames(struct uhci *uhci)
{
    struct frame_wait wait = { uhci, inw(uhci->io + FRNUM) };

    if (usb_wait(two_frames_passed, &wait, FRAMES_MS))
        return;
    uint32_t flags = usb_lock();
    give_up(uhci, "its frames stand still, stopped");
    usb_unlock(flags);
}

/* The link is complete before the controller can come by. */
static void link_queue(struct uhci_queue *queue)
{
    queue->link = queue->head->link;
    queue->head->link = usb_phys(queue) | UHCI_QUEUE;
}

static void unlink_queue(struct uhci_queue *queue)
{
    uint32_t wanted = usb_phys(queue) | UHCI_QUEUE;
    struct uhci_queue *before = queue->head;

    while (before->link != wanted) {
        ASSERT(!(before->link & UHCI_TERMINATE));
        before = (struct uhci_queue *)(uintptr_t)(before->link & ~15u);
    }
    before->link = queue->link;
}

static bool open_queue(struct usb_endpoint *endpoint, struct uhci_queue *head, uint8_t address)
{
    struct uhci *uhci = uhci_of_endpoint(endpoint);
    uint32_t flags = usb_lock();
    struct uhci_queue *queue = usb_pool_take(&uhci->queues);

    if (queue != NULL) {
        queue->element = UHCI_TERMINATE;
        queue->head = head;
        queue->address = address;
        endpoint->host = queue;
        list_insert_before(&uhci->open, &queue->open);
        link_queue(queue);
    }
    usb_unlock(flags);
    if (queue == NULL)
        warn(uhci, "no room for one more endpoint");
    return queue != NULL;
}

static void uhci_endpoint_close(struct usb_endpoint *endpoint)
{
    struct uhci *uhci = uhci_of_endpoint(endpoint);
    struct uhci_queue *queue = endpoint->host;

    ASSERT(queue->transfer == NULL);
    uint32_t flags = usb_lock();
    unlink_queue(queue);
    list_remove(&queue->open);
    usb_unlock(flags);
    wait_two_frames(uhci);
    flags = usb_lock();
    usb_pool_give(&uhci->queues, queue);
    usb_unlock(flags);
    endpoint->host = NULL;
}

/* What is unlinked is not run any more when the next frame but one begins. */
static void uhci_cancel(struct usb_transfer *transfer)
{
    struct uhci *uhci = uhci_of_endpoint(transfer->endpoint);
    struct uhci_queue *queue = transfer->endpoint->host;
    uint32_t flags = usb_lock();
    bool pending = queue->transfer == transfer;

    if (pending) {
        queue->taking_back = true;
        unlink_queue(queue);
    }
    usb_unlock(flags);
    if (!pending)
        return;
    wait_two_frames(uhci);

    flags = usb_lock();
    (void)uhci_chain_advance(&queue->chain, &queue->element); /* for the bytes and the toggle */
    queue->taking_back = false;
    end_transfer(uhci, queue, USB_CANCELLED);
    link_queue(queue);
    usb_unlock(flags);
}

/* ---- Devices and endpoints ---- */

static bool uhci_device_open(struct usb_device *device)
{
    struct uhci *uhci = uhci_of(device->controller);
    bool low = device->speed == USB_SPEED_LOW;

    return open_queue(&device->control, low ? uhci->control_low : uhci->control_full, 0);
}

static bool uhci_device_address(struct usb_device *device)
{
    struct uhci_queue *queue = device->control.host;

    if (!usb_request(device, 0, USB_SET_ADDRESS, device->address, 0, NULL, 0))
        return false;
    queue->address = device->address;
    return true;
}

/* The packet size is read anew for each transfer. */
static bool uhci_device_update(struct usb_device *device UNUSED)
{
    return true;
}

static void uhci_device_close(struct usb_device *device)
{
    uhci_endpoint_close(&device->control);
}

static bool uhci_endpoint_open(struct usb_endpoint *endpoint)
{
    struct uhci *uhci = uhci_of_endpoint(endpoint);
    uint32_t queue = periodic_queue_of_interval(endpoint->interval_ms);

    return open_queue(endpoint, uhci->interrupt[queue], endpoint->device->address);
}

static bool uhci_endpoint_reset(struct usb_endpoint *endpoint)
{
    struct uhci_queue *queue = endpoint->host;

    queue->toggle = false;
    return true;
}

/* ---- Root ports ---- */

static uint16_t port_register(const struct uhci *uhci, uint32_t port)
{
    ASSERT(port >= 1 && port <= uhci->usb.ports);
    return (uint16_t)(uhci->io + PORTSC1 + 2 * (port - 1));
}

/* Sets and clears bits. Changes are cleared only where `set` has them. */
static void port_write(struct uhci *uhci, uint32_t port, uint32_t set, uint32_t clear)
{
    uint16_t where = port_register(uhci, port);
    uint32_t flags = usb_lock();
    outw(where, (uint16_t)((inw(where) & PORT_KEPT & ~clear) | set));
    usb_unlock(flags);
}

static void uhci_port_status(struct usb_controller *controller, uint32_t port,
                             struct usb_port_status *status)
{
    struct uhci *uhci = uhci_of(controller);
    uint32_t value = inw(port_register(uhci, port));
    bool gone = value == GONE;

    *status = (struct usb_port_status){
        .connected = !gone && value & PORT_CONNECTED,
        .enabled = !gone && value & PORT_ENABLED,
        .powered = !gone,
        .changed = gone || value & PORT_CHANGES,
        .speed = value & PORT_LOW_SPEED ? USB_SPEED_LOW : USB_SPEED_FULL,
    };
    if (!gone && status->changed)
        port_write(uhci, port, value & PORT_CHANGES, 0);
}

/*
 * A port may refuse to be enabled while it still reports the changes that the reset has made, so
 * these go first. It is enabled at once: three idle milliseconds, and the device suspends itself.
 * Only then is looked whether it worked; some ports take a while to see the device again.
 */
static bool enable_port(struct uhci *uhci, uint32_t port)
{
    for (uint32_t try = 0; try < ENABLE_TRIES; try++) {
        port_write(uhci, port, PORT_CHANGES, 0);
        port_write(uhci, port, PORT_ENABLED, 0);
        usb_sleep(ENABLE_PAUSE_MS);
        uint32_t value = inw(port_register(uhci, port));
        if (value == GONE || !(value & PORT_CONNECTED))
            return false;
        if (value & PORT_ENABLED && !(value & PORT_CHANGES))
            return true;
    }
    warn(uhci, "a port cannot be enabled");
    return false;
}

static bool uhci_port_reset(struct usb_controller *controller, uint32_t port,
                            struct usb_port_status *status)
{
    struct uhci *uhci = uhci_of(controller);

    port_write(uhci, port, PORT_RESET, PORT_ENABLED);
    usb_sleep(PORT_RESET_MS);
    port_write(uhci, port, 0, PORT_RESET);
    timer_busy_wait_us(PORT_SETTLE_US);
    bool enabled = enable_port(uhci, port);
    uhci_port_status(controller, port, status);
    return enabled && status->enabled;
}

static void uhci_port_disable(struct usb_controller *controller, uint32_t port)
{
    port_write(uhci_of(controller), port, 0, PORT_ENABLED);
}

static void uhci_describe(struct usb_controller *controller)
{
    struct uhci *uhci = uhci_of(controller);

    kprintf("  USBCMD %04x, USBSTS %04x, frame %u, free: %u queues, %u TDs, PORTSC",
            inw(uhci->io + USBCMD), inw(uhci->io + USBSTS), inw(uhci->io + FRNUM) & FRNUM_MASK,
            uhci->queues.free, uhci->tds.free);
    for (uint32_t port = 1; port <= uhci->usb.ports; port++)
        kprintf(" %04x", inw(port_register(uhci, port)));
    kprintf("\n");
}

/* ---- Start ---- */

static const struct usb_controller_ops operations = {
    .port_status = uhci_port_status,
    .port_reset = uhci_port_reset,
    .port_disable = uhci_port_disable,
    .device_open = uhci_device_open,
    .device_address = uhci_device_address,
    .device_update = uhci_device_update,
    .device_close = uhci_device_close,
    .endpoint_open = uhci_endpoint_open,
    .endpoint_close = uhci_endpoint_close,
    .endpoint_reset = uhci_endpoint_reset,
    .submit = uhci_submit,
    .cancel = uhci_cancel,
    .poll = uhci_poll,
    .describe = uhci_describe,
};

static bool is_halted(void *arg)
{
    const struct uhci *uhci = arg;
    return inw(uhci->io + USBSTS) & USBSTS_HALTED;
}

static bool is_running(void *arg)
{
    return !is_halted(arg);
}

static bool reset_ended(void *arg)
{
    const struct uhci *uhci = arg;
    return !(inw(uhci->io + USBCMD) & USBCMD_RESET);
}

/*
 * Takes the controller from firmware, whose SMIs may use it, and resets it; a reset does not end
 * resets and suspends of ports. The frame's length, which firmware has adjusted, is kept. NULL or
 * what is wrong.
 */
static const char *take_and_reset(struct uhci *uhci)
{
    uint8_t frame_length = inb(uhci->io + SOFMOD);

    pci_write(uhci->usb.pci, PCI_LEGACY,
              (pci_read(uhci->usb.pci, PCI_LEGACY) & LEGACY_UPPER_HALF) | LEGACY_CLEAR);
    outw(uhci->io + USBINTR, 0);
    outw(uhci->io + USBCMD, 0);
    if (!usb_wait(is_halted, uhci, HALT_MS))
        return "it does not stop";
    outw(uhci->io + USBCMD, USBCMD_RESET);
    if (!usb_wait(reset_ended, uhci, RESET_MS))
        return "its reset does not end";
    outw(uhci->io + USBINTR, 0);
    outb(uhci->io + SOFMOD, frame_length);
    for (uint32_t port = 1; port <= uhci->usb.ports; port++)
        outw(port_register(uhci, port), 0);
    return NULL;
}

/* Ports follow one another, and a bit that is always set tells where they end. */
static uint32_t count_ports(const struct uhci *uhci, uint32_t registers_size)
{
    uint32_t ports = 0;

    while (ports < MAX_PORTS && PORTSC1 + 2 * (ports + 1) <= registers_size) {
        uint32_t value = inw((uint16_t)(uhci->io + PORTSC1 + 2 * ports));
        if (value == GONE || !(value & PORT_ALWAYS_ONE))
            break;
        ports++;
    }
    return ports;
}

static struct uhci_queue *make_skeleton(struct uhci *uhci, const struct uhci_queue *next)
{
    struct uhci_queue *queue = usb_pool_take(&uhci->queues);

    ASSERT(queue != NULL); /* the pool is new */
    queue->element = UHCI_TERMINATE;
    queue->link = next != NULL ? usb_phys(next) | UHCI_QUEUE : UHCI_TERMINATE;
    return queue;
}

static void make_schedule(struct uhci *uhci)
{
    uhci->control_full = make_skeleton(uhci, NULL);
    uhci->control_low = make_skeleton(uhci, uhci->control_full);
    uhci->interrupt[0] = make_skeleton(uhci, uhci->control_low);
    for (uint32_t i = 1; i < PERIODIC_QUEUES; i++)
        uhci->interrupt[i] = make_skeleton(uhci, uhci->interrupt[0]);
    for (uint32_t frame = 0; frame < FRAMES; frame++) {
        struct uhci_queue *queue = uhci->interrupt[periodic_queue_of_frame(frame)];
        uhci->frames[frame] = usb_phys(queue) | UHCI_QUEUE;
    }
}

/* False: there is too little; what was taken is for give_memory(). */
static bool take_memory(struct uhci *uhci)
{
    uhci->frames = usb_alloc_page();
    return uhci->frames != NULL && usb_pool_init(&uhci->queues, QUEUE_SIZE, QUEUE_PAGES) &&
           usb_pool_init(&uhci->tds, sizeof(struct uhci_td), TD_PAGES);
}

static void give_memory(struct uhci *uhci)
{
    usb_pool_destroy(&uhci->tds);
    usb_pool_destroy(&uhci->queues);
    usb_free_page(uhci->frames);
}

static const char *run(struct uhci *uhci)
{
    outw(uhci->io + FRNUM, 0);
    outl(uhci->io + FRBASEADD, usb_phys(uhci->frames));
    outw(uhci->io + USBSTS, USBSTS_CLEAR);
    pci_set_command(uhci->usb.pci, PCI_COMMAND_MASTER, 0);
    outw(uhci->io + USBCMD, USBCMD_RUN | USBCMD_CONFIGURED | USBCMD_MAX_64);
    return usb_wait(is_running, uhci, HALT_MS) ? NULL : "it does not start";
}

/* NULL or what is wrong. */
static const char *bring_up(struct uhci *uhci, uint32_t registers_size)
{
    if (inw(uhci->io + USBSTS) == GONE)
        return "it does not answer";
    uhci->usb.ports = count_ports(uhci, registers_size);
    if (uhci->usb.ports == 0)
        return "it has no ports";
    const char *wrong = take_and_reset(uhci);
    if (wrong != NULL)
        return wrong;
    if (!take_memory(uhci))
        return "too little memory";
    make_schedule(uhci);
    return run(uhci);
}

/* False: it reaches no memory any more, and nothing is kept of it. */
static bool start_controller(struct uhci *uhci, const struct pci_bar *bar)
{
    const char *wrong = "BAR4 gives no registers";

    if (bar->kind == PCI_BAR_IO && bar->base != 0 && bar->size >= REGISTERS_SIZE &&
        bar->base + bar->size <= IO_SPACE_SIZE) {
        uhci->io = (uint16_t)bar->base;
        pci_set_command(uhci->usb.pci, PCI_COMMAND_IO, 0);
        wrong = bring_up(uhci, (uint32_t)bar->size);
    }
    if (wrong == NULL && usb_register_controller(&uhci->usb))
        return true;
    if (wrong != NULL)
        warn(uhci, wrong);
    if (uhci->io != 0)
        stop(uhci);
    give_memory(uhci);
    return false;
}

static void start_function(const struct pci_device_info *info)
{
    struct uhci *uhci = kcalloc(1, sizeof(*uhci));

    if (uhci == NULL) {
        klog_warning("UHCI: too little memory");
        return;
    }
    uhci->usb = (struct usb_controller){ .kind = "UHCI", .pci = info->address, .ops = &operations };
    list_init(&uhci->open);
    if (!start_controller(uhci, &info->bars[REGISTERS_BAR]))
        kfree(uhci);
}

void uhci_start(void)
{
    const struct pci_device_info *info;

    for (uint32_t i = 0; (info = pci_get(i)) != NULL; i++) {
        if (info->class == CLASS_SERIAL_BUS && info->subclass == SUBCLASS_USB &&
            info->interface == INTERFACE_UHCI)
            start_function(info);
    }
}
