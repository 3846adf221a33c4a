/*
 * EHCI's root ports: which serve high-speed devices alone. Slower ones go to the companion.
 *
 * A port whose owner is the companion looks empty from here, and comes back by itself when the
 * device is pulled out.
 *
 * Source: EHCI Specification 1.0, "PORTSC: Port Status and Control Register", "Port Routing and
 * Control".
 */
#include "ehci.h"
#include <log.h>
#include <usb/system.h>

#define PORTSC_CONNECTED      (1u << 0)
#define PORTSC_CONNECT_CHANGE (1u << 1)
#define PORTSC_ENABLED        (1u << 2)
#define PORTSC_ENABLE_CHANGE  (1u << 3)
#define PORTSC_OVER_CURRENT   (1u << 4)
#define PORTSC_CURRENT_CHANGE (1u << 5)
#define PORTSC_SUSPENDED      (1u << 7)
#define PORTSC_RESET          (1u << 8)
#define PORTSC_LINE(value)    ((value) >> 10 & 3u)
#define PORTSC_POWER          (1u << 12)
#define PORTSC_COMPANION      (1u << 13) /* the companion owns it */
#define PORTSC_CHANGES        (PORTSC_CONNECT_CHANGE | PORTSC_ENABLE_CHANGE | PORTSC_CURRENT_CHANGE)
#define LINE_K                1u /* idle, D- pulled up: a low-speed device */

#define POWER_MS              20u
#define PORT_RESET_MS         50u
#define PORT_RESET_END_MS     10u /* the manual: 2 */

/* Sets and clears bits of a port, and leaves its changes, which ones clear, as they are. */
static void change_port(const struct ehci *hc, uint32_t port, uint32_t set, uint32_t clear)
{
    uint32_t value = ehci_read(hc, PORTSC(port)) & ~PORTSC_CHANGES;

    ehci_write(hc, PORTSC(port), (value & ~clear) | set);
}

void ehci_power_ports(const struct ehci *hc)
{
    for (uint32_t port = 1; port <= hc->controller.ports; port++)
        change_port(hc, port, PORTSC_POWER, 0);
    usb_sleep(POWER_MS);
}

/* Clears what a port tells once. What over-current has switched off is on again when it is over. */
static void take_changes(struct ehci *hc, uint32_t port, uint32_t value)
{
    bool over = value & PORTSC_CURRENT_CHANGE && !(value & PORTSC_OVER_CURRENT);

    if (value & PORTSC_CHANGES)
        change_port(hc, port, (value & PORTSC_CHANGES) | (over ? PORTSC_POWER : 0), 0);
    if (value & PORTSC_CONNECT_CHANGE || !(value & PORTSC_CONNECTED))
        hc->refused &= ~(1u << port);
    if (value & PORTSC_CURRENT_CHANGE)
        klog_warning("%s: port %u: over-current%s", hc->name, port, over ? " is over" : "");
}

static void describe_port(const struct ehci *hc, uint32_t port, uint32_t value,
                          struct usb_port_status *status)
{
    bool ours = !(value & PORTSC_COMPANION) && !(hc->refused & 1u << port);

    *status = (struct usb_port_status){
        .connected = ours && value & PORTSC_CONNECTED,
        .enabled = ours && value & PORTSC_ENABLED && !(value & PORTSC_SUSPENDED),
        .powered = value & PORTSC_POWER,
        .changed = value & (PORTSC_CONNECT_CHANGE | PORTSC_ENABLE_CHANGE),
        .speed = USB_SPEED_HIGH,
    };
}

void ehci_port_status(struct usb_controller *controller, uint32_t port,
                      struct usb_port_status *status)
{
    struct ehci *hc = ehci_of(controller);
    uint32_t value = ehci_read(hc, PORTSC(port));

    if (value == UINT32_MAX) { /* the controller was pulled; poll() will say so */
        *status = (struct usb_port_status){ .connected = false };
        return;
    }
    take_changes(hc, port, value);
    describe_port(hc, port, value, status);
}

/* A device that is not for high speed goes to the companion, which has the port until it is out. */
static void hand_over(struct ehci *hc, uint32_t port)
{
    if (hc->companions > 0) {
        change_port(hc, port, PORTSC_COMPANION, PORTSC_ENABLED);
        return;
    }
    hc->refused |= 1u << port;
    klog_warning("%s: port %u: not a high-speed device, and no companion to take it", hc->name,
                 port);
}

/* USB 2.0, "Reset Signaling". Whether the port came out of it enabled: at high speed. */
static bool drive_reset(struct ehci *hc, uint32_t port)
{
    change_port(hc, port, PORTSC_RESET, PORTSC_ENABLED);
    usb_sleep(PORT_RESET_MS);
    change_port(hc, port, 0, PORTSC_RESET);
    if (!ehci_wait(hc, PORTSC(port), PORTSC_RESET, 0, PORT_RESET_END_MS)) {
        klog_warning("%s: port %u: its reset does not end", hc->name, port);
        return false;
    }
    return ehci_read(hc, PORTSC(port)) & PORTSC_ENABLED;
}

bool ehci_port_reset(struct usb_controller *controller, uint32_t port,
                     struct usb_port_status *status)
{
    struct ehci *hc = ehci_of(controller);
    uint32_t value = ehci_read(hc, PORTSC(port));
    bool enabled = false;

    if (value & PORTSC_CONNECTED && !(value & PORTSC_COMPANION)) {
        bool low = !(value & PORTSC_ENABLED) && PORTSC_LINE(value) == LINE_K;
        enabled = !low && drive_reset(hc, port);
        if (!enabled && ehci_read(hc, PORTSC(port)) & PORTSC_CONNECTED)
            hand_over(hc, port);
    }
    value = ehci_read(hc, PORTSC(port));
    take_changes(hc, port, value & ~PORTSC_CONNECT_CHANGE);
    describe_port(hc, port, value, status);
    return enabled && status->enabled;
}

void ehci_port_disable(struct usb_controller *controller, uint32_t port)
{
    change_port(ehci_of(controller), port, 0, PORTSC_ENABLED);
}
