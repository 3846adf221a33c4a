/*
 * Descriptors of real shapes, cut at every length, with lengths that lie, and of random bytes.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include <usb/descriptor.h>
#include "support.h"

static const uint8_t device[18] = { 18,   1,    0x00, 0x02, 0, 0, 0, 64, 0x27,
                                    0x06, 0x01, 0x00, 0,    0, 1, 4, 11, 1 };

/* A receiver: a mouse, a boot keyboard with an OUT endpoint before IN, and one of no subclass. */
static const uint8_t composite[] = {
    9, 2,    93,   0, 3,  7,    0,    0xa0, 50, /* configuration 7 of 93 bytes */
    9, 4,    0,    0, 1,  3,    1,    2,    0,  /* interface 0: mouse */
    9, 0x21, 0x11, 1, 0,  1,    0x22, 52,   0,  /* its HID descriptor */
    7, 5,    0x81, 3, 4,  0,    10,             /* endpoint 1 IN */
    9, 4,    1,    0, 2,  3,    1,    1,    0,  /* interface 1: keyboard */
    9, 0x21, 0x11, 1, 0,  1,    0x22, 63,   0,  /* its HID descriptor */
    7, 5,    0x02, 3, 8,  0,    4,              /* endpoint 2 OUT */
    7, 5,    0x83, 2, 64, 0,    4,              /* endpoint 3 IN, bulk */
    7, 5,    0x84, 3, 8,  0,    5,              /* endpoint 4 IN, interrupt */
    9, 4,    2,    1, 1,  3,    0,    0,    0,  /* interface 2, setting 1 */
    2, 0xff,                                    /* something else */
    9, 5,    0x85, 3, 64, 0x08, 9,    0,    0,  /* a long endpoint descriptor, two more per frame */
};

_Static_assert(sizeof(composite) == 93, "as its total length says");

static void test_device(void **state)
{
    (void)state;
    struct usb_device_descriptor d;

    assert_true(usb_parse_device(exact_copy(device, sizeof(device), 0), sizeof(device), &d));
    assert_int_equal(d.version, 0x0200);
    assert_int_equal(d.vendor, 0x0627);
    assert_int_equal(d.product, 0x0001);
    assert_int_equal(d.manufacturer_string, 1);
    assert_int_equal(d.product_string, 4);
    for (uint32_t length = 0; length < sizeof(device); length++)
        assert_false(usb_parse_device(exact_copy(device, length, 0), length, &d));

    uint8_t bad[18];
    memcpy(bad, device, sizeof(bad));
    bad[1] = 2;
    assert_false(usb_parse_device(bad, sizeof(bad), &d));
    bad[1] = 1;
    bad[0] = 17;
    assert_false(usb_parse_device(bad, sizeof(bad), &d));
}

static void test_control_packet_size(void **state)
{
    (void)state;
    uint8_t bytes[8] = { 18, 1, 0, 2, 0, 0, 0, 64 };

    assert_int_equal(usb_parse_control_packet_size(bytes, 8, USB_SPEED_FULL), 64);
    assert_int_equal(usb_parse_control_packet_size(bytes, 7, USB_SPEED_FULL), 0);
    bytes[7] = 9; /* the exponent of a USB 3 device */
    assert_int_equal(usb_parse_control_packet_size(bytes, 8, USB_SPEED_SUPER), 512);
    assert_int_equal(usb_parse_control_packet_size(bytes, 8, USB_SPEED_FULL), 0);
    assert_int_equal(usb_parse_control_packet_size(bytes, 8, USB_SPEED_LOW), 8);
    for (uint32_t size = 0; size < 256; size++) {
        bytes[7] = (uint8_t)size;
        uint16_t parsed = usb_parse_control_packet_size(bytes, 8, USB_SPEED_FULL);
        assert_true(parsed == 0 || (parsed == size && size >= 8));
    }
    bytes[1] = 3;
    assert_int_equal(usb_parse_control_packet_size(bytes, 8, USB_SPEED_HIGH), 0);
}

