/*
 * The core, hubs and keyboards on a controller made here, with devices made here.
 *
 * The controller checks what it is asked: one transfer an endpoint at a time, addresses that are
 * free, everything closed that was opened, nothing at all once it is dead. Time passes only when
 * somebody waits. After each test nothing is plugged in, and all memory has come back.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <drivers/input.h>
#include <heap.h>
#include <log.h>
#include <usb/core.h>
#include <usb/system.h>
#include "support.h"

#define PORTS     4u
#define HUB_PORTS 3u
#define DEVICES   24u

/* ---- The system ---- */

static uint64_t now_ms;
static uint32_t locks, live_blocks, live_pages;
static uint32_t fail_after; /* allocations from now on; 0: none fails */
static char last_log[200];

static bool allocation_fails(void)
{
    return fail_after != 0 && --fail_after == 0;
}

void *kmalloc(size_t size)
{
    void *block = allocation_fails() ? NULL : malloc(size);
    live_blocks += block != NULL;
    return block;
}

void *kcalloc(size_t count, size_t size)
{
    void *block = kmalloc(count * size);
    return block == NULL ? NULL : memset(block, 0, count * size);
}

void kfree(void *block)
{
    live_blocks -= block != NULL;
    free(block);
}

static void *pages[64];

static void **find_page(const void *page)
{
    uint32_t i = 0;

    while (pages[i] != page)
        i++;
    assert_true(i < ARRAY_SIZE(pages));
    return &pages[i];
}

void *usb_alloc_page(void)
{
    void *page = allocation_fails() ? NULL : calloc(1, 4096);
    if (page != NULL)
        *find_page(NULL) = page;
    live_pages += page != NULL;
    return page;
}

void usb_free_page(void *page)
{
    if (page != NULL)
        *find_page(page) = NULL;
    live_pages -= page != NULL;
    free(page);
}

static void keep_log(const char *format, va_list args)
{
    assert_int_equal(locks, 0);
    (void)!vsnprintf(last_log, sizeof(last_log), format, args);
}

void klog(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    keep_log(format, args);
    va_end(args);
}

void klog_warning(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    keep_log(format, args);
    va_end(args);
}

uint32_t usb_lock(void)
{
    return locks++;
}

void usb_unlock(uint32_t state)
{
    assert_int_equal(--locks, state);
}

void usb_sleep(uint32_t ms)
{
    assert_int_equal(locks, 0);
    now_ms += ms;
}

uint64_t usb_now_ms(void)
{
    return now_ms;
}

static void tick(void)
{
    uint32_t state = usb_lock();
    usb_core_tick();
    usb_unlock(state);
}

bool usb_wait(bool (*ready)(void *arg), void *arg, uint32_t ms)
{
    for (uint32_t waited = 0;; waited++) {
        tick();
        if (ready(arg))
            return true;
        if (waited == ms)
            return false;
        usb_sleep(1);
    }
}

void usb_wake(void)
{
}

/* ---- Input ---- */

static struct keyboard_device *keyboards[DEVICES];
static uint32_t keyboard_count;
static struct key_event event;
static const struct keyboard_device *event_from;
static uint32_t event_count;

void input_register_keyboard(struct keyboard_device *keyboard)
{
    keyboards[keyboard_count++] = keyboard;
}

void input_unregister_keyboard(struct keyboard_device *keyboard)
{
    uint32_t i = 0;

    while (keyboards[i] != keyboard)
        i++;
    assert_true(i < keyboard_count);
    keyboards[i] = keyboards[--keyboard_count];
}

void input_key_event(struct keyboard_device *keyboard, struct key_event e)
{
    event_from = keyboard;
    event = e;
    event_count++;
}

/* ---- Devices ---- */

enum kind { KEYBOARD, HUB, STICK };

struct fake {
    enum kind kind;
    enum usb_speed speed;
    struct fake *hub; /* NULL: the root */
    uint32_t port;
    bool enabled, changed, powered;
    uint8_t address;
    uint32_t resets;
    struct usb_transfer *pending; /* of its interrupt endpoint */
    uint8_t leds;

