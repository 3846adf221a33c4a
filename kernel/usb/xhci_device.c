/*
 * Devices of an xHCI controller: a slot each, with contexts that commands change, and a transfer
 * ring for each endpoint.
 *
 * A transfer ends by an event that names its last block, or any of its blocks when it failed. An
 * event that names another one is late, of a transfer that was taken back, and is dropped.
 *
 * Source: eXtensible Host Controller Interface 1.2, "Device Initialization", "Command Interface"
 * and "Transfer TRBs".
 */
#include "xhci.h"
#include <heap.h>
#include <lib/string.h>
#include <usb/core.h>
#include <usb/system.h>

/* The first two words of an input context. */
#define INPUT_DROP           0
#define INPUT_ADD            1
#define ADD_SLOT             (1u << 0)

#define ENDPOINT_STATE(word) ((word)&7u)
#define ENDPOINT_HALTED      2u

#define STOP_ATTEMPTS        3u

#define SLOT_ADDRESS(word)   ((word)&0xffu) /* of the slot context's fourth word */

#define TRB_SHORT_EVENT      (1u << 2)
#define TRB_EVENT            (1u << 5)
#define TRB_IMMEDIATE        (1u << 6)
#define TRB_TO_HOST          (1u << 16)
#define TRB_STAGE_OUT        (2u << 16)
#define TRB_STAGE_IN         (3u << 16)

static struct xhci *controller_of(const struct usb_device *device)
{
    return xhci_of(device->controller);
}

/* ---- Contexts ---- */

static uint32_t *input_words(const struct xhci *x, struct xhci_device *d, uint32_t index)
{
    return (uint32_t *)(d->input + x->context_size * index);
}

/* An input context with nothing in it but the slot. */
static void begin_input(struct usb_device *device, uint32_t drop, uint32_t add)
{
    struct xhci *x = controller_of(device);
    struct xhci_device *d = device->host;
    uint32_t entries = XHCI_CONTROL_DCI;

    for (uint32_t dci = XHCI_CONTROL_DCI; dci < XHCI_CONTEXTS; dci++) {
        if (d->endpoints[dci] != NULL)
            entries = dci;
    }
    const struct xhci_device *translator =
        device->translator != NULL ? device->translator->host : NULL;
    memset(d->input, 0, x->context_size * (XHCI_CONTEXTS + 1));
    input_words(x, d, 0)[INPUT_DROP] = drop;
    input_words(x, d, 0)[INPUT_ADD] = add;
    xhci_slot_context(input_words(x, d, 1), device, d->speed_id, entries,
                      translator != NULL ? translator->slot : 0);
}

static void add_endpoint(struct usb_endpoint *endpoint)
{
    struct xhci_device *d = endpoint->device->host;
    uint32_t dci = xhci_dci(endpoint->address);

    xhci_endpoint_context(input_words(controller_of(endpoint->device), d, dci + 1), endpoint,
                          xhci_ring_position(&d->endpoints[dci]->ring));
}

static bool command_with_input(struct usb_device *device, uint32_t type, uint32_t control)
{
    struct xhci_device *d = device->host;

    return xhci_command(controller_of(device), type, usb_phys(d->input),
                        control | CMD_SLOT(d->slot), NULL) == CODE_SUCCESS;
}

/* ---- Endpoints ---- */

static struct xhci_endpoint *new_endpoint(void)
{
    struct xhci_endpoint *e = kcalloc(1, sizeof(*e));
    void *page = usb_alloc_page();

    if (e == NULL || page == NULL) {
        kfree(e);
        usb_free_page(page);
        return NULL;
    }
    xhci_ring_init(&e->ring, page);
    return e;
}

static void free_endpoint(struct xhci_endpoint *e)
{
    if (e == NULL)
        return;
    usb_free_page((void *)(uintptr_t)e->ring.trbs);
    kfree(e);
}

