/*
 * Hubs, of USB 2 and of USB 3: their ports by control transfers, and the endpoint that tells which
 * of them have changed.
 *
 * The status endpoint is asked again only after the ports that it named were looked at: until
 * then it would name them again.
 *
 * Sources: USB 2.0, "Hub Specification"; USB 3.2, "Hub, Host Downstream Port, and Device Upstream
 * Port Specification".
 */
#include <usb/core.h>
#include <usb/system.h>
#include <heap.h>
#include <log.h>

#define HUB_REQUEST         (USB_CLASS_REQUEST)
#define PORT_REQUEST        (USB_CLASS_REQUEST | USB_TO_OTHER)
#define SET_HUB_DEPTH       12

/* Features of a port. */
#define PORT_ENABLE         1
#define PORT_RESET          4
#define PORT_POWER          8
#define BH_PORT_RESET       28 /* USB 3: a warm reset */

/* wPortStatus, and the upper half of the double word: wPortChange. */
#define STATUS_CONNECTION   (1u << 0)
#define STATUS_ENABLE       (1u << 1)
#define STATUS_RESET        (1u << 4)
#define STATUS_POWER        (1u << 8)
#define STATUS_LOW_SPEED    (1u << 9)
#define STATUS_HIGH_SPEED   (1u << 10)
#define STATUS_SUPER_POWER  (1u << 9)
#define STATUS_LINK(status) ((status) >> 5 & 0xf)
#define LINK_INACTIVE       6u
#define LINK_COMPLIANCE     10u
#define CHANGE_CONNECTION   (1u << 16)
#define CHANGE_ENABLE       (1u << 17)
#define CHANGE_OVER_CURRENT (1u << 19)
#define CHANGE_RESET        (1u << 20)
#define CHANGE_WARM_RESET   (1u << 21)

/* The feature that clears a change; by its bit. */
static const uint8_t change_features[16] = { 16, 17, 18, 19, 20, 29, 25, 26 };

#define POWER_GOOD_MIN_MS   100u
#define RESET_TIMEOUT_MS    800u
#define RESET_LOOK_MS       10u
#define MAX_STATUS_FAILURES 3u

struct hub {
    struct usb_hub ports;
    struct usb_endpoint endpoint;
    struct usb_transfer transfer;
    uint32_t failures; /* of the status endpoint, one after the other */
};

static bool hub_matches(const struct usb_device *device, const struct usb_interface *interface)
{
    if (interface->class != USB_CLASS_HUB)
        return false;
    if (device->depth >= USB_MAX_DEPTH)
        klog_warning("USB: a hub behind %u others is not used", USB_MAX_DEPTH);
    return device->depth < USB_MAX_DEPTH;
}

static bool is_super(const struct usb_hub *hub)
{
    return hub->device->speed == USB_SPEED_SUPER;
}

static bool set_port(struct usb_hub *hub, uint32_t port, uint16_t feature)
{
    return usb_request(hub->device, PORT_REQUEST, USB_SET_FEATURE, feature, (uint16_t)port, NULL,
                       0);
}

static void clear_port(struct usb_hub *hub, uint32_t port, uint16_t feature)
{
    (void)usb_request(hub->device, PORT_REQUEST, USB_CLEAR_FEATURE, feature, (uint16_t)port, NULL,
                      0);
}

/* ---- Ports ---- */

/* Status in the lower half, changes in the upper; the changes are cleared by asking. */
static bool read_port(struct usb_hub *hub, uint32_t port, uint32_t *status)
{
    uint8_t bytes[4];

    if (!usb_request(hub->device, USB_TO_HOST | PORT_REQUEST, USB_GET_STATUS, 0, (uint16_t)port,
                     bytes, sizeof(bytes)))
        return false;
    *status =
        bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
    for (uint32_t i = 0; i < ARRAY_SIZE(change_features); i++) {
        if (change_features[i] != 0 && *status & CHANGE_CONNECTION << i)
            clear_port(hub, port, change_features[i]);
    }
    if (*status & CHANGE_OVER_CURRENT)
        (void)set_port(hub, port, PORT_POWER); /* it was switched off then */
    return true;
}

