/*
 * OHCI: the USB 1.1 controllers of all but Intel and VIA, and companions of their EHCIs.
 *
 * The controller goes through a list of endpoint descriptors (EDs) for control transfers, and in
 * each frame through one of 32 lists for interrupt transfers:
 *
 *   HcControlHeadED ----> control ED --> EDs of endpoints
 *   HCCA, frame f % 32 -> interrupt ED q (periodic.h) --> ... --> interrupt ED 0 --> ...
 *
 * Those skeleton EDs are skipped and stay. What is done comes back through the done queue, whose
 * head the controller writes into the HCCA; it does so again when WDH is cleared.
 *
 * Invariants:
 * - an ED is taken from its list only with two frames between its SKIP and the end of its memory;
 * - a ring is used again only when all that the controller took from it has come back.
 *
 * A controller takes QUEUE_PAGES and a page for the HCCA once: 57 endpoints (a keyboard needs
 * two). There are no interrupts. Guarded by usb_lock(): all queues and the pool.
 *
 * Source: OpenHCI Specification 1.0a, "Host Controller Initialization", "Root Hub Partition".
 */
#include "mem/layout.h"
#include "ohci_ring.h"
#include <drivers/pci.h>
#include <drivers/timer.h>
#include <heap.h>
#include <lib/bits.h>
#include <lib/list.h>
#include <log.h>
#include <mem/window.h>
#include <panic.h>
#include <usb/core.h>
#include <usb/host.h>
#include <usb/periodic.h>
#include <usb/pool.h>
#include <usb/system.h>

/* PCI */
#define CLASS_SERIAL_BUS        0x0c
#define SUBCLASS_USB            0x03
#define INTERFACE_OHCI          0x10
#define REGISTERS_BAR           0u

/* Registers, Hc... in the specification */
#define REVISION                0x00
#define CONTROL                 0x04
#define COMMAND_STATUS          0x08
#define INTERRUPT_STATUS        0x0c
#define INTERRUPT_ENABLE        0x10
#define INTERRUPT_DISABLE       0x14
#define HCCA                    0x18
#define CONTROL_HEAD_ED         0x20
#define CONTROL_CURRENT_ED      0x24
#define BULK_HEAD_ED            0x28
#define FM_INTERVAL             0x34
#define FM_NUMBER               0x3c
#define PERIODIC_START          0x40
#define LS_THRESHOLD            0x44
#define RH_DESCRIPTOR_A         0x48
#define RH_STATUS               0x50
#define RH_PORT_STATUS          0x54
#define MAX_PORTS               15u
#define REGISTERS_SIZE          (RH_PORT_STATUS + 4 * MAX_PORTS)

#define REVISION_MASK           0xffu
#define REVISION_1_0            0x10u

#define CONTROL_RATIO_4_TO_1    (3u << 0)
#define CONTROL_PERIODIC        (1u << 2)
#define CONTROL_CONTROL_LIST    (1u << 4)
#define CONTROL_STATE           (3u << 6)
#define CONTROL_OPERATIONAL     (2u << 6) /* all zeros: USBRESET */
#define CONTROL_SMI             (1u << 8) /* IR: firmware's SMM driver has it */
#define CONTROL_WAKEUP          (1u << 9) /* RWC: set by firmware if the board has that */

#define COMMAND_RESET           (1u << 0)
#define COMMAND_CONTROL_FILLED  (1u << 1)
#define COMMAND_OWNERSHIP       (1u << 3)

#define INTERRUPT_DONE_HEAD     (1u << 1)
#define INTERRUPT_UNRECOVERABLE (1u << 4)
#define INTERRUPT_OWNERSHIP     (1u << 30)
#define INTERRUPT_MASTER        (1u << 31)
#define INTERRUPT_ALL           0xc000007fu
#define ALL_ONES                0xffffffffu /* also what reads where nothing is */

#define INTERVAL_MASK           0x3fffu
#define INTERVAL_DEFAULT        11999u /* bit times of a frame, less one */
#define INTERVAL_TOGGLE         (1u << 31)
#define LARGEST_PACKET          16   /* shift */
#define MAX_OVERHEAD            210u /* bit times */
#define LS_THRESHOLD_DEFAULT    0x628u
#define FM_NUMBER_MASK          0xffffu