    /* Its faults. */
    bool mute;                     /* answers nothing */
    bool late;                     /* answers only once it has an address */
    bool cannot_enable;            /* the reset fails */
    uint32_t failing;              /* so many of the next interrupt transfers */
    uint32_t failing_at_once;      /* these even before submit() returns */
    uint32_t bad_configurations;   /* so many of the next requests to configure are refused */
    uint8_t refuses;               /* the request that these are */
    uint16_t packet_size;          /* of its interrupt endpoint; 0: 8 */
    bool reports_while_taken_back; /* a key goes down when its transfer is cancelled */
};

static struct fake fakes[DEVICES];
static uint32_t fake_count;
static struct usb_controller controller;
static struct usb_transfer *control_pending;
static uint32_t opened_devices, opened_endpoints, asked, updates;
static struct usb_device *last_opened;

static struct fake *at_port(struct fake *hub, uint32_t port)
{
    for (uint32_t i = 0; i < fake_count; i++) {
        if (fakes[i].port == port && fakes[i].hub == hub)
            return &fakes[i];
    }
    return NULL;
}

/* Where hubs have changed ports, as their status endpoint tells. */
static uint8_t changed_ports(struct fake *hub)
{
    uint8_t bits = 0;

    for (uint32_t port = 1; port <= HUB_PORTS; port++) {
        struct fake *f = at_port(hub, port);
        if (f != NULL && f->changed)
            bits |= (uint8_t)(1u << port);
    }
    return bits;
}

static uint8_t unplugged[DEVICES]; /* per hub: ports that have lost their device unseen */

static struct fake *plug(struct fake *hub, uint32_t port, enum kind kind, enum usb_speed speed)
{
    struct fake *f = &fakes[0];

    while (f->port != 0)
        f++;
    assert_true(f < fakes + DEVICES);
    if (f == fakes + fake_count)
        fake_count++;
    *f = (struct fake){ .kind = kind, .speed = speed, .hub = hub, .port = port, .changed = true };
    unplugged[f - fakes] = 0;
    return f;
}

static void unplug(struct fake *f)
{
    for (uint32_t i = 0; i < fake_count; i++) {
        if (fakes[i].hub == f && fakes[i].port != 0)
            unplug(&fakes[i]);
    }
    if (f->hub != NULL)
        unplugged[f->hub - fakes] |= (uint8_t)(1u << f->port);
    f->port = 0;
    f->hub = NULL;
}

/* What a device answers to a request of its class or the standard; the length, or -1: a stall. */
static int hub_answers(struct fake *f, const struct usb_setup *s, uint8_t *data)
{
    static const uint8_t descriptor[] = { 9, 0x29, HUB_PORTS, 0x29, 0, 10, 0, 0, 0xff };
    struct fake *below = at_port(f, s->index);

    if (s->request_type == 0xa0 && s->request == USB_GET_DESCRIPTOR) {
        memcpy(data, descriptor, sizeof(descriptor));
        return sizeof(descriptor);
    }
    if (s->request_type == 0xa3 && s->request == USB_GET_STATUS) {
        memset(data, 0, 4);
        data[1] = 1; /* power */
        if (below != NULL) {
            data[0] = (uint8_t)(1 | below->enabled << 1);
            data[1] |= (uint8_t)((below->speed == USB_SPEED_LOW) << 1 |
                                 (below->speed == USB_SPEED_HIGH) << 2);
            data[2] = (uint8_t)(below->changed | (below->resets != 0) << 4);
        } else if (unplugged[f - fakes] & 1u << s->index) {
            data[2] = 1;
        }
        return 4;
    }
    if (s->request_type != 0x23)
        return -1;
    if (s->request == USB_SET_FEATURE && s->value == 4 && below != NULL) {
        below->resets++;
        below->enabled = !below->cannot_enable;
        below->address = 0;
    }
    if (s->request == USB_CLEAR_FEATURE && s->value == 16) {
        unplugged[f - fakes] &= (uint8_t) ~(1u << s->index);
        if (below != NULL)
            below->changed = false;
    }
    if (s->request == USB_CLEAR_FEATURE && s->value == 1 && below != NULL)
        below->enabled = false;
    return 0;
}