bool xhci_endpoint_open(struct usb_endpoint *endpoint)
{
    struct xhci_device *d = endpoint->device->host;
    uint32_t dci = xhci_dci(endpoint->address);

    if (d->endpoints[dci] != NULL)
        return false;
    endpoint->host = d->endpoints[dci] = new_endpoint();
    if (endpoint->host == NULL)
        return false;
    begin_input(endpoint->device, 0, ADD_SLOT | 1u << dci);
    add_endpoint(endpoint);
    if (command_with_input(endpoint->device, CMD_CONFIGURE, 0))
        return true;
    free_endpoint(endpoint->host);
    endpoint->host = d->endpoints[dci] = NULL;
    return false;
}

void xhci_endpoint_close(struct usb_endpoint *endpoint)
{
    struct xhci_device *d = endpoint->device->host;
    uint32_t dci = xhci_dci(endpoint->address);

    struct xhci_endpoint *e = d->endpoints[dci];
    d->endpoints[dci] = NULL; /* no event finds it any more */
    begin_input(endpoint->device, 1u << dci, ADD_SLOT);
    if (command_with_input(endpoint->device, CMD_CONFIGURE, 0))
        free_endpoint(e);
    else
        d->endpoints[dci] =
            e; /* the controller may still look at the ring: it goes with the slot */
    endpoint->host = NULL;
}

/* What the context says may come late; so events count, too ("Endpoint Context State"). */
static bool is_halted(const struct xhci *x, const struct xhci_device *d, uint32_t dci)
{
    const volatile uint32_t *words =
        (const volatile uint32_t *)(d->context + x->context_size * dci);
    return d->endpoints[dci]->halted || ENDPOINT_STATE(words[0]) == ENDPOINT_HALTED;
}

/*
 * Stops an endpoint, whatever state it is in, and lets it go on at the next free block. It may halt
 * just as it is to be stopped, or refuse at first if its doorbell was rung just before.
 */
static bool restart_endpoint(struct usb_endpoint *endpoint)
{
    struct xhci *x = controller_of(endpoint->device);
    struct xhci_device *d = endpoint->device->host;
    struct xhci_endpoint *e = endpoint->host;
    uint32_t dci = xhci_dci(endpoint->address);
    uint32_t control = CMD_ENDPOINT(dci) | CMD_SLOT(d->slot);

    for (uint32_t i = 0; i < STOP_ATTEMPTS && !e->stopped; i++) {
        uint32_t type = is_halted(x, d, dci) ? CMD_RESET_ENDPOINT : CMD_STOP_ENDPOINT;
        e->stopped = xhci_command(x, type, 0, control, NULL) == CODE_SUCCESS;
    }
    e->halted = false;
    return xhci_command(x, CMD_SET_DEQUEUE, xhci_ring_position(&e->ring), control, NULL) ==
           CODE_SUCCESS;
}

bool xhci_endpoint_reset(struct usb_endpoint *endpoint)
{
    const struct usb_device *device = endpoint->device;
    struct xhci_endpoint *e = endpoint->host;
    bool restarted = restart_endpoint(endpoint);

    if (e->broken_off && device->translator != NULL) {
        const struct xhci_device *d = device->host;
        usb_clear_translator(device, SLOT_ADDRESS(((const volatile uint32_t *)d->context)[3]));
    }
    e->broken_off = false;
    return restarted;
}

/* ---- Devices ---- */

static bool new_slot(struct usb_device *device)
{
    struct xhci *x = controller_of(device);
    struct xhci_device *d = device->host;
    const struct xhci_protocol *protocol = xhci_port_protocol(x, device->root_port);
    uint8_t slot = 0;

    if (xhci_command(x, CMD_ENABLE_SLOT, 0, (uint32_t)protocol->slot_type << 16, &slot) !=
            CODE_SUCCESS ||
        slot == 0 || slot > x->slots)
        return false;
    d->speed_id = device->parent == NULL ? xhci_port_speed_id(x, device->root_port)
                                         : xhci_speed_id(protocol, device->speed);
    d->slot = slot;
    x->devices[slot] = d;
    x->tables->contexts[slot] = usb_phys(d->context);
    return true;
}

