/*
 * EHCI's pipes: how endpoints come into the schedules and out of them.
 *
 * A pipe waits in its schedule from open to close. Taken out of it, it is the driver's alone as
 * soon as the controller has let go of what it may have read: of the asynchronous schedule it is
 * asked by the doorbell, of the periodic one it has when the frame is over.
 */
#include "ehci.h"
#include <log.h>
#include <usb/core.h>
#include <usb/ehci_schedule.h>
#include <usb/system.h>

#define DOORBELL_MS 20u
#define FRAMES_MS   2u /* the frame that is worked on, and one that is read ahead */

_Static_assert(sizeof(struct ehci_pipe) <= EHCI_PIPE_SIZE, "a pipe is a piece of the pool");

/* ---- Schedules ---- */

static void link_async(struct ehci *hc, struct ehci_pipe *pipe)
{
    pipe->qh.link = hc->head->qh.link;
    hc->head->qh.link = usb_phys(&pipe->qh) | EHCI_LINK_QH;
}

/* Asks the controller to forget what it has read of the schedule, and waits until it says so. */
static bool ring_doorbell(struct ehci *hc)
{
    ehci_write(hc, USBSTS, USBSTS_ADVANCED);
    ehci_write(hc, USBCMD, USBCMD_WORKING | USBCMD_DOORBELL);
    bool answered = ehci_wait(hc, USBSTS, USBSTS_ADVANCED, USBSTS_ADVANCED, DOORBELL_MS);
    ehci_write(hc, USBSTS, USBSTS_ADVANCED);
    return answered;
}

/* The same by stopping the schedule for a moment: some controllers miss the doorbell. */
static bool pause_async(struct ehci *hc)
{
    ehci_write(hc, USBCMD, USBCMD_WORKING & ~USBCMD_ASYNC);
    if (!ehci_wait(hc, USBSTS, USBSTS_ASYNC, 0, DOORBELL_MS))
        return false;
    ehci_write(hc, USBCMD, USBCMD_WORKING);
    return ehci_wait(hc, USBSTS, USBSTS_ASYNC, USBSTS_ASYNC, DOORBELL_MS);
}

static void unlink_async(struct ehci *hc, struct ehci_pipe *pipe)
{
    struct ehci_pipe *before = hc->head;

    while (ehci_pipe_of_link(before->qh.link) != pipe)
        before = ehci_pipe_of_link(before->qh.link);
    before->qh.link = pipe->qh.link;
    if (!ring_doorbell(hc) && !pause_async(hc))
        ehci_give_up(hc, "it does not let go of an endpoint");
}

static void link_pipe(struct ehci *hc, struct ehci_pipe *pipe)
{
    if (ehci_is_control(pipe->endpoint))
        link_async(hc, pipe);
    else
        ehci_schedule_link(hc->frames, pipe);
}

/* When this returns, the controller has let go of the pipe, or is dead and reaches no memory. */
static void unlink_pipe(struct ehci *hc, struct ehci_pipe *pipe)
{
    if (ehci_is_control(pipe->endpoint)) {
        unlink_async(hc, pipe);
    } else {
        ehci_schedule_unlink(hc->frames, pipe);
        usb_sleep(FRAMES_MS);
    }
}

/* ---- Transfers ---- */

bool ehci_submit(struct usb_transfer *transfer)
{
    struct ehci_pipe *pipe = transfer->endpoint->host;

    if (!ehci_pipe_is_ready(pipe))
        return false;
    ehci_pipe_start(pipe, transfer);
    return true;
}

void ehci_look_at(struct ehci_pipe *pipe)
{
    uint16_t actual;
    struct usb_transfer *transfer = pipe->transfer;

    if (transfer == NULL)
        return;
    enum usb_status status = ehci_pipe_progress(pipe, &actual);
    if (status == USB_PENDING)
        return;
    ehci_pipe_finish(pipe, status);
    usb_transfer_done(transfer, status, actual);
}

/* A transfer that has ended meanwhile is reported as it did. */
void ehci_cancel(struct usb_transfer *transfer)
{
    struct ehci *hc = ehci_of(transfer->endpoint->device->controller);
    struct ehci_pipe *pipe = transfer->endpoint->host;
    uint16_t actual;

    unlink_pipe(hc, pipe);
    uint32_t state = usb_lock();
    if (pipe->transfer == transfer) {
        enum usb_status status = ehci_pipe_progress(pipe, &actual);
        status = status == USB_PENDING ? USB_CANCELLED : status;
        ehci_pipe_finish(pipe, status);
        ehci_pipe_restart(pipe, ehci_pipe_toggle(pipe));
        usb_transfer_done(transfer, status, actual);
    }
    link_pipe(hc, pipe);
    usb_unlock(state);
}

