/*
 * UHCI's driver on I/O ports that are made here.
 *
 * The driver's source is included below functions of the names that x86/io.h has, so that each
 * access comes to a small controller: it knows which bits of a port register written ones clear,
 * and runs a frame whenever the driver waits. It can be told to get stuck where a real one might.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "usb_fake.h"
#include <drivers/timer.h>
#include <usb/system.h>

#define X86_IO_H /* its functions follow */
static void outb(uint16_t port, uint8_t value);
static void outw(uint16_t port, uint16_t value);
static void outl(uint16_t port, uint32_t value);
static uint8_t inb(uint16_t port);
static uint16_t inw(uint16_t port);

#include "usb/uhci.c"

#define BASE   0xc020u
#define LEGACY 0xdeadafffu /* as firmware leaves it: SMIs on, and what was trapped */

/* ---- The controller ---- */

static struct {
    uint16_t command, status, frame;
    uint32_t frames, legacy;
    uint8_t frame_length;
    uint16_t ports[2];
    uint32_t port_count, registers;
    bool stuck_running, stuck_reset, stuck_halted, stuck_frames; /* how it fails */
    bool answers_nothing, gone;
    uint32_t refusals; /* so often a port is not enabled */
    uint32_t resets;   /* of ports, that lasted long enough */
    uint32_t in_reset; /* frames */
    uint32_t idle;     /* frames since the end of a port's reset */
    uint32_t late;     /* ports enabled so long after it that the device has suspended itself */
} hc;

static void write_command(uint16_t value)
{
    if ((value & USBCMD_RESET) && hc.stuck_reset) {
        hc.command = value;
        return;
    }
    if (value & USBCMD_RESET) {
        hc.command = 0;
        hc.frame_length = 64;
        hc.status = USBSTS_HALTED;
        return;
    }
    hc.command = value;
    if (value & USBCMD_RUN && !hc.stuck_halted)
        hc.status &= (uint16_t)~USBSTS_HALTED;
    if (!(value & USBCMD_RUN) && !hc.stuck_running)
        hc.status |= USBSTS_HALTED;
}

/* A port is enabled only when no change is left to be cleared. */
static void write_port(uint16_t *port, uint16_t value)
{
    bool was_in_reset = *port & PORT_RESET;
    uint16_t changes = *port & PORT_CHANGES & (uint16_t)~value;
    bool was_enabled = *port & PORT_ENABLED;
    bool enable =
        value & PORT_ENABLED && *port & PORT_CONNECTED && (was_enabled || !(*port & PORT_CHANGES));

    if (enable && !was_enabled && hc.refusals > 0) {
        hc.refusals--;
        enable = false;
    }
    if (enable && !was_enabled)
        hc.late += hc.idle >= 3;
    *port = (uint16_t)((*port & (PORT_CONNECTED | PORT_LOW_SPEED)) | PORT_ALWAYS_ONE | changes |
                       (enable ? PORT_ENABLED : 0) | (value & PORT_RESET));
    if (was_in_reset && !(value & PORT_RESET)) {
        hc.resets += hc.in_reset >= 50;
        *port |= PORT_CONNECT_CHG;
        hc.idle = 0;
    }
    hc.in_reset = 0;
}

static void outb(uint16_t port, uint8_t value)
{
    assert_int_equal(port, BASE + SOFMOD);
    hc.frame_length = value;
}

static void outw(uint16_t port, uint16_t value)
{
    switch (port - BASE) {
    case USBCMD:
        write_command(value);
        break;
    case USBSTS:
        hc.status &= (uint16_t) ~(value & ~USBSTS_HALTED);
        break;
    case USBINTR:
        assert_int_equal(value, 0);
        break;
    case FRNUM:
        assert_true(hc.status & USBSTS_HALTED);
        hc.frame = value;
        break;
    default:
        assert_in_range(port, BASE + PORTSC1, BASE + PORTSC1 + 2);
        write_port(&hc.ports[(port - BASE - PORTSC1) / 2], value);
    }
}

static void outl(uint16_t port, uint32_t value)
{
    assert_int_equal(port, BASE + FRBASEADD);
    hc.frames = value;
}

static uint8_t inb(uint16_t port)
{
    assert_int_equal(port, BASE + SOFMOD);
    return hc.frame_length;
}

static uint16_t inw(uint16_t port)
{
    uint32_t which = (port - BASE - PORTSC1) / 2u;

    if (hc.gone)
        return GONE;
    switch (port - BASE) {
    case USBCMD:
        return hc.command;
    case USBSTS:
        return hc.status;
    case FRNUM:
        return hc.frame;
    default:
        assert_true(port >= BASE + PORTSC1 && port < BASE + hc.registers);
        return which < hc.port_count ? hc.ports[which] : 0;
    }
}

