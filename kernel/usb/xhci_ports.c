/*
 * xHCI's root ports. USB 2 and USB 3 have ports of their own, also where they share a socket;
 * which are which is said by capabilities.
 *
 * In a port's register some bits are cleared by writing ones and one of them switches the port off,
 * so nothing is written back but what is named in PORT_KEPT.
 *
 * Source: eXtensible Host Controller Interface 1.2, "Port Status and Control Register (PORTSC)" and
 * "Root Hub Port State Machines".
 */
#include "xhci.h"
#include <lib/bits.h>
#include <log.h>

#define CAPABILITY_PROTOCOL    2
#define PROTOCOL_NAME          0x20425355u /* "USB " */

#define PORT_CONNECTED         (1u << 0)
#define PORT_ENABLED           (1u << 1) /* a one switches it off */
#define PORT_OVER_CURRENT      (1u << 3)
#define PORT_RESET             (1u << 4)
#define PORT_LINK(value)       ((value) >> 5 & 0xf)
#define LINK_INACTIVE          6u
#define LINK_COMPLIANCE        10u
#define PORT_POWER             (1u << 9)
#define PORT_SPEED(value)      ((value) >> 10 & 0xf)
#define PORT_CONNECT_CHANGE    (1u << 17)
#define PORT_ENABLE_CHANGE     (1u << 18)
#define PORT_WARM_RESET_CHANGE (1u << 19)
#define PORT_RESET_CHANGE      (1u << 21)
#define PORT_CHANGES           0x00fe0000u
#define PORT_COLD_ATTACH       (1u << 24)
#define PORT_WARM_RESET        (1u << 31)
#define PORT_KEPT              0x0e00c200u /* power, indicators, what wakes */

#define RESET_TIMEOUT_MS       1000u
#define ENABLE_TIMEOUT_MS      200u

static uint32_t port_offset(const struct xhci *x, uint32_t port)
{
    return x->operational + OP_PORTS + OP_PORT_STRIDE * (port - 1);
}

static uint32_t read_port(const struct xhci *x, uint32_t port)
{
    return xhci_read(x, port_offset(x, port));
}

/* Sets bits, or clears those that are cleared so. */
static void write_port(struct xhci *x, uint32_t port, uint32_t bits)
{
    xhci_write(x, port_offset(x, port), (read_port(x, port) & PORT_KEPT) | bits);
}

/* ---- Protocols ---- */

static void read_protocol(const struct xhci *x, uint32_t at, struct xhci_protocol *protocol)
{
    uint32_t ports = xhci_read(x, at + 8);
    uint32_t speeds = ports >> 28;

    *protocol = (struct xhci_protocol){
        .major = (uint8_t)(xhci_read(x, at) >> 24),
        .first_port = (uint8_t)ports,
        .ports = (uint8_t)(ports >> 8),
        .slot_type = xhci_read(x, at + 12) & 0x1f,
    };
    for (uint32_t i = 0; i < speeds && at + 20 + 4 * i <= x->size; i++)
        protocol->speeds[protocol->speed_count++] = xhci_read(x, at + 16 + 4 * i);
}

bool xhci_find_protocols(struct xhci *x)
{
    uint32_t at = 0;

    while (x->protocol_count < XHCI_MAX_PROTOCOLS &&
           (at = xhci_find_capability(x, CAPABILITY_PROTOCOL, at)) != 0) {
        if (x->size - at >= 16 && xhci_read(x, at + 4) == PROTOCOL_NAME)
            read_protocol(x, at, &x->protocols[x->protocol_count++]);
    }
    return x->protocol_count != 0;
}

/* Of a port that no protocol claims, all is 0: nothing is ever found there. */
const struct xhci_protocol *xhci_port_protocol(const struct xhci *x, uint32_t port)
{
    static const struct xhci_protocol none;

    for (uint32_t i = 0; i < x->protocol_count; i++) {
        const struct xhci_protocol *protocol = &x->protocols[i];
        if (port >= protocol->first_port && port - protocol->first_port < protocol->ports)
            return protocol;
    }
    return &none;
}

