/*
 * Controllers, ports, and bringing a device up. The header has the picture.
 *
 * Invariants:
 * - a device hangs on exactly one port, whose state is USB_PORT_USED then and only then;
 * - of an endpoint at most one transfer is pending, and of all control endpoints one at a time,
 *   for only the thread "usb" makes control transfers;
 * - of a dead controller nothing is asked any more, and what it might still write to is not given
 *   back.
 *
 * Source: USB 2.0, "Bus Enumeration" and "Standard Device Requests".
 */
#include <usb/core.h>
#include <usb/system.h>
#include <drivers/pci_scan.h>
#include <heap.h>
#include <lib/printf.h>
#include <lib/string.h>
#include <log.h>

#define DEBOUNCE_MS        100u
#define RESET_RECOVERY_MS  10u    /* what the specification grants a device */
#define SLOW_RECOVERY_MS   50u    /* and what is granted to one that has failed */
#define ADDRESS_SETTLE_MS  10u    /* the specification grants 2 */
#define RETRY_MS           250u   /* before the second attempt; twice that before the third... */
#define STABLE_MS          10000u /* a device that worked so long has all its attempts again */
#define CONTROL_TIMEOUT_MS 1000u
#define ATTEMPTS           4u
#define ADDRESSES          128u
#define STRING_LENGTH      255u /* what is asked for: other lengths are too much for some devices */

static const struct usb_class *const classes[] = { &usb_hub_class, &usb_keyboard_class };

struct controller_node {
    struct usb_controller *controller;
    struct usb_hub root;
    bool buried; /* it is dead, and its devices are gone */
    struct controller_node *next;
};

static struct controller_node *controllers; /* grows only, under usb_lock; in order */

/* ---- Transfers ---- */

void usb_transfer_done(struct usb_transfer *transfer, enum usb_status status, uint16_t actual)
{
    transfer->actual = actual;
    transfer->status = status;
    if (transfer->done != NULL)
        transfer->done(transfer);
}

bool usb_submit(struct usb_transfer *transfer)
{
    struct usb_controller *controller = transfer->endpoint->device->controller;
    uint32_t state = usb_lock();

    transfer->actual = 0;
    transfer->status = USB_PENDING;
    bool submitted = !controller->dead && controller->ops->submit(transfer);
    if (!submitted)
        transfer->status = USB_CANCELLED;
    usb_unlock(state);
    return submitted;
}

static bool has_ended(void *arg)
{
    const struct usb_transfer *transfer = arg;
    return transfer->status != USB_PENDING || transfer->endpoint->device->controller->dead;
}

static void cancel(struct usb_transfer *transfer)
{
    struct usb_controller *controller = transfer->endpoint->device->controller;

    if (transfer->status == USB_PENDING && !controller->dead)
        controller->ops->cancel(transfer);
    if (transfer->status == USB_PENDING) /* the controller died, and will not report it */
        transfer->status = USB_CANCELLED;
}

enum usb_status usb_control(struct usb_device *device, const struct usb_setup *setup, void *data,
                            uint16_t *actual)
{
    struct usb_device_core *core = device->core;
    struct usb_transfer *transfer = &core->control;
    bool to_host = setup->request_type & USB_TO_HOST;

    if (setup->length > USB_CONTROL_MAX)
        return USB_FAILED;
    *transfer = (struct usb_transfer){
        .endpoint = &device->control,
        .setup = *setup,
        .buffer = core->page,
        .length = setup->length,
    };
    if (!to_host && setup->length != 0)
        memcpy(core->page, data, setup->length);
    if (!usb_submit(transfer))
        return USB_CANCELLED;
    if (!usb_wait(has_ended, transfer, CONTROL_TIMEOUT_MS) || transfer->status == USB_PENDING)
        cancel(transfer);

    uint16_t moved = transfer->actual < setup->length ? transfer->actual : setup->length;
    if (transfer->status == USB_OK && to_host && moved != 0)
        memcpy(data, core->page, moved);
    if (actual != NULL)
        *actual = moved;
    if (transfer->status != USB_OK && !device->controller->dead)
        device->controller->ops->endpoint_reset(&device->control);
    return transfer->status;
}