static int descriptor_answers(struct fake *f, uint8_t type, uint8_t *data)
{
    static const uint8_t classes[][3] = { { 3, 1, 1 }, { 9, 0, 0 }, { 8, 6, 80 } };
    uint8_t device[18] = { 18, 1, 0, 2, 0, 0, 0, 64, 0x34, 0x12, (uint8_t)f->kind,
                           0,  0, 0, 1, 2, 0, 1 };
    uint8_t configuration[25] = { 9, 2, 25, 0, 1, 5, 0, 0xa0, 50, 9, 4, 0, 0,
                                  1, 0, 0,  0, 0, 7, 5, 0x81, 3,  8, 0, 10 };
    static const uint8_t string[] = { 8, 3, 'A', 0, 'B', 0, 'C', 0 };

    memcpy(configuration + 14, classes[f->kind], 3);
    if (f->packet_size != 0)
        configuration[22] = (uint8_t)f->packet_size;
    switch (type) {
    case 1:
        memcpy(data, device, sizeof(device));
        return sizeof(device);
    case 2:
        memcpy(data, configuration, sizeof(configuration));
        return sizeof(configuration);
    case 3:
        memcpy(data, string, sizeof(string));
        return sizeof(string);
    default:
        return -1;
    }
}

static int answer(struct fake *f, const struct usb_setup *s, uint8_t *data)
{
    if (f->bad_configurations > 0 && s->request == f->refuses &&
        (s->request == USB_SET_CONFIGURATION || s->value >> 8 == USB_DESCRIPTOR_CONFIGURATION)) {
        f->bad_configurations--;
        return -1;
    }
    if (s->request_type == USB_TO_HOST && s->request == USB_GET_DESCRIPTOR)
        return descriptor_answers(f, (uint8_t)(s->value >> 8), data);
    if (s->request_type == 0 && s->request == USB_SET_CONFIGURATION)
        return s->value == 5 ? 0 : -1;
    if (s->request_type == USB_TO_ENDPOINT && s->request == USB_CLEAR_FEATURE)
        return s->index == 0x81 ? 0 : -1;
    if (f->kind == HUB)
        return hub_answers(f, s, data);
    if (f->kind == KEYBOARD && s->request_type == 0x21) {
        if (s->request == 9)
            f->leds = data[0];
        return s->request == 10 ? -1 : s->length; /* SET_IDLE is refused */
    }
    return -1;
}

/* ---- The controller ---- */

static struct fake *fake_of(const struct usb_device *device)
{
    return device->host;
}

static bool is_there(const struct usb_device *device)
{
    struct fake *f = fake_of(device);
    return f->port != 0 && f->enabled && !f->mute && !(f->late && f->address == 0);
}

static void check_alive(void)
{
    assert_false(controller.dead);
    asked++;
}

static void port_status(struct usb_controller *c, uint32_t port, struct usb_port_status *status)
{
    static bool was_connected[PORTS + 1];
    struct fake *f = at_port(NULL, port);

    assert_ptr_equal(c, &controller);
    check_alive();
    *status = (struct usb_port_status){ .connected = f != NULL, .powered = true };
    status->changed = was_connected[port] != (f != NULL) || (f != NULL && f->changed);
    was_connected[port] = f != NULL;
    if (f != NULL) {
        status->enabled = f->enabled;
        status->speed = f->speed;
        f->changed = false;
    }
}

static bool port_reset(struct usb_controller *c, uint32_t port, struct usb_port_status *status)
{
    struct fake *f = at_port(NULL, port);

    check_alive();
    usb_sleep(50);
    if (f != NULL) {
        f->resets++;
        f->enabled = !f->cannot_enable;
        f->address = 0;
    }
    port_status(c, port, status);
    return status->enabled;
}

static void port_disable(struct usb_controller *c, uint32_t port)
{
    struct fake *f = at_port(NULL, port);

    (void)c;
    check_alive();
    if (f != NULL)
        f->enabled = false;
}

/* The device that hangs where the core says. */
static struct fake *find(const struct usb_device *device)
{
    if (device->parent == NULL)
        return at_port(NULL, device->port);
    return at_port(fake_of(device->parent), device->port);
}

static bool device_open(struct usb_device *device)
{
    check_alive();
    device->host = find(device);
    if (device->host == NULL || fake_of(device)->address != 0)
        return false;
    last_opened = device;
    opened_devices++;
    return true;
}

static bool device_address(struct usb_device *device)
{
    check_alive();
    assert_in_range(device->address, 1, 127);
    for (uint32_t i = 0; i < fake_count; i++)
        assert_true(fakes[i].port == 0 || fakes[i].address != device->address);
    if (fake_of(device)->port == 0 || fake_of(device)->mute)
        return false;
    fake_of(device)->address = device->address;
    return true;
}