static void run_queue(struct uhci_queue *queue)
{
    while (!(queue->element & UHCI_TERMINATE)) {
        struct uhci_td *td = (struct uhci_td *)(uintptr_t)(queue->element & ~15u);
        if (!(td->status & UHCI_TD_ACTIVE) || hc.answers_nothing)
            return;
        td->status = (td->status & ~(UHCI_TD_ACTIVE | UHCI_TD_ACTUAL)) | td->token >> 21;
        queue->element = td->link;
    }
}

static void run_frame(void)
{
    hc.in_reset++;
    hc.idle++;
    if (hc.status & USBSTS_HALTED || hc.stuck_frames || hc.frames == 0)
        return;
    hc.frame = (hc.frame + 1) & FRNUM_MASK;
    for (uint32_t link = ((uint32_t *)(uintptr_t)hc.frames)[hc.frame % FRAMES];
         !(link & UHCI_TERMINATE);) {
        struct uhci_queue *queue = (struct uhci_queue *)(uintptr_t)(link & ~15u);
        run_queue(queue);
        link = queue->link;
    }
}

bool usb_wait(bool (*ready)(void *arg), void *arg, uint32_t ms)
{
    for (uint32_t i = 0; i <= ms; i++) {
        run_frame();
        if (fake.registered != NULL)
            fake.registered->ops->poll(fake.registered);
        if (ready(arg))
            return true;
    }
    return false;
}

void usb_sleep(uint32_t ms)
{
    for (uint32_t i = 0; i < ms; i++)
        run_frame();
}

bool timer_busy_wait_us(uint32_t us)
{
    (void)us;
    return true;
}

uint32_t pci_read(pci_address_t address, uint32_t offset)
{
    (void)address;
    assert_int_equal(offset, PCI_LEGACY);
    return hc.legacy;
}

void pci_write(pci_address_t address, uint32_t offset, uint32_t value)
{
    (void)address;
    assert_int_equal(offset, PCI_LEGACY);
    hc.legacy = value;
}

/* ---- Starting ---- */

static int prepare(void **state)
{
    (void)state;
    memset(&hc, 0, sizeof(hc));
    hc.command = USBCMD_RUN; /* as a BIOS leaves it */
    hc.frame_length = 65;
    hc.legacy = LEGACY;
    hc.port_count = 2;
    hc.registers = 0x20;
    hc.ports[0] = PORT_ALWAYS_ONE | PORT_CONNECTED | PORT_CONNECT_CHG | PORT_LOW_SPEED;
    hc.ports[1] = PORT_ALWAYS_ONE;
    fake_reset(0x00);
    fake.function.bars[4] =
        (struct pci_bar){ .kind = PCI_BAR_IO, .base = BASE, .size = hc.registers };
    return 0;
}

static int start(void **state)
{
    prepare(state);
    uhci_start();
    return fake.registered != NULL ? 0 : -1;
}

static void test_start(void **state)
{
    (void)state;
    uhci_start();
    assert_non_null(fake.registered);
    assert_int_equal(fake.registered->ports, 2);
    assert_int_equal(hc.legacy, (LEGACY & 0xffff0000) | 0x8f00); /* its upper half is another's */
    assert_int_equal(hc.frame_length, 65);
    assert_true(hc.command & USBCMD_RUN);
    assert_true(fake.commands & PCI_COMMAND_MASTER);
    assert_int_equal(hc.frames % 4096, 0);
    assert_string_equal(fake.log, "");
}

static void test_ports_are_counted(void **state)
{
    (void)state;
    hc.registers = 0x14;
    hc.port_count = 1;
    fake.function.bars[4].size = 0x14;
    uhci_start();
    assert_int_equal(fake.registered->ports, 1);
}

/* Nothing is kept, and it reaches no memory any more. */
static void expect_left_alone(const char *message)
{
    uhci_start();
    assert_non_null(strstr(fake.log, message));
    assert_true(fake_is_clean());
}

static void test_controllers_that_cannot_be_started(void **state)
{
    prepare(state);
    hc.gone = true;
    expect_left_alone("does not answer");
    prepare(state);
    hc.port_count = 0;
    expect_left_alone("no ports");
    prepare(state);
    hc.stuck_running = true;
    expect_left_alone("does not stop");
    prepare(state);
    hc.stuck_reset = true;
    expect_left_alone("reset does not end");
    prepare(state);
    hc.stuck_halted = true;
    expect_left_alone("does not start");
    for (uint32_t pages = 0; pages < 4; pages++) {
        prepare(state);
        fake.pages_left = pages;
        expect_left_alone("too little memory");
    }
    prepare(state);
    fake.no_room = true; /* it runs already */
    expect_left_alone("");
}