bool usb_request(struct usb_device *device, uint8_t request_type, uint8_t request, uint16_t value,
                 uint16_t index, void *data, uint16_t length)
{
    uint16_t actual = 0;
    struct usb_setup setup = { request_type, request, value, index, length };

    return usb_control(device, &setup, data, &actual) == USB_OK && actual == length;
}

/* ---- Interrupt endpoints ---- */

static uint16_t max_interrupt_packet(enum usb_speed speed)
{
    switch (speed) {
    case USB_SPEED_LOW:
        return 8;
    case USB_SPEED_FULL:
        return 64;
    default:
        return 1024;
    }
}

bool usb_open_interrupt(struct usb_device *device, const struct usb_interface *interface,
                        struct usb_endpoint *endpoint)
{
    uint16_t packet_size = interface->interrupt_in.packet_size;

    if (interface->interrupt_in.address == 0)
        return false;
    if (packet_size > max_interrupt_packet(device->speed)) /* low-speed devices that claim 64 */
        packet_size = max_interrupt_packet(device->speed);
    *endpoint = (struct usb_endpoint){
        .device = device,
        .address = interface->interrupt_in.address,
        .packet_size = packet_size,
        .interval_ms = usb_interval_ms(device->speed, interface->interrupt_in.interval),
    };
    return !device->controller->dead && device->controller->ops->endpoint_open(endpoint);
}

/* A report may still come while the transfer is taken back; nobody starts it again then. */
void usb_close_interrupt(struct usb_endpoint *endpoint, struct usb_transfer *transfer)
{
    uint32_t state = usb_lock();
    transfer->done = NULL;
    usb_unlock(state);
    cancel(transfer);
    if (!endpoint->device->controller->dead)
        endpoint->device->controller->ops->endpoint_close(endpoint);
}

bool usb_recover_interrupt(struct usb_endpoint *endpoint)
{
    struct usb_device *device = endpoint->device;

    return usb_request(device, USB_TO_ENDPOINT, USB_CLEAR_FEATURE, 0, endpoint->address, NULL, 0) &&
           !device->controller->dead && device->controller->ops->endpoint_reset(endpoint);
}

void usb_restart(struct usb_device *device)
{
    device->core->restart = true;
}

/* ---- Descriptors ---- */

static enum usb_status get_descriptor(struct usb_device *device, uint16_t type_and_index,
                                      uint16_t language, void *data, uint16_t length,
                                      uint16_t *actual)
{
    struct usb_setup setup = { USB_TO_HOST, USB_GET_DESCRIPTOR, type_and_index, language, length };

    return usb_control(device, &setup, data, actual);
}

/* What the device calls itself. A device that fails here is none the worse. */
static void read_string(struct usb_device *device, uint8_t index, uint16_t language, char *text)
{
    uint8_t bytes[STRING_LENGTH];
    uint16_t actual;

    if (index != 0 && get_descriptor(device, (uint16_t)(USB_DESCRIPTOR_STRING << 8 | index),
                                     language, bytes, sizeof(bytes), &actual) == USB_OK)
        usb_parse_string(bytes, actual, text, USB_STRING_SIZE);
}

static void read_strings(struct usb_device *device)
{
    struct usb_device_core *core = device->core;
    uint8_t languages[STRING_LENGTH];
    uint16_t actual;

    if (core->descriptor.manufacturer_string == 0 && core->descriptor.product_string == 0)
        return;
    if (get_descriptor(device, USB_DESCRIPTOR_STRING << 8, 0, languages, sizeof(languages),
                       &actual) != USB_OK ||
        actual < 4)
        return;
    uint16_t language = (uint16_t)(languages[2] | languages[3] << 8);
    read_string(device, core->descriptor.manufacturer_string, language, core->manufacturer);
    read_string(device, core->descriptor.product_string, language, core->product);
}

/* Endpoint 0's packet size, from the first 8 bytes of the device descriptor. */
static bool learn_packet_size(struct usb_device *device)
{
    uint8_t bytes[8];
    uint16_t actual;

    if (get_descriptor(device, USB_DESCRIPTOR_DEVICE << 8, 0, bytes, sizeof(bytes), &actual) !=
        USB_OK)
        return false;
    uint16_t size = usb_parse_control_packet_size(bytes, actual, device->speed);
    if (size == 0)
        return false;
    if (size == device->control.packet_size)
        return true;
    device->control.packet_size = size;
    return device->controller->ops->device_update(device);
}