static void test_composite(void **state)
{
    (void)state;
    struct usb_configuration c;
    struct usb_interface i;
    uint32_t offset = 0;
    const uint8_t *bytes = exact_copy(composite, sizeof(composite), 1);

    assert_true(usb_parse_configuration(bytes, sizeof(composite), &c));
    assert_int_equal(c.value, 7);
    assert_int_equal(c.total_length, 93);

    assert_true(usb_next_interface(bytes, sizeof(composite), &offset, &i));
    assert_int_equal(i.number, 0);
    assert_int_equal(i.protocol, 2);
    assert_int_equal(i.interrupt_in.address, 0x81);
    assert_int_equal(i.interrupt_in.packet_size, 4);

    assert_true(usb_next_interface(bytes, sizeof(composite), &offset, &i));
    assert_int_equal(i.number, 1);
    assert_int_equal(i.class, USB_CLASS_HID);
    assert_int_equal(i.subclass, USB_HID_BOOT);
    assert_int_equal(i.protocol, USB_HID_KEYBOARD);
    assert_int_equal(i.interrupt_in.address, 0x84);
    assert_int_equal(i.interrupt_in.packet_size, 8);
    assert_int_equal(i.interrupt_in.interval, 5);

    assert_true(usb_next_interface(bytes, sizeof(composite), &offset, &i));
    assert_int_equal(i.setting, 1);
    assert_int_equal(i.interrupt_in.address, 0x85);
    assert_int_equal(i.interrupt_in.packet_size, 64);
    assert_false(usb_next_interface(bytes, sizeof(composite), &offset, &i));
}

/* Cut anywhere, an interface is seen once its nine bytes are there, and an endpoint by its seven.
 */
static void test_cut_configurations(void **state)
{
    (void)state;
    static const uint32_t endpoint_ends[] = { 34, 73, 93 };

    for (uint32_t length = 0; length <= sizeof(composite); length++) {
        const uint8_t *bytes = exact_copy(composite, length, 0);
        struct usb_interface i;
        uint32_t offset = 0, found = 0;

        while (usb_next_interface(bytes, length, &offset, &i)) {
            assert_int_equal(i.number, found);
            assert_int_equal(i.interrupt_in.address != 0, length >= endpoint_ends[found]);
            found++;
        }
        assert_int_equal(found, (length >= 18) + (length >= 43) + (length >= 82));
    }
}

static void test_lengths_that_lie(void **state)
{
    (void)state;
    struct usb_interface i;
    struct usb_configuration c;
    uint8_t bytes[sizeof(composite)];

    for (uint32_t lie = 0; lie < 256; lie++) {
        memcpy(bytes, composite, sizeof(bytes));
        bytes[9] = (uint8_t)lie; /* of the first interface */
        uint32_t offset = 0, found = 0;
        while (usb_next_interface(exact_copy(bytes, sizeof(bytes), 0), sizeof(bytes), &offset, &i))
            found++;
        assert_true(found <= 3);
        if (lie < 2 || lie > sizeof(bytes) - 9)
            assert_int_equal(found, 0);
    }
    bytes[0] = 9;
    bytes[2] = 8; /* a total below its own nine bytes */
    assert_false(usb_parse_configuration(bytes, 9, &c));
    bytes[2] = 9;
    bytes[0] = 0;
    assert_false(usb_parse_configuration(bytes, 9, &c));
}

/* Endpoint 0, packets of no bytes or too many, OUT: none is the keyboard's. */
static void test_endpoints_that_cannot_be(void **state)
{
    (void)state;
    const uint8_t bad[][7] = {
        { 7, 5, 0x80, 3, 8, 0, 10 }, { 7, 5, 0x01, 3, 8, 0, 10 },    { 7, 5, 0x81, 3, 0, 0, 10 },
        { 7, 5, 0x81, 2, 8, 0, 10 }, { 7, 5, 0x81, 3, 0xff, 7, 10 },
    };

    for (uint32_t n = 0; n < ARRAY_SIZE(bad); n++) {
        uint8_t bytes[25] = { 9, 2, 25, 0, 1, 1, 0, 0xa0, 0, 9, 4, 0, 0, 1, 3, 1, 1, 0 };
        struct usb_interface i;
        uint32_t offset = 0;

        memcpy(bytes + 18, bad[n], 7);
        assert_true(usb_next_interface(bytes, sizeof(bytes), &offset, &i));
        assert_int_equal(i.interrupt_in.address, 0);
    }
}

static void test_intervals(void **state)
{
    (void)state;
    assert_int_equal(usb_interval_ms(USB_SPEED_LOW, 10), 10);
    assert_int_equal(usb_interval_ms(USB_SPEED_FULL, 255), 255);
    assert_int_equal(usb_interval_ms(USB_SPEED_FULL, 0), 1);
    assert_int_equal(usb_interval_ms(USB_SPEED_HIGH, 0), 1);
    assert_int_equal(usb_interval_ms(USB_SPEED_HIGH, 1), 1);
    assert_int_equal(usb_interval_ms(USB_SPEED_HIGH, 4), 1);
    assert_int_equal(usb_interval_ms(USB_SPEED_HIGH, 7), 8);
    assert_int_equal(usb_interval_ms(USB_SPEED_HIGH, 11), 128);
    assert_int_equal(usb_interval_ms(USB_SPEED_SUPER, 12), 255);
    assert_int_equal(usb_interval_ms(USB_SPEED_SUPER, 255), 255);
}