#define RH_A_PORTS              0xffu
#define RH_A_ALWAYS_POWERED     (1u << 9)
#define RH_A_POWER_ON_TIME      24 /* shift; in units of 2 ms */
#define RH_STATUS_POWER_ON      (1u << 16)

/* HcRhPortStatus: what is read; what a one does that is written */
#define PORT_CONNECTED          (1u << 0)
#define PORT_CLEAR_ENABLE       (1u << 0)
#define PORT_ENABLED            (1u << 1)
#define PORT_RESET              (1u << 4)
#define PORT_POWER              (1u << 8)
#define PORT_LOW_SPEED          (1u << 9)
#define PORT_CONNECT_CHG        (1u << 16)
#define PORT_ENABLE_CHG         (1u << 17)
#define PORT_RESET_CHG          (1u << 20)
#define PORT_CHANGES            (0x1fu << 16)

#define QUEUE_SIZE              128u
#define QUEUE_PAGES             2u

#define OWNERSHIP_MS            500u
#define BUS_RESET_MS            50u
#define RESET_STEPS             100u /* of a microsecond; the specification grants 10 */
#define FRAMES_MS               100u /* two frames need two */
#define DONE_QUEUE_MS           100u /* it needs seven */
#define POWER_MIN_MS            20u
#define RESET_PULSES            5u /* of 10 ms each: a reset takes 50 */
#define PULSE_MS                50u

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

static struct ohci *ohci_of(struct usb_controller *controller)
{
    return (struct ohci *)controller;
}

static struct ohci *ohci_of_endpoint(const struct usb_endpoint *endpoint)
{
    return ohci_of(endpoint->device->controller);
}

static uint32_t read_register(const struct ohci *ohci, uint32_t offset)
{
    return *(volatile uint32_t *)(ohci->registers + offset);
}

static void write_register(struct ohci *ohci, uint32_t offset, uint32_t value)
{
    *(volatile uint32_t *)(ohci->registers + offset) = value;
}

static void log_message(const struct ohci *ohci, const char *message)
{
    pci_address_t pci = ohci->usb.pci;

    klog("OHCI: %02x:%02x.%x: %s", pci_bus(pci), pci_device(pci), pci_function(pci), message);
}

/* ---- Transfers ---- */

/* The ring is the driver's again. The transfer's callback may submit the next at once. */
static void end_transfer(struct ohci_queue *queue, enum usb_status status, uint16_t actual)
{
    struct usb_transfer *transfer = queue->transfer;

    ohci_ring_clear(&queue->ring);
    queue->transfer = NULL;
    usb_transfer_done(transfer, status, actual);
}

static enum usb_status result_of(const struct ohci_queue *queue, uint16_t *actual)
{
    return ohci_ring_result(&queue->ring, queue->transfer->buffer, queue->transfer->length, actual);
}

/* Keeps the controller from running and from memory. */
static void stop(struct ohci *ohci)
{
    write_register(ohci, CONTROL, read_register(ohci, CONTROL) & CONTROL_WAKEUP);
    pci_set_command(ohci->usb.pci, 0, PCI_COMMAND_MASTER);
}

/* Stops the controller for good: after it no memory of ours is touched. Interrupts are off. */
static void give_up(struct ohci *ohci, const char *why)
{
    struct ohci_queue *queue;
    uint16_t actual;

    if (ohci->usb.dead)
        return;
    ohci->usb.dead = true;
    stop(ohci);
    log_message(ohci, why);
    LIST_FOR_EACH_ENTRY(queue, &ohci->open, open) {
        if (queue->transfer == NULL || queue->taking_back)
            continue;
        (void)result_of(queue, &actual);
        end_transfer(queue, USB_FAILED, actual);
    }
}

/* The queue whose ring has a TD at that address, which the controller said; NULL: none. */
static struct ohci_queue *queue_of_td(struct ohci *ohci, uint32_t address)
{
    uint32_t piece = round_down(address, QUEUE_SIZE);

    return usb_pool_owns(&ohci->queues, piece) ? (struct ohci_queue *)(uintptr_t)piece : NULL;
}

/*
 * Takes the done queue, a list of TDs with the last done first. A TD of the list is checked to be
 * one that is out, and counted once, so the list ends.
 */
