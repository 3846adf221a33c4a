/*
 * Descriptors over (bytes, length). Every one begins with its own length and type; the length says
 * where the next one begins, and one below 2 or past the end ends the walk.
 */
#include <usb/descriptor.h>

#define CONTROL_PACKET_SIZE_AT 7u
#define INTERFACE_SIZE         9u
#define ENDPOINT_SIZE          7u

#define ENDPOINT_IN            0x80u
#define ENDPOINT_TYPE(bits)    ((bits)&3u)
#define ENDPOINT_INTERRUPT     3u

static uint16_t get16(const uint8_t *bytes, uint32_t offset)
{
    return (uint16_t)(bytes[offset] | bytes[offset + 1] << 8);
}

/* Whether a descriptor of that type and at least `size` bytes stands at `offset`. */
static bool stands_at(const uint8_t *bytes, uint32_t length, uint32_t offset, uint8_t type,
                      uint32_t size)
{
    return offset <= length && length - offset >= size && bytes[offset] >= size &&
           bytes[offset] <= length - offset && bytes[offset + 1] == type;
}

bool usb_parse_device(const uint8_t *bytes, uint32_t length,
                      struct usb_device_descriptor *descriptor)
{
    if (!stands_at(bytes, length, 0, USB_DESCRIPTOR_DEVICE, USB_DEVICE_DESCRIPTOR_SIZE))
        return false;
    *descriptor = (struct usb_device_descriptor){
        .version = get16(bytes, 2),
        .class = bytes[4],
        .subclass = bytes[5],
        .protocol = bytes[6],
        .vendor = get16(bytes, 8),
        .product = get16(bytes, 10),
        .manufacturer_string = bytes[14],
        .product_string = bytes[15],
    };
    return true;
}

uint16_t usb_first_control_packet_size(enum usb_speed speed)
{
    switch (speed) {
    case USB_SPEED_SUPER:
        return 512;
    case USB_SPEED_HIGH:
        return 64;
    default:
        return 8; /* what every device can do */
    }
}

uint16_t usb_parse_control_packet_size(const uint8_t *bytes, uint32_t length, enum usb_speed speed)
{
    if (length <= CONTROL_PACKET_SIZE_AT || bytes[1] != USB_DESCRIPTOR_DEVICE)
        return 0;
    uint8_t size = bytes[CONTROL_PACKET_SIZE_AT];
    if (speed != USB_SPEED_FULL)
        return usb_first_control_packet_size(speed); /* there is only one */
    return size == 8 || size == 16 || size == 32 || size == 64 ? size : 0;
}

bool usb_parse_configuration(const uint8_t *bytes, uint32_t length,
                             struct usb_configuration *configuration)
{
    if (!stands_at(bytes, length, 0, USB_DESCRIPTOR_CONFIGURATION,
                   USB_CONFIGURATION_DESCRIPTOR_SIZE))
        return false;
    *configuration = (struct usb_configuration){
        .value = bytes[5],
        .total_length = get16(bytes, 2),
    };
    return configuration->total_length >= USB_CONFIGURATION_DESCRIPTOR_SIZE;
}

/* Moves to the next descriptor. False at the end, or when its length cannot be. */
static bool step(const uint8_t *bytes, uint32_t length, uint32_t *offset)
{
    if (*offset >= length || length - *offset < 2)
        return false;
    uint8_t size = bytes[*offset];
    if (size < 2 || size > length - *offset)
        return false;
    *offset += size;
    return *offset < length && length - *offset >= 2;
}

static void take_endpoint(const uint8_t *endpoint, struct usb_interface *interface)
{
    uint8_t address = endpoint[2];
    uint16_t packet_size = get16(endpoint, 4) & 0x7ff;

    if (interface->interrupt_in.address != 0 || !(address & ENDPOINT_IN) || (address & 0xf) == 0 ||
        ENDPOINT_TYPE(endpoint[3]) != ENDPOINT_INTERRUPT || packet_size == 0 || packet_size > 1024)
        return;
    interface->interrupt_in.address = address & (ENDPOINT_IN | 0xf);
    interface->interrupt_in.packet_size = packet_size;
    interface->interrupt_in.interval = endpoint[6];
}

bool usb_next_interface(const uint8_t *bytes, uint32_t length, uint32_t *offset,
                        struct usb_interface *interface)
{
    do {
        if (!step(bytes, length, offset))
            return false;
    } while (!stands_at(bytes, length, *offset, USB_DESCRIPTOR_INTERFACE, INTERFACE_SIZE));

    const uint8_t *at = bytes + *offset;
    *interface = (struct usb_interface){
        .number = at[2],
        .setting = at[3],
        .class = at[5],
        .subclass = at[6],
        .protocol = at[7],
    };
    for (uint32_t next = *offset; step(bytes, length, &next);) {
        if (bytes[next + 1] == USB_DESCRIPTOR_INTERFACE)
            break;
        if (stands_at(bytes, length, next, USB_DESCRIPTOR_ENDPOINT, ENDPOINT_SIZE))
            take_endpoint(bytes + next, interface);
    }
    return true;
}

uint8_t usb_interval_ms(enum usb_speed speed, uint8_t interval)
{
    if (speed == USB_SPEED_LOW || speed == USB_SPEED_FULL)
        return interval == 0 ? 1 : interval;

    /* 2^(interval - 1) microframes of 125 us. */
    if (interval <= 4)
        return 1;
    return interval > 11 ? 255 : (uint8_t)(1u << (interval - 4));
}

bool usb_parse_hub(const uint8_t *bytes, uint32_t length, struct usb_hub_descriptor *descriptor)
{
    if (!stands_at(bytes, length, 0, USB_DESCRIPTOR_HUB, 7) &&
        !stands_at(bytes, length, 0, USB_DESCRIPTOR_SUPER_HUB, 7))
        return false;
    uint8_t ports = bytes[2];
    *descriptor = (struct usb_hub_descriptor){
        .ports = ports > USB_HUB_MAX_PORTS ? USB_HUB_MAX_PORTS : ports,
        .think_time = get16(bytes, 3) >> 5 & 3,
        .power_good_ms = (uint16_t)(2 * bytes[5]),
    };
    return ports != 0;
}

void usb_parse_string(const uint8_t *bytes, uint32_t length, char *text, size_t size)
{
    size_t count = 0, end = 0;

    if (size == 0)
        return;
    if (length >= 2 && bytes[1] == USB_DESCRIPTOR_STRING) {
        if (bytes[0] < length)
            length = bytes[0];
        for (uint32_t at = 2; length - at >= 2 && at < length && count + 1 < size; at += 2) {
            uint16_t unit = get16(bytes, at);
            if (unit == 0)
                break;
            text[count++] = unit >= ' ' && unit <= '~' ? (char)unit : '?';
            if (unit != ' ')
                end = count;
        }
    }
    text[end] = '\0';
}