static bool read_device_descriptor(struct usb_device *device)
{
    uint8_t bytes[USB_DEVICE_DESCRIPTOR_SIZE];
    uint16_t actual;

    return get_descriptor(device, USB_DESCRIPTOR_DEVICE << 8, 0, bytes, sizeof(bytes), &actual) ==
               USB_OK &&
           usb_parse_device(bytes, actual, &device->core->descriptor);
}

/* The first configuration with all that belongs to it, in memory that the caller frees; or NULL. */
static uint8_t *read_configuration(struct usb_device *device,
                                   struct usb_configuration *configuration, uint16_t *length)
{
    uint8_t head[USB_CONFIGURATION_DESCRIPTOR_SIZE];
    uint16_t type = USB_DESCRIPTOR_CONFIGURATION << 8;

    if (get_descriptor(device, type, 0, head, sizeof(head), length) != USB_OK ||
        !usb_parse_configuration(head, *length, configuration))
        return NULL;
    uint16_t wanted = configuration->total_length;
    if (wanted > USB_CONTROL_MAX)
        wanted = USB_CONTROL_MAX;
    uint8_t *bytes = kmalloc(wanted);
    if (bytes != NULL && get_descriptor(device, type, 0, bytes, wanted, length) == USB_OK)
        return bytes;
    kfree(bytes);
    return NULL;
}

/* ---- Bringing a device up ---- */

static uint8_t take_address(struct usb_controller *controller)
{
    for (uint8_t address = 1; address < ADDRESSES; address++) {
        uint64_t bit = 1ull << address % 64;
        if (!(controller->addresses[address / 64] & bit)) {
            controller->addresses[address / 64] |= bit;
            return address;
        }
    }
    return 0;
}

static void give_address(struct usb_controller *controller, uint8_t address)
{
    if (address != 0)
        controller->addresses[address / 64] &= ~(1ull << address % 64);
}

/* The hub that splits transactions for a slower device: the nearest one at high speed above it. */
static void find_translator(struct usb_device *device)
{
    if (device->speed != USB_SPEED_LOW && device->speed != USB_SPEED_FULL)
        return;
    const struct usb_device *below = device;
    for (struct usb_device *hub = device->parent; hub != NULL; hub = hub->parent) {
        if (hub->speed == USB_SPEED_HIGH) {
            device->translator = hub;
            device->translator_port = below->port;
            return;
        }
        below = hub;
    }
}

static struct usb_device *new_device(struct usb_hub *hub, uint32_t port, enum usb_speed speed)
{
    struct usb_device *parent = hub->device;
    struct usb_device_core *core = kcalloc(1, sizeof(*core));
    if (core == NULL)
        return NULL;
    core->page = usb_alloc_page();
    if (core->page == NULL) {
        kfree(core);
        return NULL;
    }

    struct usb_device *device = &core->device;
    *device = (struct usb_device){
        .controller = hub->controller,
        .parent = parent,
        .port = (uint8_t)port,
        .root_port = parent == NULL ? (uint8_t)port : parent->root_port,
        .depth = parent == NULL ? 0 : (uint8_t)(parent->depth + 1),
        .route = parent == NULL ? 0 : parent->route | port << 4 * parent->depth,
        .speed = speed,
        .control = { .device = device, .packet_size = usb_first_control_packet_size(speed) },
        .core = core,
    };
    find_translator(device);
    return device;
}

/* Undoes new_device(). What a dead controller may still write to stays taken. */
static void free_device(struct usb_device *device)
{
    give_address(device->controller, device->address);
    if (!device->controller->dead)
        usb_free_page(device->core->page);
    kfree(device->core);
}

static bool set_address(struct usb_device *device)
{
    device->address = take_address(device->controller);
    if (device->address == 0 || !device->controller->ops->device_address(device))
        return false;
    usb_sleep(ADDRESS_SETTLE_MS);
    return true;
}

/*
 * To an addressed device with its descriptor read. Most devices want to be asked before they get
 * an address, as other systems do; a few only answer after it.
 */
static bool address_and_identify(struct usb_device *device, bool address_first)
{
    if (address_first)
        return set_address(device) && learn_packet_size(device) && read_device_descriptor(device);
    return learn_packet_size(device) && set_address(device) && read_device_descriptor(device);
}