static bool take_done_queue(struct ohci *ohci)
{
    uint32_t address = ohci->hcca->done_head & OHCI_POINTER;

    ohci->hcca->done_head = 0;
    write_register(ohci, INTERRUPT_STATUS, INTERRUPT_DONE_HEAD);
    while (address != 0) {
        struct ohci_queue *queue = queue_of_td(ohci, address);
        if (queue == NULL || !ohci_ring_retire(&queue->ring, address))
            return false;
        address = ((const struct ohci_td *)(uintptr_t)address)->next & OHCI_POINTER;
    }
    return true;
}

/* Reading the status first brings what the controller wrote to memory before. */
static void ohci_poll(struct usb_controller *controller)
{
    struct ohci *ohci = ohci_of(controller);
    struct ohci_queue *queue;
    uint16_t actual;

    if (ohci->usb.dead)
        return;
    uint32_t status = read_register(ohci, INTERRUPT_STATUS);
    if (status == ALL_ONES)
        give_up(ohci, "it is gone");
    else if (status & INTERRUPT_UNRECOVERABLE)
        give_up(ohci, "unrecoverable error, stopped");
    else if (status & INTERRUPT_DONE_HEAD && !take_done_queue(ohci))
        give_up(ohci, "its done queue makes no sense, stopped");
    if (ohci->usb.dead)
        return;

    LIST_FOR_EACH_ENTRY(queue, &ohci->open, open) {
        if (queue->transfer == NULL || queue->taking_back)
            continue;
        enum usb_status result = result_of(queue, &actual);
        if (result != USB_PENDING)
            end_transfer(queue, result, actual);
    }
}

static uint32_t ed_control(const struct ohci_queue *queue, const struct usb_endpoint *endpoint)
{
    return queue->address | (endpoint->address & 15u) << OHCI_ED_ENDPOINT |
           (uint32_t)endpoint->packet_size << OHCI_ED_PACKET_SIZE |
           (endpoint->device->speed == USB_SPEED_LOW ? OHCI_ED_LOW_SPEED : 0);
}

static void start_control(struct ohci *ohci, struct ohci_queue *queue,
                          const struct usb_transfer *transfer)
{
    const struct usb_setup *setup = &transfer->setup;

    queue->setup[0] =
        setup->request_type | (uint32_t)setup->request << 8 | (uint32_t)setup->value << 16;
    queue->setup[1] = setup->index | (uint32_t)setup->length << 16;
    ohci_ring_control(&queue->ring, queue->setup, setup->request_type & 0x80, transfer->buffer,
                      transfer->length);
    write_register(ohci, COMMAND_STATUS, COMMAND_CONTROL_FILLED);
}

static bool ohci_submit(struct usb_transfer *transfer)
{
    const struct usb_endpoint *endpoint = transfer->endpoint;
    struct ohci *ohci = ohci_of_endpoint(endpoint);
    struct ohci_queue *queue = endpoint->host;

    ASSERT(queue->transfer == NULL);
    if (ohci->usb.dead || queue->taking_back || endpoint->packet_size == 0)
        return false;
    queue->transfer = transfer;
    transfer->status = USB_PENDING;
    queue->ring.ed.control = ed_control(queue, endpoint);
    if ((endpoint->address & 15u) == 0)
        start_control(ohci, queue, transfer);
    else
        ohci_ring_interrupt(&queue->ring, endpoint->address & 0x80, transfer->buffer,
                            transfer->length);
    return true;
}

/* ---- Queues ---- */

struct frame_wait {
    struct ohci *ohci;
    uint32_t start;
};

static bool two_frames_passed(void *arg)
{
    const struct frame_wait *wait = arg;
    uint32_t now = read_register(wait->ohci, FM_NUMBER);

    return wait->ohci->usb.dead || ((now - wait->start) & FM_NUMBER_MASK) >= 2;
}

static void give_up_from_thread(struct ohci *ohci, const char *why)
{
    uint32_t flags = usb_lock();
    give_up(ohci, why);
    usb_unlock(flags);
}

/* After it the controller has finished with what was skipped or unlinked before. */
static void wait_two_frames(struct ohci *ohci)
{
    struct frame_wait wait = { ohci, read_register(ohci, FM_NUMBER) };

    if (!usb_wait(two_frames_passed, &wait, FRAMES_MS))
        give_up_from_thread(ohci, "its frames stand still, stopped");
}

