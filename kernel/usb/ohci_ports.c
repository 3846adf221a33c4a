/*
 * OHCI's root ports.
 *
 * Source: OpenHCI Specification 1.0a, "Root Hub Partition".
 */
#include "ohci.h"
#include <panic.h>
#include <usb/system.h>

#define RH_STATUS          0x50
#define RH_A_PORTS         0xffu
#define RH_A_RESERVED      0x00ffe000u
#define RH_A_POWER_ON_TIME 24 /* shift; in units of 2 ms */
#define RH_STATUS_POWER_ON (1u << 16)

/* HcRhPortStatus: what is read; what a one does that is written */
#define PORT_CONNECTED     (1u << 0)
#define PORT_CLEAR_ENABLE  (1u << 0)
#define PORT_ENABLED       (1u << 1)
#define PORT_RESET         (1u << 4)
#define PORT_POWER         (1u << 8)
#define PORT_LOW_SPEED     (1u << 9)
#define PORT_CONNECT_CHG   (1u << 16)
#define PORT_ENABLE_CHG    (1u << 17)
#define PORT_RESET_CHG     (1u << 20)
#define PORT_CHANGES       (0x1fu << 16)
#define PORT_RESERVED      0xffe0fce0u

#define POWER_MIN_MS       20u
#define RESET_PULSES       5u /* of 10 ms each: a reset takes 50 */
#define PULSE_MS           50u
#define READ_TRIES         10u
#define READ_PAUSE_MS      5u

/*
 * A register of the root hub. AMD's 756 gives other bits now and then, and shows it by ones that
 * are not there: such an answer is asked for again.
 */
static uint32_t read_root_hub(const struct ohci *ohci, uint32_t offset, uint32_t reserved)
{
    uint32_t value = ohci_read(ohci, offset);

    for (uint32_t i = 1; i < READ_TRIES && value & reserved && value != ALL_ONES; i++)
        value = ohci_read(ohci, offset);
    return value;
}

static uint32_t read_port(const struct ohci *ohci, uint32_t port)
{
    ASSERT(port >= 1 && port <= ohci->usb.ports);
    return read_root_hub(ohci, ohci_port_register(port), PORT_RESERVED);
}

/* AMD's 756 says 0 for a while. */
uint32_t ohci_count_ports(const struct ohci *ohci)
{
    for (uint32_t i = 0; i < READ_TRIES; i++) {
        uint32_t ports = read_root_hub(ohci, RH_DESCRIPTOR_A, RH_A_RESERVED) & RH_A_PORTS;
        if (ports >= 1 && ports <= MAX_PORTS)
            return ports;
        usb_sleep(READ_PAUSE_MS);
    }
    return 0;
}

/*
 * All at once and each by itself, whichever the board has; where power cannot be switched, as
 * some wrongly say, it does nothing.
 */
void ohci_power_ports(struct ohci *ohci)
{
    uint32_t ms = (read_root_hub(ohci, RH_DESCRIPTOR_A, RH_A_RESERVED) >> RH_A_POWER_ON_TIME) * 2;

    ohci_write(ohci, RH_STATUS, RH_STATUS_POWER_ON);
    for (uint32_t port = 1; port <= ohci->usb.ports; port++)
        ohci_write(ohci, ohci_port_register(port), PORT_POWER);
    usb_sleep(ms < POWER_MIN_MS ? POWER_MIN_MS : ms);
}

void ohci_port_status(struct usb_controller *controller, uint32_t port,
                      struct usb_port_status *status)
{
    struct ohci *ohci = ohci_of(controller);
    uint32_t value = read_port(ohci, port);
    bool gone = value == ALL_ONES;

    *status = (struct usb_port_status){
        .connected = !gone && value & PORT_CONNECTED,
        .enabled = !gone && value & PORT_ENABLED,
        .powered = !gone && value & PORT_POWER,
        .changed = gone || value & (PORT_CONNECT_CHG | PORT_ENABLE_CHG),
        .speed = value & PORT_LOW_SPEED ? USB_SPEED_LOW : USB_SPEED_FULL,
    };
    if (!gone && value & PORT_CHANGES)
        ohci_write(ohci, ohci_port_register(port), value & PORT_CHANGES);
}

struct port_wait {
    const struct ohci *ohci;
    uint32_t port;
};

static bool pulse_ended(void *arg)
{
    const struct port_wait *wait = arg;

    return !(read_port(wait->ohci, wait->port) & PORT_RESET);
}

/* The controller resets for 10 ms at a time and enables the port after it. */
bool ohci_port_reset(struct usb_controller *controller, uint32_t port,
                     struct usb_port_status *status)
{
    struct ohci *ohci = ohci_of(controller);
    struct port_wait wait = { ohci, port };
    bool ended = true;

    for (uint32_t pulse = 0; pulse < RESET_PULSES && ended; pulse++) {
        ohci_write(ohci, ohci_port_register(port), PORT_RESET);
        ended = usb_wait(pulse_ended, &wait, PULSE_MS);
        ohci_write(ohci, ohci_port_register(port), PORT_RESET_CHG);
    }
    if (!ended)
        ohci_warn(ohci, "the reset of a port does not end");
    ohci_port_status(controller, port, status);
    return ended && status->enabled;
}

void ohci_port_disable(struct usb_controller *controller, uint32_t port)
{
    struct ohci *ohci = ohci_of(controller);

    ohci_write(ohci, ohci_port_register(port), PORT_CLEAR_ENABLE);
}