static bool device_update(struct usb_device *device)
{
    check_alive();
    updates++;
    assert_true(device->is_hub || device->control.packet_size == 64);
    return true;
}

static void device_close(struct usb_device *device)
{
    check_alive();
    (void)device;
    opened_devices--;
}

static bool endpoint_open(struct usb_endpoint *endpoint)
{
    check_alive();
    assert_int_equal(endpoint->address, 0x81);
    assert_int_equal(endpoint->packet_size, 8);
    opened_endpoints++;
    return true;
}

static void endpoint_close(struct usb_endpoint *endpoint)
{
    check_alive();
    assert_null(fake_of(endpoint->device)->pending);
    opened_endpoints--;
}

static bool endpoint_reset(struct usb_endpoint *endpoint)
{
    (void)endpoint;
    check_alive();
    return true;
}

static void end(struct usb_transfer **slot, enum usb_status status, uint16_t actual)
{
    struct usb_transfer *transfer = *slot;

    *slot = NULL;
    usb_transfer_done(transfer, status, actual);
}

static bool submit(struct usb_transfer *transfer)
{
    struct fake *f = fake_of(transfer->endpoint->device);

    check_alive();
    assert_true(locks > 0);
    if (transfer->endpoint->address == 0) {
        assert_null(control_pending);
        control_pending = transfer;
    } else {
        assert_null(f->pending);
        f->pending = transfer;
        if (f->failing_at_once > 0) {
            f->failing_at_once--;
            end(&f->pending, USB_FAILED, 0);
        }
    }
    return true;
}

static void cancel(struct usb_transfer *transfer)
{
    struct fake *f = fake_of(transfer->endpoint->device);

    check_alive();
    uint32_t state = usb_lock();
    if (f->reports_while_taken_back && f->pending == transfer) {
        end(&f->pending, USB_OK, 8);
        assert_null(f->pending); /* it was not submitted again */
    } else {
        end(control_pending == transfer ? &control_pending : &f->pending, USB_CANCELLED, 0);
    }
    usb_unlock(state);
}

static void end_control(struct usb_transfer *transfer)
{
    uint8_t data[USB_CONTROL_MAX];
    const struct usb_setup *s = &transfer->setup;
    bool to_host = s->request_type & USB_TO_HOST;

    assert_int_equal(s->length, transfer->length);
    if (!is_there(transfer->endpoint->device))
        return; /* the core's timeout ends it */
    memcpy(data, transfer->buffer, s->length);
    int length = answer(fake_of(transfer->endpoint->device), s, data);
    if (length > s->length)
        length = s->length;
    if (length > 0 && to_host)
        memcpy(transfer->buffer, data, (size_t)length);
    end(&control_pending, length < 0 ? USB_STALLED : USB_OK, length < 0 ? 0 : (uint16_t)length);
}

static void poll(struct usb_controller *c)
{
    assert_ptr_equal(c, &controller);
    check_alive();
    if (control_pending != NULL)
        end_control(control_pending);
    for (uint32_t i = 0; i < fake_count; i++) {
        struct fake *f = &fakes[i];
        if (f->pending == NULL)
            continue;
        if (f->port == 0 || f->failing > 0) {
            f->failing -= f->failing > 0;
            end(&f->pending, USB_FAILED, 0);
        } else if (f->kind == HUB && (changed_ports(f) | unplugged[i]) != 0) {
            *(uint8_t *)f->pending->buffer = changed_ports(f) | unplugged[i];
            end(&f->pending, USB_OK, 1);
        }
    }
}

static const struct usb_controller_ops ops = {
    port_status,   port_reset,   port_disable,  device_open,    device_address,
    device_update, device_close, endpoint_open, endpoint_close, endpoint_reset,
    submit,        cancel,       poll,          NULL,
};

/* ---- Steps ---- */

static bool step(void)
{
    bool settled = usb_core_step();

    assert_int_equal(locks, 0);
    usb_sleep(20);
    tick();
    return settled;
}

static void run(uint32_t ms)
{
    for (uint64_t until = now_ms + ms; now_ms < until;)
        step();
}

static int register_controller(void **state)
{
    (void)state;
    controller =
        (struct usb_controller){ .kind = "fake", .pci = 0x18, .ops = &ops, .ports = PORTS };
    assert_true(usb_register_controller(&controller));
    return parser_setup(state);
}