/* Gives an interface of a configuration to the class driver that knows it, if there is one. */
static enum usb_attach bind_interface(struct usb_device *device,
                                      const struct usb_configuration *configuration,
                                      const struct usb_interface *interface)
{
    struct usb_device_core *core = device->core;
    enum usb_attach result = USB_NOT_USED;

    for (uint32_t i = 0; i < ARRAY_SIZE(classes) && result == USB_NOT_USED; i++) {
        if (!classes[i]->matches(device, interface))
            continue;
        if (!usb_request(device, 0, USB_SET_CONFIGURATION, configuration->value, 0, NULL, 0))
            return USB_TRY_AGAIN;
        core->driver = classes[i];
        result = classes[i]->attach(device, interface);
        if (result != USB_ATTACHED)
            core->driver = NULL;
    }
    return result;
}

static enum usb_attach bind_driver(struct usb_device *device)
{
    struct usb_configuration configuration;
    struct usb_interface interface;
    enum usb_attach result = USB_NOT_USED;
    uint16_t length;
    uint32_t offset = 0;

    uint8_t *bytes = read_configuration(device, &configuration, &length);
    if (bytes == NULL)
        return USB_TRY_AGAIN;
    for (bool first = true;
         result == USB_NOT_USED && usb_next_interface(bytes, length, &offset, &interface);
         first = false) {
        result = bind_interface(device, &configuration, &interface);
        if (result == USB_ATTACHED || first)
            device->core->interface = interface;
    }
    kfree(bytes);
    return result;
}

static void detach_device(struct usb_device *device)
{
    if (device->core->driver != NULL)
        device->core->driver->detach(device);
    if (!device->controller->dead)
        device->controller->ops->device_close(device);
    free_device(device);
}

/* One attempt at the device behind a port; NULL when it failed, and why in words. */
static struct usb_device *try_port(struct usb_hub *hub, uint32_t port, uint32_t attempt,
                                   const char **why)
{
    struct usb_port_status status;
    bool address_first = attempt % 2 == 0;

    *why = "does not answer";
    if (!hub->port_reset(hub, port, &status) || !status.enabled)
        return NULL;
    usb_sleep(attempt == 1 ? RESET_RECOVERY_MS : SLOW_RECOVERY_MS);
    struct usb_device *device = new_device(hub, port, status.speed);
    if (device == NULL) {
        *why = "is not used: no memory for it";
        return NULL;
    }
    if (!device->controller->ops->device_open(device)) {
        *why = "is not used: no memory for it, or its controller takes no more";
        free_device(device);
        return NULL;
    }
    if (!address_and_identify(device, address_first)) {
        detach_device(device);
        return NULL;
    }
    return device;
}

static bool still_connected(struct usb_hub *hub, uint32_t port)
{
    struct usb_port_status status;
    return hub->port_status(hub, port, &status) && status.connected;
}

static void warn(struct usb_hub *hub, uint32_t number, const char *what)
{
    char place[48];
    struct usb_device here = { .controller = hub->controller,
                               .parent = hub->device,
                               .port = (uint8_t)number };

    usb_format_place(&here, place, sizeof(place));
    klog_warning("USB: the device on %s %s", place, what);
}

/* What is connected has failed: it gets another chance later, if it had not too many. */
static void try_later(struct usb_hub *hub, uint32_t number, const char *what)
{
    struct usb_port *port = &hub->port[number];

    hub->port_disable(hub, number); /* two devices must not listen at address 0 */
    if (!still_connected(hub, number)) {
        port->state = USB_PORT_EMPTY;
    } else if (port->attempts < ATTEMPTS) {
        port->state = USB_PORT_SETTLING;
        port->since_ms = usb_now_ms() + (RETRY_MS << (port->attempts - 1)) - DEBOUNCE_MS;
    } else {
        port->state = USB_PORT_FAILED;
        warn(hub, number, what);
    }
}

