/*
 * OHCI's queues: how endpoints come into the controller's lists and out of them, and transfers
 * with them.
 *
 * Source: OpenHCI Specification 1.0a, "Removing Endpoint Descriptors" and "Done Queue".
 */
#include "ohci.h"
#include <drivers/pci.h>
#include <lib/bits.h>
#include <panic.h>
#include <usb/core.h>
#include <usb/system.h>

#define INTERRUPT_DONE_HEAD     (1u << 1)
#define INTERRUPT_UNRECOVERABLE (1u << 4)
#define FRAMES_MS               100u /* two frames need two */
#define DONE_QUEUE_MS           100u /* it needs seven */

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

/* Stops the controller for good: after it no memory of ours is touched. Interrupts are off. */
static void give_up(struct ohci *ohci, const char *why)
{
    struct ohci_queue *queue;
    uint16_t actual;

    if (ohci->usb.dead)
        return;
    ohci->usb.dead = true;
    ohci_stop(ohci);
    ohci_warn(ohci, why);
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
    ohci_write(ohci, INTERRUPT_STATUS, INTERRUPT_DONE_HEAD);
    while (address != 0) {
        struct ohci_queue *queue = queue_of_td(ohci, address);
        if (queue == NULL || !ohci_ring_retire(&queue->ring, address))
            return false;
        address = ((const struct ohci_td *)(uintptr_t)address)->next & OHCI_POINTER;
    }
    return true;
}

/* Reading the status first brings what the controller wrote to memory before. */
void ohci_poll(struct usb_controller *controller)
{
    struct ohci *ohci = ohci_of(controller);
    struct ohci_queue *queue;
    uint16_t actual;

    if (ohci->usb.dead)
        return;
    uint32_t status = ohci_read(ohci, INTERRUPT_STATUS);
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
    ohci_write(ohci, COMMAND_STATUS, COMMAND_CONTROL_FILLED);
}

bool ohci_submit(struct usb_transfer *transfer)
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
    uint32_t now = ohci_read(wait->ohci, FM_NUMBER);

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
    struct frame_wait wait = { ohci, ohci_read(ohci, FM_NUMBER) };

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
        ohci_warn(ohci, "no room for one more endpoint");
    return queue != NULL;
}

/* Turns the control list off or on. Off, and two frames later, no ED of it is current. */
static void set_control_list(struct ohci *ohci, bool on)
{
    uint32_t flags = usb_lock();
    uint32_t control = ohci_read(ohci, CONTROL) & ~CONTROL_CONTROL_LIST;

    if (!ohci->usb.dead)
        ohci_write(ohci, CONTROL, control | (on ? CONTROL_CONTROL_LIST : 0));
    usb_unlock(flags);
}

void ohci_endpoint_close(struct usb_endpoint *endpoint)
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
        ohci_write(ohci, CONTROL_CURRENT_ED, 0);
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
void ohci_cancel(struct usb_transfer *transfer)
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

bool ohci_device_open(struct usb_device *device)
{
    return open_queue(&device->control, ohci_of(device->controller)->control, 0);
}

bool ohci_device_address(struct usb_device *device)
{
    struct ohci_queue *queue = device->control.host;

    if (!usb_request(device, 0, USB_SET_ADDRESS, device->address, 0, NULL, 0))
        return false;
    queue->address = device->address;
    return true;
}

/* The packet size is read anew for each transfer. */
bool ohci_device_update(struct usb_device *device UNUSED)
{
    return true;
}

void ohci_device_close(struct usb_device *device)
{
    ohci_endpoint_close(&device->control);
}

bool ohci_endpoint_open(struct usb_endpoint *endpoint)
{
    struct ohci *ohci = ohci_of_endpoint(endpoint);
    uint32_t queue = periodic_queue_of_interval(endpoint->interval_ms);

    return open_queue(endpoint, ohci->interrupt[queue], endpoint->device->address);
}

/* Nothing is pending, so the controller only reads this. */
bool ohci_endpoint_reset(struct usb_endpoint *endpoint)
{
    struct ohci_queue *queue = endpoint->host;

    queue->ring.ed.head &= OHCI_POINTER;
    return true;
}
