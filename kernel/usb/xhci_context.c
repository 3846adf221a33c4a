/*
 * Words of contexts.
 */
#include <usb/xhci_context.h>
#include <lib/bits.h>

/* Speed IDs where a port's protocol lists none. */
#define SPEED_FULL           1u
#define SPEED_LOW            2u
#define SPEED_HIGH           3u
#define SPEED_SUPER          4u

/* A word of a protocol's list of speeds. */
#define PSI_ID(psi)          ((psi)&0xf)
#define PSI_EXPONENT(psi)    ((psi) >> 4 & 3)
#define PSI_MANTISSA(psi)    ((psi) >> 16)

/* Slot context. */
#define SLOT_SPEED(id)       ((id) << 20)
#define SLOT_MULTI_TT        (1u << 25)
#define SLOT_HUB             (1u << 26)
#define SLOT_ENTRIES(count)  ((uint32_t)(count) << 27)
#define SLOT_ROOT_PORT(port) ((uint32_t)(port) << 16)
#define SLOT_PORTS(count)    ((uint32_t)(count) << 24)
#define SLOT_TT_PORT(port)   ((uint32_t)(port) << 8)
#define SLOT_THINK_TIME(t)   ((uint32_t)(t) << 16)

/* Endpoint context. */
#define EP_INTERVAL(i)       ((uint32_t)(i) << 16)
#define EP_ERROR_COUNT(n)    ((uint32_t)(n) << 1)
#define EP_TYPE(type)        ((uint32_t)(type) << 3)
#define EP_CONTROL           4
#define EP_INTERRUPT_OUT     3
#define EP_INTERRUPT_IN      7
#define EP_PACKET_SIZE(size) ((uint32_t)(size) << 16)
#define EP_MAX_ESIT(bytes)   ((uint32_t)(bytes) << 16)

/* Kilobits a second, as far as 32 bits reach. */
static uint32_t bit_rate_kb(uint32_t psi)
{
    uint32_t mantissa = PSI_MANTISSA(psi);

    switch (PSI_EXPONENT(psi)) {
    case 0:
        return mantissa / 1000;
    case 1:
        return mantissa;
    case 2:
        return mantissa * 1000;
    default:
        return mantissa > UINT32_MAX / 1000000 ? UINT32_MAX : mantissa * 1000000;
    }
}

static enum usb_speed speed_of_rate(uint32_t kb)
{
    if (kb < 10000)
        return USB_SPEED_LOW;
    return kb < 400000 ? USB_SPEED_FULL : USB_SPEED_HIGH;
}

enum usb_speed xhci_speed(const struct xhci_protocol *protocol, uint32_t id)
{
    if (protocol->major >= 3)
        return USB_SPEED_SUPER;
    for (uint32_t i = 0; i < protocol->speed_count; i++) {
        if (PSI_ID(protocol->speeds[i]) == id)
            return speed_of_rate(bit_rate_kb(protocol->speeds[i]));
    }
    switch (id) {
    case SPEED_LOW:
        return USB_SPEED_LOW;
    case SPEED_HIGH:
        return USB_SPEED_HIGH;
    default:
        return USB_SPEED_FULL;
    }
}

uint32_t xhci_speed_id(const struct xhci_protocol *protocol, enum usb_speed speed)
{
    static const uint8_t ids[] = { [USB_SPEED_LOW] = SPEED_LOW,
                                   [USB_SPEED_FULL] = SPEED_FULL,
                                   [USB_SPEED_HIGH] = SPEED_HIGH,
                                   [USB_SPEED_SUPER] = SPEED_SUPER };

    for (uint32_t i = 0; protocol->major < 3 && i < protocol->speed_count; i++) {
        if (speed_of_rate(bit_rate_kb(protocol->speeds[i])) == speed)
            return PSI_ID(protocol->speeds[i]);
    }
    return ids[speed];
}

uint32_t xhci_dci(uint8_t address)
{
    uint32_t number = address & 0xf;

    if (number == 0)
        return XHCI_CONTROL_DCI;
    return 2 * number + (address >> 7);
}

/* A hub with several translators says so, and so does whatever is behind one of them. */
static bool uses_multi_tt(const struct usb_device *device)
{
    if (device->translator != NULL)
        return device->translator->hub_multi_tt;
    return device->is_hub && device->hub_multi_tt;
}

void xhci_slot_context(uint32_t *words, const struct usb_device *device, uint32_t speed_id,
                       uint32_t entries, uint32_t translator_slot)
{
    words[0] = (device->route & 0xfffff) | SLOT_SPEED(speed_id) | SLOT_ENTRIES(entries) |
               (uses_multi_tt(device) ? SLOT_MULTI_TT : 0) | (device->is_hub ? SLOT_HUB : 0);
    words[1] =
        SLOT_ROOT_PORT(device->root_port) | (device->is_hub ? SLOT_PORTS(device->hub_ports) : 0);
    words[2] = words[3] = 0;
    if (device->translator != NULL)
        words[2] |= translator_slot | SLOT_TT_PORT(device->translator_port);
    if (device->is_hub && device->speed == USB_SPEED_HIGH)
        words[2] |= SLOT_THINK_TIME(device->hub_think_time);
}

void xhci_endpoint_context(uint32_t *words, const struct usb_endpoint *endpoint, uint32_t ring)
{
    bool is_control = (endpoint->address & 0xf) == 0;
    uint32_t type = is_control                   ? EP_CONTROL
                    : (endpoint->address & 0x80) ? EP_INTERRUPT_IN
                                                 : EP_INTERRUPT_OUT;

    /* 2^n microframes of 125 us, at most what was asked for: 1 ms is 3. */
    words[0] = is_control ? 0 : EP_INTERVAL(3 + highest_bit(endpoint->interval_ms));
    words[1] = EP_ERROR_COUNT(3) | EP_TYPE(type) | EP_PACKET_SIZE(endpoint->packet_size);
    words[2] = ring;
    words[3] = 0;
    /* The average length of transfers; the specification wants 8 for control endpoints. */
    words[4] = is_control ? 8 : endpoint->packet_size | EP_MAX_ESIT(endpoint->packet_size);
}