/* ---- Endpoints and devices ---- */

/* A pipe in no schedule yet; NULL, with a message, when there is none left. */
static struct ehci_pipe *open_pipe(struct ehci *hc, struct usb_endpoint *endpoint, uint8_t address)
{
    uint32_t state = usb_lock();
    struct ehci_pipe *pipe = usb_pool_take(&hc->pool);

    if (pipe != NULL) {
        ehci_pipe_init(pipe, endpoint, address);
        pipe->next = hc->pipes;
        hc->pipes = pipe;
    }
    usb_unlock(state);
    if (pipe == NULL)
        klog_warning("%s: more than %u endpoints", hc->name, EHCI_PIPES - 2);
    endpoint->host = pipe;
    return pipe;
}

/* The controller does not know it, or has let go of it. */
static void free_pipe(struct ehci *hc, struct usb_endpoint *endpoint)
{
    uint32_t state = usb_lock();
    struct ehci_pipe **link = &hc->pipes;

    while (*link != endpoint->host)
        link = &(*link)->next;
    *link = (*link)->next;
    usb_pool_give(&hc->pool, endpoint->host);
    usb_unlock(state);
    endpoint->host = NULL;
}

static void close_pipe(struct ehci *hc, struct usb_endpoint *endpoint)
{
    struct ehci_pipe *pipe = endpoint->host;

    if (pipe->transfer != NULL)
        ehci_cancel(pipe->transfer);
    unlink_pipe(hc, pipe);
    free_pipe(hc, endpoint);
}

bool ehci_device_open(struct usb_device *device)
{
    struct ehci *hc = ehci_of(device->controller);

    if (device->speed != USB_SPEED_HIGH && device->translator == NULL) {
        klog_warning("%s: port %u: no hub translates for a slower device", hc->name,
                     device->root_port);
        return false;
    }
    struct ehci_pipe *pipe = open_pipe(hc, &device->control, 0);
    if (pipe == NULL)
        return false;
    link_pipe(hc, pipe);
    return true;
}

/* Gives the control pipe's queue head what is known now. */
static bool describe_control(struct usb_device *device, uint8_t address)
{
    struct ehci *hc = ehci_of(device->controller);
    struct ehci_pipe *pipe = device->control.host;

    unlink_pipe(hc, pipe);
    ehci_pipe_describe(pipe, address);
    link_pipe(hc, pipe);
    return !hc->controller.dead;
}

bool ehci_device_address(struct usb_device *device)
{
    return usb_request(device, 0, USB_SET_ADDRESS, device->address, 0, NULL, 0) &&
           describe_control(device, device->address);
}

bool ehci_device_update(struct usb_device *device)
{
    return describe_control(device, ehci_pipe_address(device->control.host));
}

void ehci_device_close(struct usb_device *device)
{
    close_pipe(ehci_of(device->controller), &device->control);
}

bool ehci_endpoint_open(struct usb_endpoint *endpoint)
{
    struct ehci *hc = ehci_of(endpoint->device->controller);
    struct ehci_pipe *pipe = open_pipe(hc, endpoint, endpoint->device->address);

    if (pipe == NULL)
        return false;
    if (!ehci_schedule_place(hc->frames, pipe)) {
        klog_warning("%s: no time left on the bus for another endpoint", hc->name);
        free_pipe(hc, endpoint);
        return false;
    }
    link_pipe(hc, pipe);
    return true;
}

void ehci_endpoint_close(struct usb_endpoint *endpoint)
{
    close_pipe(ehci_of(endpoint->device->controller), endpoint);
}

bool ehci_endpoint_reset(struct usb_endpoint *endpoint)
{
    struct ehci *hc = ehci_of(endpoint->device->controller);
    struct ehci_pipe *pipe = endpoint->host;

    unlink_pipe(hc, pipe);
    ehci_pipe_restart(pipe, 0);
    link_pipe(hc, pipe);
    if (pipe->broken_off) {
        pipe->broken_off = false;
        usb_clear_translator(endpoint->device, ehci_pipe_address(pipe));
    }
    return !hc->controller.dead;
}