static void test_bars_that_are_none(void **state)
{
    static const struct pci_bar bars[] = {
        { .kind = PCI_BAR_NONE },
        { .kind = PCI_BAR_IO, .base = 0, .size = 32 },
        { .kind = PCI_BAR_IO, .base = BASE, .size = 16 },
        { .kind = PCI_BAR_IO, .base = 0xfff0, .size = 32 },
        { .kind = PCI_BAR_MEMORY, .base = 0xe0000000, .size = 4096 },
    };

    for (uint32_t i = 0; i < ARRAY_SIZE(bars); i++) {
        prepare(state);
        fake.function.bars[4] = bars[i];
        uhci_start();
        assert_non_null(strstr(fake.log, "gives no registers"));
        assert_null(fake.registered);
        assert_int_equal(fake.blocks_out, 0);
        assert_int_equal(hc.command, USBCMD_RUN); /* not touched */
    }
}

/* ---- Ports ---- */

static void test_a_change_is_told_once_and_the_port_stays_enabled(void **state)
{
    struct usb_port_status status;
    (void)state;

    hc.ports[0] |= PORT_ENABLED | PORT_ENABLE_CHG | PORT_CONNECT_CHG;
    for (uint32_t round = 0; round < 2; round++) {
        fake.registered->ops->port_status(fake.registered, 1, &status);
        assert_true(status.connected && status.enabled && status.powered);
        assert_int_equal(status.changed, round == 0);
        assert_int_equal(status.speed, USB_SPEED_LOW);
    }
    fake.registered->ops->port_status(fake.registered, 2, &status);
    assert_false(status.connected || status.changed || status.enabled);
}

static void test_a_change_is_not_lost_by_another_write(void **state)
{
    struct usb_port_status status;
    (void)state;

    hc.ports[0] |= PORT_CONNECT_CHG;
    fake.registered->ops->port_disable(fake.registered, 1);
    fake.registered->ops->port_status(fake.registered, 1, &status);
    assert_true(status.changed);
}

static void test_a_port_is_reset(void **state)
{
    struct usb_port_status status;
    (void)state;

    hc.ports[0] |= PORT_CONNECTED;
    assert_true(fake.registered->ops->port_reset(fake.registered, 1, &status));
    assert_true(status.enabled);
    assert_int_equal(hc.resets, 1);
    assert_int_equal(hc.late, 0);
    hc.refusals = 3;
    assert_true(fake.registered->ops->port_reset(fake.registered, 1, &status));
    assert_int_equal(hc.refusals, 0);
    fake.registered->ops->port_disable(fake.registered, 1);
    fake.registered->ops->port_status(fake.registered, 1, &status);
    assert_false(status.enabled);
}

static void test_a_port_that_cannot_be_enabled(void **state)
{
    struct usb_port_status status;
    (void)state;

    hc.refusals = UINT32_MAX;
    assert_false(fake.registered->ops->port_reset(fake.registered, 1, &status));
    assert_non_null(strstr(fake.log, "cannot be enabled"));
    assert_false(fake.registered->ops->port_reset(fake.registered, 2, &status)); /* empty */
}

/* ---- Transfers ---- */

static struct usb_device device;
static struct usb_transfer transfer;
static uint8_t buffer[64];

static void open_device(void)
{
    device = (struct usb_device){ .controller = fake.registered, .speed = USB_SPEED_LOW };
    device.control = (struct usb_endpoint){ .device = &device, .packet_size = 8 };
    assert_true(fake.registered->ops->device_open(&device));
}

static bool submit(void)
{
    transfer = (struct usb_transfer){ .endpoint = &device.control,
                                      .setup = { 0x80, 6, 0x0100, 0, sizeof(buffer) },
                                      .buffer = buffer,
                                      .length = sizeof(buffer) };
    return fake.registered->ops->submit(&transfer);
}

static bool has_ended(void *arg)
{
    (void)arg;
    return transfer.status != USB_PENDING;
}

static void expect_closed(void)
{
    struct uhci *uhci = uhci_of(fake.registered);

    fake.registered->ops->device_close(&device);
    assert_true(list_empty(&uhci->open));
    assert_int_equal(uhci->queues.free, uhci->queues.total - PERIODIC_QUEUES - 2);
    assert_int_equal(uhci->tds.free, uhci->tds.total);
    assert_int_equal(uhci->control_full->link, UHCI_TERMINATE);
    assert_int_equal(uhci->control_low->link, usb_phys(uhci->control_full) | UHCI_QUEUE);
}