static void test_hubs(void **state)
{
    (void)state;
    uint8_t hub[] = { 9, 0x29, 4, 0xe9, 0x00, 50, 100, 0, 0xff };
    struct usb_hub_descriptor d;

    assert_true(usb_parse_hub(exact_copy(hub, sizeof(hub), 0), sizeof(hub), &d));
    assert_int_equal(d.ports, 4);
    assert_int_equal(d.think_time, 3);
    assert_int_equal(d.power_good_ms, 100);
    for (uint32_t length = 0; length < sizeof(hub); length++)
        assert_false(usb_parse_hub(exact_copy(hub, length, 0), length, &d));
    hub[2] = 255;
    assert_true(usb_parse_hub(hub, sizeof(hub), &d));
    assert_int_equal(d.ports, USB_HUB_MAX_PORTS);
    hub[2] = 0;
    assert_false(usb_parse_hub(hub, sizeof(hub), &d));
    const uint8_t super[] = { 12, 0x2a, 2, 0, 0, 10, 0, 0, 0, 0, 0, 0 };
    assert_true(usb_parse_hub(super, sizeof(super), &d));
    assert_int_equal(d.power_good_ms, 20);
}

static void expect_text(const uint8_t *bytes, uint32_t length, size_t size, const char *wanted)
{
    char text[40];

    memset(text, 0x7f, sizeof(text));
    usb_parse_string(exact_copy(bytes, length, 0), length, text, size);
    assert_string_equal(text, wanted);
    assert_int_equal(text[size], 0x7f);
}

static void test_strings(void **state)
{
    (void)state;
    const uint8_t other[] = { 4, 2, 'A', 0 }, tiny[] = { 1, 3, 'A', 0 };
    const uint8_t bytes[] = { 12, 3, 'A', 0, ' ', 0, 0xe4, 0, 'B', 1, ' ', 0, 'X', 0 };

    expect_text(bytes, sizeof(bytes), 32, "A ??"); /* the blank at the end is cut */
    expect_text(bytes, sizeof(bytes), 4, "A ?");
    expect_text(bytes, sizeof(bytes), 1, "");
    expect_text(bytes, 5, 32, "A");
    expect_text(bytes, 3, 32, "");
    expect_text(bytes, 0, 32, "");
    expect_text(other, 4, 32, "");
    expect_text(tiny, 4, 32, "");
}

static void test_any_bytes(void **state)
{
    (void)state;
    struct prng prng = { 3 };

    for (uint32_t round = 0; round < 200000; round++) {
        uint8_t bytes[64];
        uint32_t length = prng_below(&prng, sizeof(bytes) + 1), offset = 0, last = 0;
        for (uint32_t i = 0; i < length; i++)
            bytes[i] = (uint8_t)(prng_once_in(&prng, 2) ? prng_below(&prng, 10) : prng_next(&prng));
        const uint8_t *copy = exact_copy(bytes, length, 0);
        struct usb_device_descriptor d;
        struct usb_configuration c;
        struct usb_interface i;
        struct usb_hub_descriptor h;
        char text[USB_HUB_MAX_PORTS];

        (void)!usb_parse_device(copy, length, &d);
        (void)!usb_parse_configuration(copy, length, &c);
        (void)!usb_parse_control_packet_size(copy, length, round % 4);
        if (usb_parse_hub(copy, length, &h))
            assert_in_range(h.ports, 1, USB_HUB_MAX_PORTS);
        usb_parse_string(copy, length, text, sizeof(text));
        assert_true(strlen(text) < sizeof(text));
        while (usb_next_interface(copy, length, &offset, &i)) {
            assert_true(offset > last && offset + 9 <= length);
            last = offset;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_device),           cmocka_unit_test(test_control_packet_size),
        cmocka_unit_test(test_composite),        cmocka_unit_test(test_cut_configurations),
        cmocka_unit_test(test_lengths_that_lie), cmocka_unit_test(test_endpoints_that_cannot_be),
        cmocka_unit_test(test_intervals),        cmocka_unit_test(test_hubs),
        cmocka_unit_test(test_strings),          cmocka_unit_test(test_any_bytes),
    };

    return cmocka_run_group_tests(tests, parser_setup, parser_teardown);
}