/* The link is complete before the controller can come by. */
static void link_queue(struct ohci_queue *queue)
{
    queue->ring.ed.next = queue->head->ring.ed.next;
    queue->head->ring.ed.next = usb_phys(queue);
}

static void unlink_queue(struct ohci_queue *queue)
{
    struct ohci_queue *before = queue->head;

    while (before->ring.ed.next != usb_phys(queue)) {
        ASSERT(before->ring.ed.next != 0);
        before = (struct ohci_queue *)(uintptr_t)before->ring.ed.next;
    }
    before->ring.ed.next = queue->ring.ed.next;
}

static bool open_queue(struct usb_endpoint *endpoint, struct ohci_queue *head, uint8_t address)
{
    struct ohci *ohci = ohci_of_endpoint(endpoint);
    uint32_t flags = usb_lock();
    struct ohci_queue *queue = usb_pool_take(&ohci->queues);

    if (queue != NULL) {
        queue->head = head;
        queue->address = address;
        ohci_ring_init(&queue->ring);
        queue->ring.ed.control = ed_control(queue, endpoint);
        endpoint->host = queue;
        list_insert_before(&ohci->open, &queue->open);
        link_queue(queue);
    }
    usb_unlock(flags);
    if (queue == NULL)
        log_message(ohci, "no room for one more endpoint");
    return queue != NULL;
}

/* Turns the control list off or on. Off, and two frames later, no ED of it is current. */
static void set_control_list(struct ohci *ohci, bool on)
{
    uint32_t flags = usb_lock();
    uint32_t control = read_register(ohci, CONTROL) & ~CONTROL_CONTROL_LIST;

    if (!ohci->usb.dead)
        write_register(ohci, CONTROL, control | (on ? CONTROL_CONTROL_LIST : 0));
    usb_unlock(flags);
}

static void ohci_endpoint_close(struct usb_endpoint *endpoint)
{
    struct ohci *ohci = ohci_of_endpoint(endpoint);
    struct ohci_queue *queue = endpoint->host;
    bool in_control_list = queue->head == ohci->control;

    ASSERT(queue->transfer == NULL);
    queue->ring.ed.control |= OHCI_ED_SKIP;
    if (in_control_list)
        set_control_list(ohci, false);
    wait_two_frames(ohci);

    uint32_t flags = usb_lock();
    unlink_queue(queue);
    list_remove(&queue->open);
    usb_unlock(flags);
    if (in_control_list) {
        write_register(ohci, CONTROL_CURRENT_ED, 0);
        set_control_list(ohci, true);
    }
    wait_two_frames(ohci);

    flags = usb_lock();
    usb_pool_give(&ohci->queues, queue);
    usb_unlock(flags);
    endpoint->host = NULL;
}

static bool is_settled(void *arg)
{
    struct usb_transfer *transfer = arg;
    const struct ohci_queue *queue = transfer->endpoint->host;

    return transfer->endpoint->device->controller->dead || ohci_ring_settled(&queue->ring);
}

/* The controller is not at a skipped ED two frames later; what it took from it has to come back. */
static void ohci_cancel(struct usb_transfer *transfer)
{
    struct ohci *ohci = ohci_of_endpoint(transfer->endpoint);
    struct ohci_queue *queue = transfer->endpoint->host;
    uint16_t actual;
    uint32_t flags = usb_lock();
    bool pending = queue->transfer == transfer;

    if (pending) {
        queue->taking_back = true;
        queue->ring.ed.control |= OHCI_ED_SKIP;
    }
    usb_unlock(flags);
    if (!pending)
        return;
    wait_two_frames(ohci);
    if (!usb_wait(is_settled, transfer, DONE_QUEUE_MS))
        give_up_from_thread(ohci, "its done queue does not come, stopped");

    flags = usb_lock();
    (void)result_of(queue, &actual);
    queue->taking_back = false;
    end_transfer(queue, USB_CANCELLED, actual);
    queue->ring.ed.control &= ~OHCI_ED_SKIP;
    usb_unlock(flags);
}

/* ---- Devices and endpoints ---- */

static bool ohci_device_open(struct usb_device *device)
{
    return open_queue(&device->control, ohci_of(device->controller)->control, 0);
}