/* A device that cannot be configured stays listed after the last attempt. */
static void attach_port(struct usb_hub *hub, uint32_t number)
{
    struct usb_port *port = &hub->port[number];
    enum usb_attach result = USB_TRY_AGAIN;
    const char *why;

    port->attempts++;
    struct usb_device *device = try_port(hub, number, port->attempts, &why);
    if (device != NULL)
        result = bind_driver(device);
    bool is_last = port->attempts >= ATTEMPTS && !hub->controller->dead;
    if (device != NULL && (result != USB_TRY_AGAIN || is_last)) {
        port->device = device;
        port->state = USB_PORT_USED;
        port->since_ms = usb_now_ms();
        if (result == USB_TRY_AGAIN && still_connected(hub, number))
            warn(hub, number, "cannot be configured");
        read_strings(device);
        return;
    }
    if (device != NULL)
        detach_device(device);
    if (!hub->controller->dead)
        try_later(hub, number, device == NULL ? why : "cannot be configured");
}

/* ---- Ports ---- */

static void detach_port(struct usb_port *port)
{
    if (port->device != NULL)
        detach_device(port->device);
    port->device = NULL;
    port->state = USB_PORT_EMPTY;
}

/* Its driver gave it up. If it worked for long, that is no reason not to try it again. */
static void restart_port(struct usb_hub *hub, uint32_t number)
{
    struct usb_port *port = &hub->port[number];

    detach_port(port);
    if (hub->controller->dead)
        return;
    if (usb_now_ms() - port->since_ms >= STABLE_MS)
        port->attempts = 1;
    try_later(hub, number, "fails again and again");
}

void usb_detach_ports(struct usb_hub *hub)
{
    for (uint32_t number = 1; number <= hub->ports; number++)
        detach_port(&hub->port[number]);
}

/* A device that was pulled and put back between two looks has lost its state with its port's. */
static bool is_still_used(const struct usb_port *port, const struct usb_port_status *status)
{
    bool trains_by_itself = port->device->speed == USB_SPEED_SUPER;

    return status->connected && status->enabled && !(trains_by_itself && status->changed);
}

static void look_at_port(struct usb_hub *hub, uint32_t number)
{
    struct usb_port *port = &hub->port[number];
    struct usb_port_status status;

    if (!hub->port_status(hub, number, &status))
        return;
    if (port->state == USB_PORT_USED && !is_still_used(port, &status))
        detach_port(port);
    if (port->state == USB_PORT_FAILED && (!status.connected || status.changed))
        port->state = USB_PORT_EMPTY;
    if (port->state == USB_PORT_SETTLING && !status.connected)
        port->state = USB_PORT_EMPTY;
    if (port->state == USB_PORT_EMPTY && status.connected) {
        port->state = USB_PORT_SETTLING;
        port->since_ms = usb_now_ms();
        port->attempts = 0;
    }
    if (port->state != USB_PORT_SETTLING)
        return;
    if (status.changed && port->since_ms < usb_now_ms())
        port->since_ms = usb_now_ms();
    else if (usb_now_ms() >= port->since_ms + DEBOUNCE_MS)
        attach_port(hub, number);
}

/* A root port is asked each time. A hub tells which of its ports have changed. */
static bool has_to_be_looked_at(struct usb_hub *hub, uint32_t number)
{
    if (hub->device == NULL || hub->port[number].state == USB_PORT_SETTLING)
        return true;
    uint32_t bit = 1u << number; /* of a hub: at most USB_HUB_MAX_PORTS */
    uint32_t state = usb_lock();
    bool changed = hub->changed & bit;
    hub->changed &= ~bit;
    usb_unlock(state);
    return changed;
}

void usb_service_ports(struct usb_hub *hub)
{
    for (uint32_t number = 1; number <= hub->ports && !hub->controller->dead; number++) {
        if (has_to_be_looked_at(hub, number))
            look_at_port(hub, number);
        struct usb_device *device = hub->port[number].device;
        if (device != NULL && device->core->driver != NULL)
            device->core->driver->service(device);
        if (device != NULL && device->core->restart)
            restart_port(hub, number);
    }
}

static bool is_settled(const struct usb_hub *hub)
{
    for (uint32_t number = 1; number <= hub->ports; number++) {
        const struct usb_port *port = &hub->port[number];
        if (port->state == USB_PORT_SETTLING && port->attempts < 2)
            return false; /* one that has failed twice is not waited for */
        if (port->device != NULL && port->device->core->hub != NULL &&
            !is_settled(port->device->core->hub))
            return false;
    }
    return true;
}

