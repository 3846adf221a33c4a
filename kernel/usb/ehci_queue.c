/*
 * Queue heads and transfer descriptors. See the header for how they are used.
 *
 * Words are written in an order in which the controller may read between any two of them: what it
 * follows is complete before it is made active.
 */
#include <usb/ehci_queue.h>
#include <panic.h>

#define PAGE            4096u
#define ERRORS_ALLOWED  3u
#define NAK_RELOAD      4u /* high-speed control endpoints: NAKs before others get their turn */
#define REQUEST_TO_HOST 0x80u
#define SETUP_SIZE      8u

bool ehci_is_control(const struct usb_endpoint *endpoint)
{
    return (endpoint->address & 0xf) == 0;
}

bool ehci_is_split(const struct usb_endpoint *endpoint)
{
    return endpoint->device->speed != USB_SPEED_HIGH;
}

/* ---- Setting up ---- */

void ehci_pipe_init_end(struct ehci_pipe *pipe)
{
    pipe->qh.link = EHCI_LINK_END;
    pipe->qh.characteristics = EHCI_QH_SPEED(2);
    pipe->qh.capabilities = EHCI_QH_MULT(1);
    pipe->qh.next = pipe->qh.alternate = EHCI_LINK_END;
    pipe->qh.token = EHCI_TOKEN_HALTED;
}

void ehci_pipe_init_head(struct ehci_pipe *pipe)
{
    ehci_pipe_init_end(pipe);
    pipe->qh.link = usb_phys(&pipe->qh) | EHCI_LINK_QH;
    pipe->qh.characteristics |= EHCI_QH_HEAD;
}

void ehci_pipe_init(struct ehci_pipe *pipe, struct usb_endpoint *endpoint, uint8_t address)
{
    for (uint32_t i = 0; i < EHCI_RING_SIZE; i++) {
        pipe->ring[i].next = usb_phys(&pipe->ring[(i + 1) % EHCI_RING_SIZE]);
        pipe->ring[i].alternate = EHCI_LINK_END; /* a short packet goes to `next` as well */
    }
    pipe->endpoint = endpoint;
    pipe->qh.link = EHCI_LINK_END;
    ehci_pipe_describe(pipe, address);
    ehci_pipe_restart(pipe, 0);
}

void ehci_pipe_describe(struct ehci_pipe *pipe, uint8_t address)
{
    static const uint8_t speeds[] = {
        [USB_SPEED_FULL] = 0, [USB_SPEED_LOW] = 1, [USB_SPEED_HIGH] = 2
    };
    const struct usb_endpoint *endpoint = pipe->endpoint;
    const struct usb_device *device = endpoint->device;
    bool split = ehci_is_split(endpoint);
    uint32_t what = EHCI_QH_ADDRESS(address) | EHCI_QH_ENDPOINT(endpoint->address & 0xf) |
                    EHCI_QH_SPEED(speeds[device->speed]) |
                    EHCI_QH_PACKET_SIZE(endpoint->packet_size);
    uint32_t where = EHCI_QH_MULT(1) | (pipe->qh.capabilities & EHCI_QH_MASKS);

    if (ehci_is_control(endpoint)) {
        what |= EHCI_QH_TOGGLE_OF_QTD;
        what |= split ? EHCI_QH_SLOW_CONTROL : EHCI_QH_NAK_RELOAD(NAK_RELOAD);
    }
    if (split)
        where |= EHCI_QH_HUB(device->translator->address) | EHCI_QH_PORT(device->translator_port);
    pipe->qh.characteristics = what;
    pipe->qh.capabilities = where;
}

void ehci_pipe_restart(struct ehci_pipe *pipe, uint32_t toggle)
{
    /* Behind the one that failed others may still be active. */
    for (uint32_t i = 0; i < EHCI_RING_SIZE; i++)
        pipe->ring[i].token = 0;
    pipe->first = pipe->count = 0;

    pipe->qh.current = 0;
    pipe->qh.next = usb_phys(&pipe->ring[0]);
    pipe->qh.alternate = EHCI_LINK_END;
    pipe->qh.token = toggle;
}

uint8_t ehci_pipe_address(const struct ehci_pipe *pipe)
{
    return pipe->qh.characteristics & 0x7f;
}

uint32_t ehci_pipe_toggle(const struct ehci_pipe *pipe)
{
    return pipe->qh.token & EHCI_TOKEN_TOGGLE;
}

/* ---- A transfer ---- */

static struct ehci_qtd *in_use(const struct ehci_pipe *pipe, uint32_t index)
{
    return (struct ehci_qtd *)&pipe->ring[(pipe->first + index) % EHCI_RING_SIZE];
}