uint32_t xhci_port_speed_id(const struct xhci *x, uint32_t port)
{
    return PORT_SPEED(read_port(x, port));
}

/* ---- What the core asks for ---- */

static bool is_super(const struct xhci *x, uint32_t port)
{
    return xhci_port_protocol(x, port)->major >= 3;
}

/* A link of USB 3 that can only be brought back so. */
static bool needs_warm_reset(const struct xhci *x, uint32_t port, uint32_t value)
{
    uint32_t link = PORT_LINK(value);

    return is_super(x, port) &&
           (value & PORT_COLD_ATTACH || link == LINK_INACTIVE || link == LINK_COMPLIANCE);
}

void xhci_power_ports(struct xhci *x)
{
    for (uint32_t port = 1; port <= x->controller.ports; port++) {
        if (!(read_port(x, port) & PORT_POWER))
            write_port(x, port, PORT_POWER);
    }
}

static void decode_port(struct xhci *x, uint32_t port, uint32_t value,
                        struct usb_port_status *status)
{
    const struct xhci_protocol *protocol = xhci_port_protocol(x, port);

    *status = (struct usb_port_status){
        .connected =
            protocol->major != 0 && (value & PORT_CONNECTED || needs_warm_reset(x, port, value)),
        .enabled = value & PORT_ENABLED,
        .powered = value & PORT_POWER,
        .changed = value & (PORT_CONNECT_CHANGE | PORT_ENABLE_CHANGE),
        .speed = xhci_speed(protocol, PORT_SPEED(value)),
    };
}

/* Also tells what has changed, once, and gives back power that over-current has cost. */
void xhci_port_status(struct usb_controller *controller, uint32_t port,
                      struct usb_port_status *status)
{
    struct xhci *x = xhci_of(controller);
    uint32_t value = read_port(x, port);

    if (value == UINT32_MAX) {
        xhci_die(x, "its registers are gone, status", value);
        return;
    }
    if (value & PORT_CHANGES)
        write_port(x, port, value & PORT_CHANGES);
    if (!(value & (PORT_POWER | PORT_OVER_CURRENT)))
        write_port(x, port, PORT_POWER);
    decode_port(x, port, value, status);
}

struct port_wait {
    struct xhci *x;
    uint32_t port;
};

static bool reset_has_ended(void *arg)
{
    const struct port_wait *wait = arg;
    uint32_t value = read_port(wait->x, wait->port);

    return value & (PORT_RESET_CHANGE | PORT_WARM_RESET_CHANGE) && !(value & PORT_RESET);
}

static bool is_enabled(void *arg)
{
    const struct port_wait *wait = arg;
    return read_port(wait->x, wait->port) & PORT_ENABLED;
}

/*
 * The end of a reset is told by its change bit: some controllers clear the reset bit before. The
 * port may be enabled a little later.
 */
bool xhci_port_reset(struct usb_controller *controller, uint32_t port,
                     struct usb_port_status *status)
{
    struct xhci *x = xhci_of(controller);
    struct port_wait wait = { x, port };
    bool warm = needs_warm_reset(x, port, read_port(x, port));

    write_port(x, port, PORT_CHANGES);
    write_port(x, port, warm ? PORT_WARM_RESET : PORT_RESET);
    if (!usb_wait(reset_has_ended, &wait, RESET_TIMEOUT_MS))
        klog_warning("USB: xHCI %02x:%02x.%x port %u: the reset does not end",
                     pci_bus(controller->pci), pci_device(controller->pci),
                     pci_function(controller->pci), port);
    else
        (void)usb_wait(is_enabled, &wait, ENABLE_TIMEOUT_MS);
    xhci_port_status(controller, port, status);
    return status->connected && status->enabled;
}

/* A port of USB 3 that is switched off no longer sees what is plugged in. */
void xhci_port_disable(struct usb_controller *controller, uint32_t port)
{
    struct xhci *x = xhci_of(controller);

    if (!is_super(x, port))
        write_port(x, port, PORT_ENABLED);
}