static enum usb_speed port_speed(const struct usb_hub *hub, uint32_t status)
{
    if (is_super(hub))
        return USB_SPEED_SUPER;
    if (status & STATUS_LOW_SPEED)
        return USB_SPEED_LOW;
    return status & STATUS_HIGH_SPEED ? USB_SPEED_HIGH : USB_SPEED_FULL;
}

static void decode_status(const struct usb_hub *hub, uint32_t bits, struct usb_port_status *status)
{
    *status = (struct usb_port_status){
        .connected = bits & STATUS_CONNECTION,
        .enabled = bits & STATUS_ENABLE,
        .powered = bits & (is_super(hub) ? STATUS_SUPER_POWER : STATUS_POWER),
        .changed = bits & (CHANGE_CONNECTION | CHANGE_ENABLE),
        .speed = port_speed(hub, bits),
    };
}

static bool hub_port_status(struct usb_hub *hub, uint32_t port, struct usb_port_status *status)
{
    uint32_t bits;

    if (!read_port(hub, port, &bits))
        return false;
    decode_status(hub, bits, status);
    return true;
}

static bool needs_warm_reset(const struct usb_hub *hub, uint32_t bits)
{
    uint32_t link = STATUS_LINK(bits);
    return is_super(hub) && (link == LINK_INACTIVE || link == LINK_COMPLIANCE);
}

static bool hub_port_reset(struct usb_hub *hub, uint32_t port, struct usb_port_status *status)
{
    uint32_t bits, changes = 0;

    if (!read_port(hub, port, &bits) ||
        !set_port(hub, port, needs_warm_reset(hub, bits) ? BH_PORT_RESET : PORT_RESET))
        return false;
    for (uint32_t waited = 0; waited < RESET_TIMEOUT_MS; waited += RESET_LOOK_MS) {
        usb_sleep(RESET_LOOK_MS);
        if (!read_port(hub, port, &bits))
            return false;
        changes |= bits & (CHANGE_RESET | CHANGE_WARM_RESET);
        if (changes == 0 || bits & STATUS_RESET)
            continue;
        decode_status(hub, bits, status);
        return status->connected && status->enabled;
    }
    return false;
}

static void hub_port_disable(struct usb_hub *hub, uint32_t port)
{
    if (!is_super(hub)) /* where a port cannot be disabled by itself */
        clear_port(hub, port, PORT_ENABLE);
}

/* ---- The status endpoint ---- */

/* Bit 0 is the hub itself, bit n port n. Interrupts are off. */
static void status_arrived(struct usb_transfer *transfer)
{
    struct hub *hub = transfer->arg;
    const uint8_t *bytes = transfer->buffer;

    if (transfer->status == USB_OK) {
        hub->failures = 0;
        for (uint32_t i = 0; i < transfer->actual && i < sizeof(hub->ports.changed); i++)
            hub->ports.changed |= (uint32_t)bytes[i] << 8 * i;
    }
    usb_wake();
}

/*
 * Asks again. A hub that was pulled fails here, too: its port tells. One that is there and does not
 * answer is started anew, for without it nothing would be known of its ports.
 */
static void ask_for_status(struct hub *hub)
{
    enum usb_status ended = hub->transfer.status;

    if (ended == USB_PENDING)
        return;
    if (hub->failures > MAX_STATUS_FAILURES) {
        char place[48];
        usb_format_place(hub->ports.device, place, sizeof(place));
        klog_warning("USB: the hub on %s tells nothing any more", place);
        usb_restart(hub->ports.device);
        return;
    }
    if (ended == USB_STALLED || ended == USB_FAILED) {
        hub->failures++;
        if (!usb_recover_interrupt(&hub->endpoint))
            return;
    }
    if (!usb_submit(&hub->transfer))
        hub->failures++;
}

static void hub_service(struct usb_device *device)
{
    struct hub *hub = device->core->driver_data;

    usb_service_ports(&hub->ports);
    ask_for_status(hub);
}

/* ---- Attaching ---- */