static void free_device(struct xhci_device *d)
{
    for (uint32_t dci = 0; dci < XHCI_CONTEXTS; dci++)
        free_endpoint(d->endpoints[dci]);
    usb_free_page(d->context);
    usb_free_page(d->input);
    kfree(d);
}

static bool address_device(struct usb_device *device, uint32_t control)
{
    begin_input(device, 0, ADD_SLOT | 1u << XHCI_CONTROL_DCI);
    add_endpoint(&device->control);
    return command_with_input(device, CMD_ADDRESS_DEVICE, control);
}

bool xhci_device_open(struct usb_device *device)
{
    struct xhci_device *d = kcalloc(1, sizeof(*d));
    if (d == NULL)
        return false;

    d->context = usb_alloc_page();
    d->input = usb_alloc_page();
    device->control.host = d->endpoints[XHCI_CONTROL_DCI] = new_endpoint();
    device->host = d;
    if (d->context == NULL || d->input == NULL || device->control.host == NULL ||
        !new_slot(device)) {
        free_device(d);
        device->host = NULL;
        return false;
    }
    if (address_device(device, CMD_BLOCK_ADDRESS))
        return true;
    xhci_device_close(device);
    return false;
}

bool xhci_device_address(struct usb_device *device)
{
    return address_device(device, 0);
}

bool xhci_device_update(struct usb_device *device)
{
    if (device->is_hub) {
        begin_input(device, 0, ADD_SLOT);
        return command_with_input(device, CMD_CONFIGURE, 0);
    }
    begin_input(device, 0, 1u << XHCI_CONTROL_DCI);
    add_endpoint(&device->control);
    return command_with_input(device, CMD_EVALUATE, 0);
}

void xhci_device_close(struct usb_device *device)
{
    struct xhci *x = controller_of(device);
    struct xhci_device *d = device->host;

    bool disabled = xhci_command(x, CMD_DISABLE_SLOT, 0, CMD_SLOT(d->slot), NULL) == CODE_SUCCESS;
    uint32_t state = usb_lock();
    x->devices[d->slot] = NULL;
    usb_unlock(state);
    device->host = NULL;
    if (!disabled)
        return; /* the controller may still use what it knows */
    x->tables->contexts[d->slot] = 0;
    free_device(d);
}

/* ---- Transfers ---- */

static uint32_t control_blocks(const struct usb_transfer *transfer, struct xhci_trb *blocks)
{
    const struct usb_setup *setup = &transfer->setup;
    bool to_host = setup->request_type & USB_TO_HOST;
    bool has_data = transfer->length != 0;
    uint32_t count = 0;

    uint32_t stage = !has_data ? 0 : to_host ? TRB_STAGE_IN : TRB_STAGE_OUT;
    blocks[count++] = (struct xhci_trb){
        .parameter = { setup->request_type | (uint32_t)setup->request << 8 |
                           (uint32_t)setup->value << 16,
                       setup->index | (uint32_t)setup->length << 16 },
        .status = sizeof(*setup),
        .control = TRB_TYPE(TRB_SETUP) | TRB_IMMEDIATE | stage,
    };
    if (has_data)
        blocks[count++] = (struct xhci_trb){
            .parameter = { usb_phys(transfer->buffer), 0 },
            .status = transfer->length,
            .control = TRB_TYPE(TRB_DATA) | TRB_SHORT_EVENT | (to_host ? TRB_TO_HOST : 0),
        };
    blocks[count++] = (struct xhci_trb){
        .control = TRB_TYPE(TRB_STATUS) | TRB_EVENT | (has_data && to_host ? 0 : TRB_TO_HOST),
    };
    return count;
}