static uint32_t blocks_before, pages_before;

static int start(void **state)
{
    (void)state;
    blocks_before = live_blocks;
    pages_before = live_pages;
    event_count = updates = fail_after = 0;
    last_log[0] = '\0';
    return 0;
}

static void unplug_everything(void)
{
    fail_after = 0;
    for (uint32_t i = 0; i < fake_count; i++) {
        if (fakes[i].port != 0)
            unplug(&fakes[i]);
    }
    run(3000);
    assert_int_equal(keyboard_count, 0);
    assert_int_equal(opened_devices, 0);
    assert_int_equal(opened_endpoints, 0);
    assert_int_equal(live_blocks, blocks_before);
    assert_int_equal(live_pages, pages_before);
    assert_true(controller.addresses[0] == 0 && controller.addresses[1] == 0);
    fake_count = 0;
}

static void press(struct fake *f, uint8_t keycode)
{
    assert_non_null(f->pending);
    memset(f->pending->buffer, 0, 8);
    ((uint8_t *)f->pending->buffer)[2] = keycode;
    uint32_t state = usb_lock();
    end(&f->pending, USB_OK, 8);
    usb_unlock(state);
}

/* ---- Tests ---- */

static void test_a_keyboard_comes_types_and_goes(void **state)
{
    (void)state;
    struct fake *f = plug(NULL, 2, KEYBOARD, USB_SPEED_FULL);

    run(400);
    assert_int_equal(keyboard_count, 1);
    assert_string_equal(last_log, "keyboard: USB, on fake 00:03.0 port 2");
    assert_int_equal(updates, 1); /* its packets turned out to be of 64 bytes */
    const struct usb_device *device = usb_core_device(&controller, 0);
    assert_string_equal(device->core->product, "ABC");
    assert_null(usb_core_device(&controller, 1));

    press(f, KC_A);
    assert_true(event_count == 1 && event.keycode == KC_A && event.pressed);
    assert_ptr_equal(event_from, keyboards[0]);
    run(600); /* it repeats */
    assert_true(event_count > 1 && event.pressed);
    press(f, 0);
    assert_false(event.pressed);
    unplug(f);
    run(200);
    assert_int_equal(keyboard_count, 0);
    unplug_everything();
}

static void test_leds(void **state)
{
    (void)state;
    struct fake *f = plug(NULL, 1, KEYBOARD, USB_SPEED_LOW);

    run(400);
    keyboards[0]->set_leds(keyboards[0], KEYBOARD_LED_CAPS_LOCK);
    assert_int_equal(f->leds, 0);
    run(20);
    assert_int_equal(f->leds, 2);
    unplug_everything();
}

/* Only a connection that was there for 100 ms is reset. */
static void test_contacts_that_bounce(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 10; i++) {
        struct fake *f = plug(NULL, 1, KEYBOARD, USB_SPEED_FULL);
        run(60);
        assert_int_equal(f->resets, 0);
        unplug(f);
        if (i % 2 == 0)
            run(20); /* else it is back before anybody looks */
    }
    struct fake *f = plug(NULL, 1, KEYBOARD, USB_SPEED_FULL);
    run(80);
    assert_int_equal(f->resets, 0);
    run(300);
    assert_int_equal(f->resets, 1);
    assert_int_equal(keyboard_count, 1);
    unplug_everything();
}

static void test_a_device_that_does_not_answer(void **state)
{
    (void)state;
    struct fake *mute = plug(NULL, 1, KEYBOARD, USB_SPEED_FULL);
    mute->mute = true;
    plug(NULL, 2, KEYBOARD, USB_SPEED_HIGH);

    run(1);
    run(150);
    assert_int_equal(mute->resets, 1);
    assert_false(mute->enabled);
    run(200); /* between two attempts others have their turn */
    assert_int_equal(keyboard_count, 1);
    run(8000);
    assert_int_equal(mute->resets, 4);
    assert_false(mute->enabled);
    assert_string_equal(last_log, "USB: the device on fake 00:03.0 port 1 does not answer");
    run(3000);
    assert_int_equal(mute->resets, 4); /* it is not tried again */

    unplug(mute);
    run(100);
    plug(NULL, 1, KEYBOARD, USB_SPEED_FULL);
    run(500);
    assert_int_equal(keyboard_count, 2);
    unplug_everything();
}