static bool read_hub_descriptor(struct usb_device *device, struct usb_hub_descriptor *descriptor)
{
    uint8_t bytes[16];
    uint16_t actual;
    uint8_t type = device->speed == USB_SPEED_SUPER ? USB_DESCRIPTOR_SUPER_HUB : USB_DESCRIPTOR_HUB;
    struct usb_setup setup = { USB_TO_HOST | HUB_REQUEST, USB_GET_DESCRIPTOR, (uint16_t)(type << 8),
                               0, sizeof(bytes) };

    return usb_control(device, &setup, bytes, &actual) == USB_OK &&
           usb_parse_hub(bytes, actual, descriptor);
}

/*
 * A hub with a translator for each port has a second setting of its interface for that. It is
 * left at the first one, with one translator for all, if that fails.
 */
static bool choose_multi_tt(struct usb_device *device, const struct usb_interface *interface)
{
    return device->speed == USB_SPEED_HIGH &&
           device->core->descriptor.protocol == USB_HUB_MULTI_TT &&
           usb_request(device, USB_TO_INTERFACE, USB_SET_INTERFACE, 1, interface->number, NULL, 0);
}

static void power_ports(struct usb_hub *hub, uint32_t power_good_ms)
{
    for (uint32_t port = 1; port <= hub->ports; port++)
        (void)set_port(hub, port, PORT_POWER);
    usb_sleep(power_good_ms > POWER_GOOD_MIN_MS ? power_good_ms : POWER_GOOD_MIN_MS);
    hub->changed = (2u << hub->ports) - 2; /* look at all of them */
}

/* The controller learns that the device is a hub. */
static enum usb_attach set_up_hub(struct usb_device *device, const struct usb_interface *interface)
{
    struct usb_hub_descriptor descriptor;

    if (!read_hub_descriptor(device, &descriptor))
        return USB_TRY_AGAIN;
    if (device->speed == USB_SPEED_SUPER &&
        !usb_request(device, HUB_REQUEST, SET_HUB_DEPTH, device->depth, 0, NULL, 0))
        return USB_TRY_AGAIN;
    device->is_hub = true;
    device->hub_ports = descriptor.ports;
    device->hub_think_time = descriptor.think_time;
    device->hub_multi_tt = choose_multi_tt(device, interface);
    if (!device->controller->ops->device_update(device))
        return USB_TRY_AGAIN;

    struct hub *hub = device->core->driver_data;
    hub->ports.ports = descriptor.ports;
    hub->ports.port = kcalloc(descriptor.ports + 1u, sizeof(struct usb_port));
    if (hub->ports.port == NULL)
        return USB_TRY_AGAIN;
    if (!usb_open_interrupt(device, interface, &hub->endpoint))
        return USB_TRY_AGAIN;
    power_ports(&hub->ports, descriptor.power_good_ms);
    return USB_ATTACHED;
}

static enum usb_attach hub_attach(struct usb_device *device, const struct usb_interface *interface)
{
    struct hub *hub = kcalloc(1, sizeof(*hub));
    if (hub == NULL)
        return USB_TRY_AGAIN;

    hub->ports = (struct usb_hub){
        .controller = device->controller,
        .device = device,
        .port_status = hub_port_status,
        .port_reset = hub_port_reset,
        .port_disable = hub_port_disable,
    };
    device->core->driver_data = hub;
    enum usb_attach result = set_up_hub(device, interface);
    if (result != USB_ATTACHED) {
        device->is_hub = false;
        device->core->driver_data = NULL;
        kfree(hub->ports.port);
        kfree(hub);
        return result;
    }
    hub->transfer = (struct usb_transfer){
        .endpoint = &hub->endpoint,
        .buffer = usb_class_buffer(device),
        .length = hub->endpoint.packet_size,
        .done = status_arrived,
        .arg = hub,
    };
    device->core->hub = &hub->ports;
    return USB_ATTACHED;
}

static void hub_detach(struct usb_device *device)
{
    struct hub *hub = device->core->driver_data;

    usb_detach_ports(&hub->ports);
    usb_close_interrupt(&hub->endpoint, &hub->transfer);
    device->core->hub = NULL;
    kfree(hub->ports.port);
    kfree(hub);
}

const struct usb_class usb_hub_class = {
    .name = "hub",
    .matches = hub_matches,
    .attach = hub_attach,
    .service = hub_service,
    .detach = hub_detach,
};