static uint32_t normal_block(const struct usb_transfer *transfer, struct xhci_trb *blocks)
{
    blocks[0] = (struct xhci_trb){
        .parameter = { usb_phys(transfer->buffer), 0 },
        .status = transfer->length,
        .control = TRB_TYPE(TRB_NORMAL) | TRB_SHORT_EVENT | TRB_EVENT,
    };
    return 1;
}

bool xhci_submit(struct usb_transfer *transfer)
{
    struct usb_endpoint *endpoint = transfer->endpoint;
    struct xhci_device *d = endpoint->device->host;
    struct xhci_endpoint *e = endpoint->host;
    uint32_t dci = xhci_dci(endpoint->address);
    struct xhci_trb blocks[XHCI_TD_MAX];

    if (e == NULL || e->pending != NULL)
        return false;
    e->pending = transfer;
    e->stopped = false;
    e->moved = transfer->length;
    e->count =
        dci == XHCI_CONTROL_DCI ? control_blocks(transfer, blocks) : normal_block(transfer, blocks);
    xhci_ring_push(&e->ring, blocks, e->count, e->blocks);
    xhci_ring_doorbell(controller_of(endpoint->device), d->slot, dci);
    return true;
}

static void end_transfer(struct xhci_endpoint *e, enum usb_status status, uint16_t moved)
{
    struct usb_transfer *transfer = e->pending;

    e->pending = NULL;
    if (transfer->endpoint->address == 0 && (status == USB_FAILED || status == USB_CANCELLED))
        e->broken_off = true;
    usb_transfer_done(transfer, status, moved);
}

void xhci_cancel(struct usb_transfer *transfer)
{
    struct xhci_endpoint *e = transfer->endpoint->host;

    (void)restart_endpoint(transfer->endpoint);
    uint32_t state = usb_lock();
    if (e->pending == transfer) /* else it has ended meanwhile */
        end_transfer(e, USB_CANCELLED, 0);
    usb_unlock(state);
}

/* ---- Events ---- */

static struct xhci_endpoint *find_endpoint(struct xhci *x, const struct xhci_trb *event)
{
    struct xhci_device *d = x->devices[event->control >> 24];
    return d == NULL ? NULL : d->endpoints[event->control >> 16 & 0x1f];
}

/* Which block of the pending transfer an event names; `count` if none. */
static uint32_t find_block(const struct xhci_endpoint *e, uint32_t address)
{
    uint32_t i = 0;

    while (i < e->count && e->blocks[i] != address)
        i++;
    return i;
}

void xhci_transfer_event(struct xhci *x, const struct xhci_trb *event)
{
    struct xhci_endpoint *e = find_endpoint(x, event);
    uint32_t code = event->status >> 24, left = event->status & 0xffffff;

    if (e == NULL || e->pending == NULL || event->parameter[1] != 0 ||
        (code >= CODE_STOPPED && code <= CODE_STOPPED_SHORT))
        return;
    uint32_t block = find_block(e, event->parameter[0]);
    if (block == e->count)
        return;
    bool is_last = block == e->count - 1;
    bool has_data = e->count != 2; /* a control transfer without data is setup and status */
    bool is_data = block == (e->count == 3 ? 1 : 0) && has_data;

    /* Some controllers report a short block twice, the second time as if all had been moved. */
    if (is_data && left <= e->pending->length && e->pending->length - left < e->moved)
        e->moved = (uint16_t)(e->pending->length - left);
    if (code == CODE_STALL || code == CODE_TRANSACTION || code == CODE_BABBLE || code == CODE_SPLIT)
        e->halted = true;
    if (code == CODE_STALL)
        end_transfer(e, USB_STALLED, 0);
    else if (code != CODE_SUCCESS && code != CODE_SHORT_PACKET)
        end_transfer(e, USB_FAILED, 0);
    else if (is_last)
        end_transfer(e, USB_OK, e->moved);
}