static void test_a_port_that_is_not_enabled(void **state)
{
    (void)state;
    plug(NULL, 1, KEYBOARD, USB_SPEED_FULL)->cannot_enable = true;
    run(4000);
    assert_string_equal(last_log, "USB: the device on fake 00:03.0 port 1 does not answer");
    unplug_everything();
}

/* A wireless receiver, or a switch between computers: it is plugged in long before it is ready. */
static void test_a_device_that_needs_time(void **state)
{
    (void)state;
    struct fake *f = plug(NULL, 1, KEYBOARD, USB_SPEED_FULL);

    f->cannot_enable = true;
    run(1500);
    assert_int_equal(f->resets, 3);
    f->cannot_enable = false;
    run(1000);
    assert_int_equal(f->resets, 4);
    assert_int_equal(keyboard_count, 1);
    unplug_everything();
}

/* The first prompt waits for a device's second attempt, and no longer. */
static void test_who_is_waited_for(void **state)
{
    (void)state;
    uint32_t steps = 0;
    struct fake *f = plug(NULL, 1, KEYBOARD, USB_SPEED_FULL);

    f->cannot_enable = true;
    while (!step())
        steps++;
    assert_true(steps > 0);
    assert_int_equal(f->resets, 2);
    run(3000);
    assert_int_equal(f->resets, 4);
    unplug_everything();
}

/* What fails after the device has its address is tried again, too. */
static void test_a_device_that_cannot_be_configured_at_once(void **state)
{
    (void)state;
    const uint8_t requests[] = { USB_GET_DESCRIPTOR, USB_SET_CONFIGURATION };

    for (uint32_t i = 0; i < ARRAY_SIZE(requests); i++) {
        struct fake *f = plug(NULL, 1, KEYBOARD, USB_SPEED_FULL);
        f->refuses = requests[i];
        f->bad_configurations = 2;
        run(2000);
        assert_int_equal(keyboard_count, 1);
        assert_int_equal(f->resets, 3);
        unplug_everything();
    }
}

/* In the end it is listed, without a driver, and a line says so. */
static void test_a_device_that_cannot_be_configured(void **state)
{
    (void)state;
    struct fake *f = plug(NULL, 1, KEYBOARD, USB_SPEED_FULL);

    f->refuses = USB_SET_CONFIGURATION;
    f->bad_configurations = 1000;
    run(3000);
    assert_string_equal(last_log, "USB: the device on fake 00:03.0 port 1 cannot be configured");
    const struct usb_device *device = usb_core_device(&controller, 0);
    assert_non_null(device);
    assert_null(device->core->driver);
    assert_string_equal(device->core->product, "ABC");
    run(3000);
    assert_int_equal(f->resets, 4);
    unplug_everything();
}

static void test_packets_larger_than_the_speed_allows(void **state)
{
    (void)state;
    plug(NULL, 1, KEYBOARD, USB_SPEED_LOW)->packet_size = 64;
    run(400);
    assert_int_equal(keyboard_count, 1);
    unplug_everything();
}

/* A key that goes down just when its keyboard is let go of: nothing is started any more. */
static void test_a_report_while_the_transfer_is_taken_back(void **state)
{
    (void)state;
    struct fake *f = plug(NULL, 1, KEYBOARD, USB_SPEED_FULL);

    run(400);
    f->reports_while_taken_back = true;
    unplug(f);
    run(200);
    unplug_everything();
}

static void test_a_device_that_answers_once_it_has_an_address(void **state)
{
    (void)state;
    plug(NULL, 1, KEYBOARD, USB_SPEED_FULL)->late = true;
    run(3000);
    assert_int_equal(keyboard_count, 1);
    unplug_everything();
}

static void test_a_stick_is_listed_only(void **state)
{
    (void)state;
    plug(NULL, 3, STICK, USB_SPEED_HIGH);
    run(400);
    const struct usb_device *device = usb_core_device(&controller, 0);
    assert_null(device->core->driver);
    assert_int_equal(device->core->interface.class, 8);
    assert_int_equal(opened_endpoints, 0);
    unplug_everything();
}

/*
 * root port 2 --- hub, high speed --- port 3: hub, full speed --- port 1: keyboard, low speed
 */