static bool ohci_device_address(struct usb_device *device)
{
    struct ohci_queue *queue = device->control.host;

    if (!usb_request(device, 0, USB_SET_ADDRESS, device->address, 0, NULL, 0))
        return false;
    queue->address = device->address;
    return true;
}

/* The packet size is read anew for each transfer. */
static bool ohci_device_update(struct usb_device *device UNUSED)
{
    return true;
}

static void ohci_device_close(struct usb_device *device)
{
    ohci_endpoint_close(&device->control);
}

static bool ohci_endpoint_open(struct usb_endpoint *endpoint)
{
    struct ohci *ohci = ohci_of_endpoint(endpoint);
    uint32_t queue = periodic_queue_of_interval(endpoint->interval_ms);

    return open_queue(endpoint, ohci->interrupt[queue], endpoint->device->address);
}

/* Nothing is pending, so the controller only reads this. */
static bool ohci_endpoint_reset(struct usb_endpoint *endpoint)
{
    struct ohci_queue *queue = endpoint->host;

    queue->ring.ed.head &= OHCI_POINTER;
    return true;
}

/* ---- Root ports ---- */

static uint32_t port_register(const struct ohci *ohci, uint32_t port)
{
    ASSERT(port >= 1 && port <= ohci->usb.ports);
    return RH_PORT_STATUS + 4 * (port - 1);
}

static void ohci_port_status(struct usb_controller *controller, uint32_t port,
                             struct usb_port_status *status)
{
    struct ohci *ohci = ohci_of(controller);
    uint32_t value = read_register(ohci, port_register(ohci, port));
    bool gone = value == ALL_ONES;

    *status = (struct usb_port_status){
        .connected = !gone && value & PORT_CONNECTED,
        .enabled = !gone && value & PORT_ENABLED,
        .powered = !gone && value & PORT_POWER,
        .changed = gone || value & (PORT_CONNECT_CHG | PORT_ENABLE_CHG),
        .speed = value & PORT_LOW_SPEED ? USB_SPEED_LOW : USB_SPEED_FULL,
    };
    if (!gone && value & PORT_CHANGES)
        write_register(ohci, port_register(ohci, port), value & PORT_CHANGES);
}

struct port_wait {
    const struct ohci *ohci;
    uint32_t port;
};

static bool pulse_ended(void *arg)
{
    const struct port_wait *wait = arg;

    return !(read_register(wait->ohci, port_register(wait->ohci, wait->port)) & PORT_RESET);
}

/* The controller resets for 10 ms at a time and enables the port after it. */
static bool ohci_port_reset(struct usb_controller *controller, uint32_t port,
                            struct usb_port_status *status)
{
    struct ohci *ohci = ohci_of(controller);
    struct port_wait wait = { ohci, port };
    bool ended = true;

    for (uint32_t pulse = 0; pulse < RESET_PULSES && ended; pulse++) {
        write_register(ohci, port_register(ohci, port), PORT_RESET);
        ended = usb_wait(pulse_ended, &wait, PULSE_MS);
        write_register(ohci, port_register(ohci, port), PORT_RESET_CHG);
    }
    if (!ended)
        log_message(ohci, "the reset of a port does not end");
    ohci_port_status(controller, port, status);
    return ended && status->enabled;
}

static void ohci_port_disable(struct usb_controller *controller, uint32_t port)
{
    struct ohci *ohci = ohci_of(controller);

    write_register(ohci, port_register(ohci, port), PORT_CLEAR_ENABLE);
}

static void ohci_describe(struct usb_controller *controller)
{
    struct ohci *ohci = ohci_of(controller);

    kprintf("  HcControl %x, HcInterruptStatus %x, frame %u, free: %u queues, HcRhPortStatus",
            read_register(ohci, CONTROL), read_register(ohci, INTERRUPT_STATUS),
            read_register(ohci, FM_NUMBER) & FM_NUMBER_MASK, ohci->queues.free);
    for (uint32_t port = 1; port <= ohci->usb.ports; port++)
        kprintf(" %x", read_register(ohci, port_register(ohci, port)));
    kprintf("\n");
}

/* ---- Start ---- */