static void test_a_transfer(void **state)
{
    (void)state;
    open_device();
    fake.again = true;
    assert_true(submit());
    assert_true(usb_wait(has_ended, NULL, 10) || fake.done == 1);
    assert_true(usb_wait(has_ended, NULL, 10));
    assert_int_equal(fake.done, 2);
    assert_int_equal(transfer.status, USB_OK);
    assert_int_equal(transfer.actual, sizeof(buffer));

    device.address = 9;
    assert_true(fake.registered->ops->device_address(&device));
    assert_true(submit());
    const struct uhci_queue *queue = device.control.host;
    assert_int_equal(queue->chain.first->token >> 8 & 0x7f, 9);
    assert_true(usb_wait(has_ended, NULL, 10));
    expect_closed();
}

static void test_cancel(void **state)
{
    (void)state;
    hc.answers_nothing = true;
    open_device();
    assert_true(submit());
    uint32_t before = hc.frame;
    fake.registered->ops->cancel(&transfer);
    assert_true(hc.frame - before >= 2);
    assert_int_equal(transfer.status, USB_CANCELLED);
    fake.registered->ops->cancel(&transfer); /* it is not pending any more */
    assert_int_equal(fake.done, 1);

    hc.answers_nothing = false;
    assert_true(submit()); /* the queue is linked again */
    assert_true(usb_wait(has_ended, NULL, 10));
    assert_int_equal(transfer.status, USB_OK);
    expect_closed();
}

static void test_frames_that_stand_still(void **state)
{
    (void)state;
    hc.answers_nothing = true;
    open_device();
    assert_true(submit());
    hc.stuck_frames = true;
    fake.registered->ops->cancel(&transfer);
    assert_int_equal(transfer.status, USB_CANCELLED);
    assert_true(fake.registered->dead);
    assert_non_null(strstr(fake.log, "frames stand still"));
    assert_false(hc.command & USBCMD_RUN);
    assert_false(fake.commands & PCI_COMMAND_MASTER);
}

/* What is pending fails, once, and nothing more is started. */
static void test_errors(void **state)
{
    static const struct {
        uint16_t status;
        const char *message;
    } cases[] = { { USBSTS_HOST_ERROR | USBSTS_HALTED, "host system error" },
                  { USBSTS_PROCESS | USBSTS_HALTED, "process error" },
                  { USBSTS_HALTED, "stopped by itself" },
                  { GONE, "it is gone" } };

    for (uint32_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(start(state), 0);
        hc.answers_nothing = true;
        open_device();
        assert_true(submit());
        hc.status = cases[i].status;
        for (uint32_t round = 0; round < 2; round++) {
            fake.registered->ops->poll(fake.registered);
            assert_int_equal(fake.done, 1);
        }
        assert_true(fake.registered->dead);
        assert_non_null(strstr(fake.log, cases[i].message));
        assert_int_equal(transfer.status, USB_FAILED);
        assert_false(fake.commands & PCI_COMMAND_MASTER);
        assert_false(submit());
    }
}

static void test_no_room_for_more_endpoints(void **state)
{
    static struct usb_endpoint endpoints[100];
    uint32_t count = 0;
    (void)state;

    open_device();
    for (; count < ARRAY_SIZE(endpoints); count++) {
        endpoints[count] = (struct usb_endpoint){ .device = &device,
                                                  .address = 0x81,
                                                  .packet_size = 8,
                                                  .interval_ms = (uint8_t)(count + 1) };
        if (!fake.registered->ops->endpoint_open(&endpoints[count]))
            break;
    }
    assert_int_equal(count, 55);
    assert_non_null(strstr(fake.log, "no room"));
    for (uint32_t i = 0; i < count; i++) /* out of the middle of their lists, too */
        fake.registered->ops->endpoint_close(&endpoints[i * 7 % 55]);
    expect_closed();
}

int main(void)
{
#define STARTED(name) cmocka_unit_test_setup(name, start)
#define FRESH(name)   cmocka_unit_test_setup(name, prepare)
    static const struct CMUnitTest tests[] = {
        FRESH(test_start),
        FRESH(test_ports_are_counted),
        FRESH(test_controllers_that_cannot_be_started),
        FRESH(test_bars_that_are_none),
        STARTED(test_a_change_is_told_once_and_the_port_stays_enabled),
        STARTED(test_a_change_is_not_lost_by_another_write),
        STARTED(test_a_port_is_reset),
        STARTED(test_a_port_that_cannot_be_enabled),
        STARTED(test_a_transfer),
        STARTED(test_cancel),
        STARTED(test_frames_that_stand_still),
        FRESH(test_errors),
        STARTED(test_no_room_for_more_endpoints),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