/* Appends a descriptor. All but the first become active at once: nothing leads to them yet. */
static void append(struct ehci_pipe *pipe, enum ehci_pid pid, const volatile void *data,
                   uint32_t length, uint32_t toggle)
{
    struct ehci_qtd *qtd = in_use(pipe, pipe->count);
    uint32_t address = usb_phys((const void *)data);

    ASSERT(length == 0 || address % PAGE + length <= PAGE);
    qtd->buffer[0] = address;
    qtd->token = EHCI_TOKEN_PID(pid) | EHCI_TOKEN_ERRORS(ERRORS_ALLOWED) |
                 EHCI_TOKEN_LENGTH(length) | toggle | (pipe->count > 0 ? EHCI_TOKEN_ACTIVE : 0);
    pipe->count++;
}

/* USB 2.0, "Control Transfers": the data begins with toggle 1, and so does the status. */
static void append_control(struct ehci_pipe *pipe, const struct usb_transfer *transfer)
{
    const struct usb_setup *setup = &transfer->setup;
    bool in = setup->request_type & REQUEST_TO_HOST;

    pipe->setup[0] =
        setup->request_type | (uint32_t)setup->request << 8 | (uint32_t)setup->value << 16;
    pipe->setup[1] = setup->index | (uint32_t)setup->length << 16;
    append(pipe, EHCI_PID_SETUP, pipe->setup, SETUP_SIZE, 0);
    if (transfer->length > 0)
        append(pipe, in ? EHCI_PID_IN : EHCI_PID_OUT, transfer->buffer, transfer->length,
               EHCI_TOKEN_TOGGLE);
    /* The status goes the other way; without data it comes from the device. */
    append(pipe, in && transfer->length > 0 ? EHCI_PID_OUT : EHCI_PID_IN, NULL, 0,
           EHCI_TOKEN_TOGGLE);
}

bool ehci_pipe_is_ready(const struct ehci_pipe *pipe)
{
    return pipe->transfer == NULL && pipe->count == 0;
}

void ehci_pipe_start(struct ehci_pipe *pipe, struct usb_transfer *transfer)
{
    ASSERT(ehci_pipe_is_ready(pipe));
    pipe->transfer = transfer;
    if (ehci_is_control(pipe->endpoint))
        append_control(pipe, transfer);
    else
        append(pipe, pipe->endpoint->address & 0x80 ? EHCI_PID_IN : EHCI_PID_OUT, transfer->buffer,
               transfer->length, 0); /* the queue head keeps the toggle */
    in_use(pipe, 0)->token |= EHCI_TOKEN_ACTIVE;
}

/* What halted a queue. Errors left mean that it was not they, but the device's own refusal. */
static enum usb_status decode_halt(uint32_t token)
{
    if (token & EHCI_TOKEN_BABBLE)
        return USB_FAILED;
    return EHCI_TOKEN_GET_ERRORS(token) > 0 ? USB_STALLED : USB_FAILED;
}

static uint16_t bytes_moved(const struct ehci_pipe *pipe)
{
    uint32_t asked = pipe->transfer->length;

    if (asked == 0)
        return 0;
    uint32_t left =
        EHCI_TOKEN_GET_LENGTH(in_use(pipe, ehci_is_control(pipe->endpoint) ? 1 : 0)->token);
    return left <= asked ? (uint16_t)(asked - left) : 0;
}

static enum usb_status progress(const struct ehci_pipe *pipe)
{
    for (uint32_t i = 0; i < pipe->count; i++) {
        uint32_t token = in_use(pipe, i)->token;
        if (token & EHCI_TOKEN_HALTED)
            return decode_halt(token);
        if (token & EHCI_TOKEN_ACTIVE)
            return USB_PENDING;
    }
    return USB_OK;
}

/* The bytes are counted last: what has ended has moved all that it will. */
enum usb_status ehci_pipe_progress(const struct ehci_pipe *pipe, uint16_t *actual)
{
    enum usb_status status = progress(pipe);

    *actual = bytes_moved(pipe);
    return status;
}

void ehci_pipe_finish(struct ehci_pipe *pipe, enum usb_status status)
{
    pipe->transfer = NULL;
    if (status == USB_OK) {
        pipe->first = (uint8_t)((pipe->first + pipe->count) % EHCI_RING_SIZE);
        pipe->count = 0;
    } else if (status != USB_STALLED) {
        pipe->broken_off = ehci_is_split(pipe->endpoint) && ehci_is_control(pipe->endpoint);
    }
}