static const struct usb_controller_ops operations = {
    .port_status = ohci_port_status,
    .port_reset = ohci_port_reset,
    .port_disable = ohci_port_disable,
    .device_open = ohci_device_open,
    .device_address = ohci_device_address,
    .device_update = ohci_device_update,
    .device_close = ohci_device_close,
    .endpoint_open = ohci_endpoint_open,
    .endpoint_close = ohci_endpoint_close,
    .endpoint_reset = ohci_endpoint_reset,
    .submit = ohci_submit,
    .cancel = ohci_cancel,
    .poll = ohci_poll,
    .describe = ohci_describe,
};

static bool smm_let_go(void *arg)
{
    const struct ohci *ohci = arg;
    return !(read_register(ohci, CONTROL) & CONTROL_SMI);
}

/*
 * Takes the controller from firmware: from its SMM driver by asking, from a BIOS driver, which
 * does not run any more, by a reset of the bus. Either way its interrupts end.
 */
static void take_from_firmware(struct ohci *ohci)
{
    if (!smm_let_go(ohci)) {
        write_register(ohci, INTERRUPT_ENABLE, INTERRUPT_OWNERSHIP);
        write_register(ohci, COMMAND_STATUS, COMMAND_OWNERSHIP);
        if (!usb_wait(smm_let_go, ohci, OWNERSHIP_MS))
            log_message(ohci, "firmware does not let go of it; going on");
    }
    write_register(ohci, INTERRUPT_DISABLE, INTERRUPT_ALL);
    write_register(ohci, CONTROL, read_register(ohci, CONTROL) & CONTROL_WAKEUP);
    (void)read_register(ohci, CONTROL);
    usb_sleep(BUS_RESET_MS);
}

static bool reset_controller(struct ohci *ohci)
{
    write_register(ohci, COMMAND_STATUS, COMMAND_RESET);
    for (uint32_t step = 0; step < RESET_STEPS; step++) {
        timer_busy_wait_us(1);
        if (!(read_register(ohci, COMMAND_STATUS) & COMMAND_RESET))
            return true;
    }
    return false;
}

/* Frames of that many bit times, of which periodic transfers may take nine tenths. */
static bool set_frame_interval(struct ohci *ohci, uint32_t interval)
{
    uint32_t largest = (interval - MAX_OVERHEAD) * 6 / 7;
    uint32_t toggle = ~read_register(ohci, FM_INTERVAL) & INTERVAL_TOGGLE;

    write_register(ohci, FM_INTERVAL, toggle | largest << LARGEST_PACKET | interval);
    write_register(ohci, PERIODIC_START, interval * 9 / 10);
    write_register(ohci, LS_THRESHOLD, LS_THRESHOLD_DEFAULT);
    return (read_register(ohci, FM_INTERVAL) & INTERVAL_MASK) == interval &&
           read_register(ohci, PERIODIC_START) != 0;
}

/*
 * Resets it, which keeps the bus in suspend: within 2 ms it has to run again, or the devices
 * would need another bus reset. Interrupts are off. NULL or what is wrong.
 */
static const char *reset_and_run(struct ohci *ohci)
{
    uint32_t interval = read_register(ohci, FM_INTERVAL) & INTERVAL_MASK;
    uint32_t wakeup = read_register(ohci, CONTROL) & CONTROL_WAKEUP;

    if (interval <= MAX_OVERHEAD)
        interval = INTERVAL_DEFAULT;
    if (!reset_controller(ohci))
        return "its reset does not end";
    if (!set_frame_interval(ohci, interval))
        return "it does not keep its frame interval";
    write_register(ohci, HCCA, usb_phys(ohci->hcca));
    write_register(ohci, CONTROL_HEAD_ED, usb_phys(ohci->control));
    write_register(ohci, CONTROL_CURRENT_ED, 0);
    write_register(ohci, BULK_HEAD_ED, 0);
    write_register(ohci, INTERRUPT_DISABLE, INTERRUPT_ALL);
    write_register(ohci, INTERRUPT_STATUS, INTERRUPT_ALL & ~INTERRUPT_MASTER);
    pci_set_command(ohci->usb.pci, PCI_COMMAND_MASTER, 0);
    write_register(ohci, CONTROL,
                   wakeup | CONTROL_OPERATIONAL | CONTROL_RATIO_4_TO_1 | CONTROL_PERIODIC |
                       CONTROL_CONTROL_LIST);
    bool runs = (read_register(ohci, CONTROL) & CONTROL_STATE) == CONTROL_OPERATIONAL;
    return runs ? NULL : "it does not start";
}