static void test_hubs(void **state)
{
    (void)state;
    struct fake *high = plug(NULL, 2, HUB, USB_SPEED_HIGH);
    struct fake *full = plug(high, 3, HUB, USB_SPEED_FULL);
    struct fake *low = plug(full, 1, KEYBOARD, USB_SPEED_LOW);

    low->changed = false; /* it was there before its hub had power, and the hub says nothing */
    run(2000);
    assert_int_equal(keyboard_count, 1);
    const struct usb_device *first = usb_core_device(&controller, 0);
    const struct usb_device *device = usb_core_device(&controller, 2);
    assert_int_equal(device->depth, 2);
    assert_int_equal(device->route, 0x13);
    assert_int_equal(device->root_port, 2);
    assert_ptr_equal(device->translator, first);
    assert_int_equal(device->translator_port, 3);
    assert_int_equal(first->hub_think_time, 1);
    assert_string_equal(last_log, "keyboard: USB, on fake 00:03.0 port 2.3.1");
    press(low, KC_B);
    assert_int_equal(event.keycode, KC_B);

    unplug(low);
    run(300);
    assert_int_equal(keyboard_count, 0);
    plug(full, 2, KEYBOARD, USB_SPEED_FULL);
    run(500);
    assert_int_equal(keyboard_count, 1);
    unplug(high);
    run(200);
    assert_null(usb_core_device(&controller, 0));
    unplug_everything();
}

/* A sixth hub is too deep; it is listed and has no ports. */
static void test_hubs_behind_hubs(void **state)
{
    (void)state;
    struct fake *hub = plug(NULL, 1, HUB, USB_SPEED_FULL);

    for (uint32_t depth = 1; depth <= 5; depth++)
        hub = plug(hub, 1, HUB, USB_SPEED_FULL);
    plug(hub, 1, KEYBOARD, USB_SPEED_FULL);
    run(6000);
    assert_non_null(usb_core_device(&controller, 5));
    assert_null(usb_core_device(&controller, 5)->core->driver);
    assert_null(usb_core_device(&controller, 6));
    assert_int_equal(keyboard_count, 0);
    unplug_everything();
}

static void test_an_endpoint_that_fails_recovers(void **state)
{
    (void)state;
    struct fake *f = plug(NULL, 1, KEYBOARD, USB_SPEED_FULL);

    run(400);
    for (uint8_t i = 0; i < 6; i++) {
        f->failing = 3;
        run(500);
        assert_int_equal(f->failing, 0);
        press(f, KC_C + i);
        assert_int_equal(event.keycode, KC_C + i);
        assert_int_equal(f->resets, 1);
    }

    run(11000);
    f->failing = 1000; /* one that does not is brought up anew, a few times, and then given up */
    run(10000);
    assert_true(f->failing > 900 && f->failing < 980);
    assert_string_equal(last_log, "USB: the device on fake 00:03.0 port 1 fails again and again");
    assert_int_equal(keyboard_count, 0);
    unplug_everything();
}

/* The transfer has failed when submit() returns: that, too, has to be seen. */
static void test_an_endpoint_that_fails_at_once(void **state)
{
    (void)state;
    struct fake *f = plug(NULL, 1, KEYBOARD, USB_SPEED_FULL);

    f->failing_at_once = 3;
    run(600);
    assert_int_equal(f->failing_at_once, 0);
    press(f, KC_A);
    assert_int_equal(event.keycode, KC_A);
    unplug_everything();
}

/* Without its status endpoint nothing is known of a hub's ports. */
static void test_a_hub_that_tells_nothing(void **state)
{
    (void)state;
    struct fake *hub = plug(NULL, 1, HUB, USB_SPEED_HIGH);
    plug(hub, 1, KEYBOARD, USB_SPEED_FULL);

    run(1500);
    assert_int_equal(keyboard_count, 1);
    hub->failing = 6;
    run(3000);
    assert_int_equal(hub->failing, 0);
    assert_int_equal(hub->resets, 2);
    assert_int_equal(keyboard_count, 1);
    plug(hub, 2, KEYBOARD, USB_SPEED_FULL);
    run(500);
    assert_int_equal(keyboard_count, 2);
    unplug_everything();
}