/* ---- Root hubs ---- */

static bool root_port_status(struct usb_hub *hub, uint32_t port, struct usb_port_status *status)
{
    *status = (struct usb_port_status){ .connected = false };
    hub->controller->ops->port_status(hub->controller, port, status);
    return !hub->controller->dead;
}

static bool root_port_reset(struct usb_hub *hub, uint32_t port, struct usb_port_status *status)
{
    *status = (struct usb_port_status){ .connected = false };
    return hub->controller->ops->port_reset(hub->controller, port, status);
}

static void root_port_disable(struct usb_hub *hub, uint32_t port)
{
    hub->controller->ops->port_disable(hub->controller, port);
}

bool usb_register_controller(struct usb_controller *controller)
{
    struct controller_node *node = kcalloc(1, sizeof(*node));
    struct usb_port *ports = kcalloc(controller->ports + 1, sizeof(*ports));

    if (node == NULL || ports == NULL) {
        klog_warning("USB: no memory for the ports of %s %02x:%02x.%x", controller->kind,
                     pci_bus(controller->pci), pci_device(controller->pci),
                     pci_function(controller->pci));
        kfree(node);
        kfree(ports);
        return false;
    }
    node->controller = controller;
    node->root = (struct usb_hub){
        .controller = controller,
        .ports = controller->ports,
        .port = ports,
        .port_status = root_port_status,
        .port_reset = root_port_reset,
        .port_disable = root_port_disable,
    };
    uint32_t state = usb_lock();
    struct controller_node **last = &controllers;
    while (*last != NULL)
        last = &(*last)->next;
    *last = node;
    usb_unlock(state);
    return true;
}

/* ---- Steps and ticks ---- */

bool usb_core_step(void)
{
    bool settled = true;

    for (struct controller_node *node = controllers; node != NULL; node = node->next) {
        if (!node->controller->dead)
            usb_service_ports(&node->root);
        if (node->controller->dead && !node->buried) {
            node->buried = true;
            usb_detach_ports(&node->root);
        }
        settled = settled && is_settled(&node->root);
    }
    return settled;
}

void usb_core_tick(void)
{
    for (struct controller_node *node = controllers; node != NULL; node = node->next) {
        if (!node->controller->dead)
            node->controller->ops->poll(node->controller);
    }
    usb_keyboards_tick(usb_now_ms());
}

/* ---- For listings ---- */

struct usb_controller *usb_core_controller(uint32_t index)
{
    struct controller_node *node = controllers;

    while (node != NULL && index-- > 0)
        node = node->next;
    return node == NULL ? NULL : node->controller;
}

static const struct usb_device *nth_device(const struct usb_hub *hub, uint32_t *index)
{
    for (uint32_t number = 1; number <= hub->ports; number++) {
        const struct usb_device *device = hub->port[number].device;
        if (device == NULL)
            continue;
        if ((*index)-- == 0)
            return device;
        if (device->core->hub == NULL)
            continue;
        const struct usb_device *found = nth_device(device->core->hub, index);
        if (found != NULL)
            return found;
    }
    return NULL;
}

const struct usb_device *usb_core_device(const struct usb_controller *controller, uint32_t index)
{
    for (struct controller_node *node = controllers; node != NULL; node = node->next) {
        if (node->controller == controller)
            return nth_device(&node->root, &index);
    }
    return NULL;
}

const char *usb_speed_text(enum usb_speed speed)
{
    static const char *const texts[] = { "low", "full", "high", "super" };
    return texts[speed];
}

static size_t format_ports(const struct usb_device *device, char *text, size_t size)
{
    size_t length = 0;

    if (device->parent != NULL)
        length = format_ports(device->parent, text, size);
    return length + (size_t)ksnprintf(length < size ? text + length : NULL,
                                      length < size ? size - length : 0, "%s%u",
                                      device->parent != NULL ? "." : "", device->port);
}

void usb_format_place(const struct usb_device *device, char *text, size_t size)
{
    pci_address_t pci = device->controller->pci;
    size_t length = (size_t)ksnprintf(text, size, "%s %02x:%02x.%x port ", device->controller->kind,
                                      pci_bus(pci), pci_device(pci), pci_function(pci));
    if (length < size)
        format_ports(device, text + length, size - length);
}