static void power_ports(struct ohci *ohci)
{
    uint32_t descriptor = read_register(ohci, RH_DESCRIPTOR_A);
    uint32_t ms = (descriptor >> RH_A_POWER_ON_TIME) * 2;

    if (!(descriptor & RH_A_ALWAYS_POWERED)) {
        write_register(ohci, RH_STATUS, RH_STATUS_POWER_ON);
        for (uint32_t port = 1; port <= ohci->usb.ports; port++)
            write_register(ohci, port_register(ohci, port), PORT_POWER);
    }
    usb_sleep(ms < POWER_MIN_MS ? POWER_MIN_MS : ms);
}

static struct ohci_queue *make_skeleton(struct ohci *ohci, const struct ohci_queue *next)
{
    struct ohci_queue *queue = usb_pool_take(&ohci->queues);

    ASSERT(queue != NULL); /* the pool is new */
    queue->ring.ed.control = OHCI_ED_SKIP;
    queue->ring.ed.next = next != NULL ? usb_phys(next) : 0;
    return queue;
}

static void make_schedule(struct ohci *ohci)
{
    ohci->control = make_skeleton(ohci, NULL);
    ohci->interrupt[0] = make_skeleton(ohci, NULL);
    for (uint32_t i = 1; i < PERIODIC_QUEUES; i++)
        ohci->interrupt[i] = make_skeleton(ohci, ohci->interrupt[0]);
    for (uint32_t frame = 0; frame < PERIODIC_FRAMES; frame++)
        ohci->hcca->interrupt[frame] = usb_phys(ohci->interrupt[periodic_queue_of_frame(frame)]);
}

/* False: there is too little; what was taken is for give_memory(). */
static bool take_memory(struct ohci *ohci)
{
    ohci->hcca = usb_alloc_page();
    return ohci->hcca != NULL && usb_pool_init(&ohci->queues, QUEUE_SIZE, QUEUE_PAGES);
}

static void give_memory(struct ohci *ohci)
{
    usb_pool_destroy(&ohci->queues);
    usb_free_page(ohci->hcca);
}

/* NULL or what is wrong. */
static const char *bring_up(struct ohci *ohci)
{
    if ((read_register(ohci, REVISION) & REVISION_MASK) != REVISION_1_0)
        return "it is not of revision 1.0";
    ohci->usb.ports = read_register(ohci, RH_DESCRIPTOR_A) & RH_A_PORTS;
    if (ohci->usb.ports < 1 || ohci->usb.ports > MAX_PORTS)
        return "its number of ports is impossible";
    if (!take_memory(ohci))
        return "too little memory";
    make_schedule(ohci);
    take_from_firmware(ohci);
    uint32_t flags = usb_lock();
    const char *wrong = reset_and_run(ohci);
    usb_unlock(flags);
    return wrong;
}

/* False: it reaches no memory any more, and nothing is kept of it. */
static bool start_controller(struct ohci *ohci, const struct pci_device_info *info)
{
    ohci->registers = pci_map_bar(info, REGISTERS_BAR, REGISTERS_SIZE);
    if (ohci->registers == NULL)
        return false;
    const char *wrong = bring_up(ohci);
    if (wrong == NULL)
        return true;
    log_message(ohci, wrong);
    stop(ohci);
    give_memory(ohci);
    unmap_window((const void *)ohci->registers);
    return false;
}

static void start_function(const struct pci_device_info *info)
{
    struct ohci *ohci = kcalloc(1, sizeof(*ohci));

    if (ohci == NULL) {
        klog("OHCI: too little memory");
        return;
    }
    ohci->usb = (struct usb_controller){ .kind = "OHCI", .pci = info->address, .ops = &operations };
    list_init(&ohci->open);
    if (!start_controller(ohci, info)) {
        kfree(ohci);
        return;
    }
    power_ports(ohci);
    usb_register_controller(&ohci->usb);
}

void ohci_start(void)
{
    const struct pci_device_info *info;

    for (uint32_t i = 0; (info = pci_get(i)) != NULL; i++) {
        if (info->class == CLASS_SERIAL_BUS && info->subclass == SUBCLASS_USB &&
            info->interface == INTERFACE_OHCI)
            start_function(info);
    }
}