/* Each allocation on the way fails once. What was begun is undone; the next one to come is fine. */
static void test_no_memory(void **state)
{
    (void)state;
    bool came_up = false;

    for (uint32_t n = 1; !came_up; n++) {
        struct fake *hub = plug(NULL, 1, HUB, USB_SPEED_HIGH);
        plug(hub, 1, KEYBOARD, USB_SPEED_FULL);
        fail_after = n;
        run(2000);
        came_up = fail_after != 0;
        unplug_everything();
        assert_true(n < 100);
    }
}

/* Anything comes and goes at any time, with any fault. */
static void test_storm(void **state)
{
    (void)state;
    struct prng prng = { 7 };

    for (uint32_t round = 0; round < 3000; round++) {
        struct fake *f = &fakes[prng_below(&prng, DEVICES)];
        uint32_t port = 1 + prng_below(&prng, HUB_PORTS);
        struct fake *hub = prng_once_in(&prng, 3) ? NULL : f;

        if (f->port != 0 && prng_once_in(&prng, 3)) {
            unplug(f);
        } else if (hub == NULL || (hub->port != 0 && hub->kind == HUB)) {
            bool full = true;
            for (uint32_t i = 0; i < DEVICES; i++)
                full = full && fakes[i].port != 0;
            if (!full && at_port(hub, port) == NULL) {
                struct fake *new = plug(hub, port, prng_below(&prng, 3), prng_below(&prng, 3));
                new->mute = prng_once_in(&prng, 10);
                new->late = prng_once_in(&prng, 10);
                new->cannot_enable = prng_once_in(&prng, 10);
                new->failing = prng_below(&prng, 4);
            }
        }
        if (prng_once_in(&prng, 10))
            fail_after = 1 + prng_below(&prng, 20);
        run(prng_below(&prng, 400));
    }
    unplug_everything();
}

/* Last: it does not come back. */
static void test_a_controller_that_dies(void **state)
{
    (void)state;
    struct fake *hub = plug(NULL, 1, HUB, USB_SPEED_HIGH);
    plug(hub, 1, KEYBOARD, USB_SPEED_FULL);
    plug(NULL, 2, KEYBOARD, USB_SPEED_FULL);
    run(1000);
    assert_int_equal(keyboard_count, 2);

    controller.dead = true;
    uint32_t before = asked;
    run(500);
    assert_int_equal(keyboard_count, 0);
    assert_int_equal(asked, before);
    assert_null(usb_core_device(&controller, 0));
    assert_int_equal(live_blocks, blocks_before);
    assert_int_equal(live_pages, pages_before + 3); /* it might still write there */
}

static int give_pages_back(void **state)
{
    for (uint32_t i = 0; i < ARRAY_SIZE(pages); i++)
        free(pages[i]);
    return parser_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_keyboard_comes_types_and_goes, start),
        cmocka_unit_test_setup(test_leds, start),
        cmocka_unit_test_setup(test_contacts_that_bounce, start),
        cmocka_unit_test_setup(test_a_device_that_does_not_answer, start),
        cmocka_unit_test_setup(test_a_port_that_is_not_enabled, start),
        cmocka_unit_test_setup(test_a_device_that_answers_once_it_has_an_address, start),
        cmocka_unit_test_setup(test_a_device_that_needs_time, start),
        cmocka_unit_test_setup(test_who_is_waited_for, start),
        cmocka_unit_test_setup(test_a_device_that_cannot_be_configured_at_once, start),
        cmocka_unit_test_setup(test_a_device_that_cannot_be_configured, start),
        cmocka_unit_test_setup(test_packets_larger_than_the_speed_allows, start),
        cmocka_unit_test_setup(test_a_report_while_the_transfer_is_taken_back, start),
        cmocka_unit_test_setup(test_a_stick_is_listed_only, start),
        cmocka_unit_test_setup(test_hubs, start),
        cmocka_unit_test_setup(test_hubs_behind_hubs, start),
        cmocka_unit_test_setup(test_an_endpoint_that_fails_recovers, start),
        cmocka_unit_test_setup(test_an_endpoint_that_fails_at_once, start),
        cmocka_unit_test_setup(test_a_hub_that_tells_nothing, start),
        cmocka_unit_test_setup(test_no_memory, start),
        cmocka_unit_test_setup(test_storm, start),
        cmocka_unit_test_setup(test_a_controller_that_dies, start),
    };

    return cmocka_run_group_tests(tests, register_controller, give_pages_back);
}
