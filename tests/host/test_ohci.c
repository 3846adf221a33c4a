/*
 * OHCI's driver on registers made here, with a small controller that works whenever the driver
 * waits: a frame for each look.
 *
 * It runs the control list's descriptors, keeps what is done until it may hand it over, and can be
 * told to get stuck, or to misread, where a real one might.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "mem/layout.h"
#include "usb/ohci_ring.h"
#include "usb_fake.h"
#include <drivers/timer.h>
#include <mem/window.h>
#include <usb/system.h>

/* The registers that matter here, as indices of words. */
enum {
    REVISION,
    CONTROL,
    COMMAND,
    INTERRUPTS,
    HCCA = 6,
    CONTROL_HEAD = 8,
    FM_INTERVAL = 13,
    FM_NUMBER = 15,
    PERIODIC_START = 16,
    RH_A = 18,
    RH_STATUS = 20,
    PORT_1 = 21,
    PORT_2,
};

/* What ohci_mmio.c has in the kernel. */
struct ohci;
uint32_t ohci_read(const struct ohci *ohci, uint32_t offset);
void ohci_write(struct ohci *ohci, uint32_t offset, uint32_t value);

#define CONTROL_LIST  (1u << 4)
#define STATE         (3u << 6)
#define OPERATIONAL   (2u << 6)
#define SUSPENDED     (3u << 6)
#define SMM           (1u << 8)
#define COMMAND_RESET (1u << 0)
#define OWNERSHIP     (1u << 3)
#define DONE_HEAD     (1u << 1)
#define UNRECOVERABLE (1u << 4)
#define DONE_HEAD_AT  (0x84 / 4) /* in the HCCA */

#define CONNECTED     (1u << 0)
#define ENABLED       (1u << 1)
#define RESET         (1u << 4)
#define POWER         (1u << 8)
#define LOW_SPEED     (1u << 9)
#define CONNECT_CHG   (1u << 16)
#define RESET_CHG     (1u << 20)
#define CHANGES       (0x1fu << 16)
#define GLITCH        (1u << 13) /* reserved in ports and in RH_A */

/* ---- The machine ---- */

static struct {
    volatile uint32_t registers[0x100 / 4];
    bool stuck_reset, stuck_smm, stuck_frames; /* how it fails */
    bool deaf_in_suspend;                      /* it then takes no frame interval */
    bool endless_port_reset;
    uint32_t misreads;             /* so often the root hub gives other bits */
    uint32_t missing_ports;        /* so often there seem to be no ports */
    uint32_t reset_frames, resets; /* of a port */
    bool answers_nothing;
    uint32_t keeps_done; /* frames until it hands over what is done; it then runs one TD a frame */
    uint32_t done;       /* its done queue */
    uint32_t frames;     /* that it ran */
    uint32_t windows_out;
} hc;

static uint32_t *memory(uint32_t address)
{
    return (uint32_t *)(uintptr_t)address;
}

static void run_list(uint32_t address)
{
    for (; address != 0; address = memory(address)[3]) {
        struct ohci_ed *ed = (struct ohci_ed *)(uintptr_t)address;
        if (ed->control & OHCI_ED_SKIP || ed->head & OHCI_ED_HALTED || hc.answers_nothing)
            continue;
        while ((ed->head & OHCI_POINTER) != ed->tail) {
            struct ohci_td *td = (struct ohci_td *)(uintptr_t)(ed->head & OHCI_POINTER);
            uint32_t next = td->next;
            td->control &= ~(15u << OHCI_TD_CODE);
            td->buffer = 0;
            td->next = hc.done;
            hc.done = usb_phys(td);
            ed->head = next;
            if (hc.keeps_done > 0)
                return;
        }
    }
}

/* A pulse of 10 ms. */
static void run_port(volatile uint32_t *port)
{
    if (!(*port & RESET) || hc.endless_port_reset || ++hc.reset_frames < 10)
        return;
    *port = (*port & ~RESET) | RESET_CHG | ENABLED;
    hc.reset_frames = 0;
    hc.resets++;
}

static void write_port(volatile uint32_t *port, uint32_t value)
{
    *port &= ~(value & CHANGES);
    if (value & POWER)
        *port |= POWER;
    if (value & CONNECTED) /* which written means: disable */
        *port &= ~ENABLED;
    if (value & RESET && *port & CONNECTED)
        *port |= RESET;
}

uint32_t ohci_read(const struct ohci *ohci, uint32_t offset)
{
    (void)ohci;
    assert_in_range(offset, 0, sizeof(hc.registers) - 4);
    if (offset / 4 >= RH_A && hc.misreads > 0) {
        hc.misreads--;
        return GLITCH | 0x0f;
    }
    if (offset / 4 == RH_A && hc.missing_ports > 0) {
        hc.missing_ports--;
        return hc.registers[RH_A] & ~0xffu;
    }
    return hc.registers[offset / 4];
}

void ohci_write(struct ohci *ohci, uint32_t offset, uint32_t value)
{
    uint32_t index = offset / 4;
    bool deaf = hc.deaf_in_suspend && (hc.registers[CONTROL] & STATE) == SUSPENDED;

    (void)ohci;
    assert_in_range(offset, 0, sizeof(hc.registers) - 4);
    if (index == INTERRUPTS)
        hc.registers[index] &= ~value;
    else if (index >= PORT_1)
        write_port(&hc.registers[index], value);
    else if (!(deaf && (index == FM_INTERVAL || index == PERIODIC_START)))
        hc.registers[index] = value;
}

static void run_frame(void)
{
    uint32_t control = hc.registers[CONTROL];

    if ((hc.registers[COMMAND] & COMMAND_RESET) && !hc.stuck_reset) {
        hc.registers[COMMAND] = 0;
        hc.registers[CONTROL] = SUSPENDED;
        hc.registers[FM_INTERVAL] = 0x2edf;
        hc.registers[PERIODIC_START] = 0;
    }
    run_port(&hc.registers[PORT_1]);
    run_port(&hc.registers[PORT_2]);
    if ((hc.registers[COMMAND] & OWNERSHIP) && !hc.stuck_smm)
        hc.registers[CONTROL] &= ~SMM;
    if ((control & STATE) != OPERATIONAL || hc.stuck_frames)
        return;
    hc.registers[FM_NUMBER] = (hc.registers[FM_NUMBER] + 1) & 0xffff;
    hc.frames++;
    if (control & CONTROL_LIST)
        run_list(hc.registers[CONTROL_HEAD]);
    if (hc.keeps_done > 0)
        hc.keeps_done--;
    else if (hc.done != 0 && !(hc.registers[INTERRUPTS] & DONE_HEAD)) {
        memory(hc.registers[HCCA])[DONE_HEAD_AT] = hc.done;
        hc.registers[INTERRUPTS] |= DONE_HEAD;
        hc.done = 0;
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
    run_frame();
    return true;
}

volatile void *pci_map_bar(const struct pci_device_info *info, uint32_t bar, uint32_t length)
{
    assert_ptr_equal(info, &fake.function);
    assert_int_equal(bar, 0);
    assert_true(length <= sizeof(hc.registers));
    hc.windows_out++;
    return hc.registers;
}

void unmap_window(const void *address)
{
    assert_ptr_equal(address, hc.registers);
    hc.windows_out--;
}

/* ---- Starting ---- */

static int prepare(void **state)
{
    (void)state;
    memset(&hc, 0, sizeof(hc));
    fake_reset(0x10);
    hc.registers[REVISION] = 0x110;
    hc.registers[CONTROL] = OPERATIONAL; /* as a BIOS leaves it */
    hc.registers[RH_A] = 0x02000202;     /* 2 ports with power always on */
    hc.registers[FM_INTERVAL] = 11998;
    hc.registers[PORT_1] = CONNECTED | CONNECT_CHG | LOW_SPEED;
    return 0;
}

static int start(void **state)
{
    prepare(state);
    ohci_start();
    return fake.registered != NULL ? 0 : -1;
}

static void test_start(void **state)
{
    (void)state;
    ohci_start();
    assert_non_null(fake.registered);
    assert_int_equal(fake.registered->ports, 2);
    assert_int_equal(hc.registers[CONTROL] & STATE, OPERATIONAL);
    assert_int_equal(hc.registers[CONTROL] & 0x3c, 0x14); /* periodic and control lists only */
    assert_int_equal(hc.registers[FM_INTERVAL] & 0x3fff, 11998);
    assert_int_equal(hc.registers[FM_INTERVAL] >> 16 & 0x7fff, (11998 - 210) * 6 / 7);
    assert_int_equal(hc.registers[PERIODIC_START], 11998 * 9 / 10);
    assert_int_equal(hc.registers[HCCA] % 256, 0);
    assert_true(fake.commands & PCI_COMMAND_MASTER);
    assert_string_equal(fake.log, "");
    assert_true(hc.registers[RH_STATUS] & 1u << 16); /* power for all, and for each */
    assert_true(hc.registers[PORT_1] & hc.registers[PORT_2] & POWER);
    for (uint32_t slot = 0; slot < 32; slot++)
        assert_true(memory(memory(hc.registers[HCCA])[slot])[0] & OHCI_ED_SKIP);
}

/* Nothing is kept, and it reaches no memory any more. */
static void expect_left_alone(const char *message)
{
    ohci_start();
    assert_non_null(strstr(fake.log, message));
    assert_true(fake_is_clean());
    assert_int_equal(hc.windows_out, 0);
    assert_int_not_equal(hc.registers[CONTROL] & STATE, OPERATIONAL);
}

static void test_a_controller_of_another_revision(void **state)
{
    (void)state;
    hc.registers[REVISION] = 0xffffffff;
    expect_left_alone("not of revision 1.0");
}

static void test_impossible_ports(void **state)
{
    (void)state;
    hc.registers[RH_A] = 0;
    expect_left_alone("number of ports");
    prepare(state);
    hc.registers[RH_A] = 16;
    expect_left_alone("number of ports");
}

static void test_ports_that_show_late(void **state)
{
    (void)state;
    hc.missing_ports = 3;
    hc.misreads = 2;
    ohci_start();
    assert_non_null(fake.registered);
    assert_int_equal(fake.registered->ports, 2);
}

/* It is written again while the bus is in reset. */
static void test_a_frame_interval_that_is_not_taken_in_suspend(void **state)
{
    (void)state;
    hc.deaf_in_suspend = true;
    ohci_start();
    assert_non_null(fake.registered);
    assert_int_equal(hc.registers[FM_INTERVAL] & 0x3fff, 11998);
    assert_int_equal(hc.registers[PERIODIC_START], 11998 * 9 / 10);
    assert_int_equal(hc.registers[CONTROL] & STATE, OPERATIONAL);
}

static void test_a_reset_that_does_not_end(void **state)
{
    (void)state;
    hc.stuck_reset = true;
    expect_left_alone("reset does not end");
}

static void test_too_little_memory(void **state)
{
    (void)state;
    for (uint32_t pages = 0; pages < 3; pages++) {
        prepare(state);
        fake.pages_left = pages;
        expect_left_alone("too little memory");
    }
    prepare(state);
    fake.no_room = true; /* it runs already */
    expect_left_alone("");
}

static void test_firmware_lets_go(void **state)
{
    (void)state;
    hc.registers[CONTROL] |= SMM;
    ohci_start();
    assert_non_null(fake.registered);
    assert_string_equal(fake.log, "");
}

static void test_firmware_does_not_let_go(void **state)
{
    (void)state;
    hc.registers[CONTROL] |= SMM;
    hc.stuck_smm = true;
    ohci_start();
    assert_non_null(fake.registered);
    assert_non_null(strstr(fake.log, "firmware does not let go"));
    assert_false(hc.registers[CONTROL] & SMM);
}

/* ---- Ports ---- */

static void test_a_port(void **state)
{
    struct usb_port_status status;
    const struct usb_controller_ops *ops = fake.registered->ops;
    (void)state;

    hc.misreads = 3;
    for (uint32_t round = 0; round < 2; round++) {
        ops->port_status(fake.registered, 1, &status);
        assert_true(status.connected && status.powered && !status.enabled);
        assert_int_equal(status.changed, round == 0);
        assert_int_equal(status.speed, USB_SPEED_LOW);
    }
    assert_true(ops->port_reset(fake.registered, 1, &status));
    assert_true(status.enabled);
    assert_int_equal(hc.resets, 5); /* of 10 ms each */
    assert_int_equal(hc.registers[PORT_1] & CHANGES, 0);
    ops->port_disable(fake.registered, 1);
    ops->port_status(fake.registered, 1, &status);
    assert_false(status.enabled);
    assert_false(ops->port_reset(fake.registered, 2, &status)); /* empty */
    assert_string_equal(fake.log, "");
}

static void test_a_port_reset_that_does_not_end(void **state)
{
    struct usb_port_status status;
    (void)state;

    hc.endless_port_reset = true;
    assert_false(fake.registered->ops->port_reset(fake.registered, 1, &status));
    assert_non_null(strstr(fake.log, "reset of a port does not end"));
}

/* ---- Transfers ---- */

static struct usb_device device;
static struct usb_transfer transfer;
static uint8_t buffer[64];

static void open_device(enum usb_speed speed)
{
    device = (struct usb_device){ .controller = fake.registered, .speed = speed };
    device.control = (struct usb_endpoint){ .device = &device, .packet_size = 8 };
    assert_true(fake.registered->ops->device_open(&device));
}

static bool submit(void)
{
    transfer = (struct usb_transfer){ .endpoint = &device.control,
                                      .setup = { 0x80, 6, 0x0100, 0, 64 },
                                      .buffer = buffer,
                                      .length = 64 };
    return fake.registered->ops->submit(&transfer);
}

static bool has_ended(void *arg)
{
    (void)arg;
    return transfer.status != USB_PENDING;
}

/* True: the control list runs again, and has nothing but its skeleton. */
static bool close_device(void)
{
    fake.registered->ops->device_close(&device);
    for (uint32_t ed = hc.registers[CONTROL_HEAD]; ed != 0; ed = memory(ed)[3])
        assert_true(memory(ed)[0] & OHCI_ED_SKIP);
    return hc.registers[CONTROL] & CONTROL_LIST;
}

static void test_a_transfer(void **state)
{
    (void)state;
    open_device(USB_SPEED_LOW);
    fake.again = true;
    assert_true(submit());
    const uint32_t *ed = memory(memory(hc.registers[CONTROL_HEAD])[3]);
    assert_int_equal(ed[0], 8u << 16 | 1u << 13);
    assert_true(usb_wait(has_ended, NULL, 10) || fake.done == 1);
    assert_true(usb_wait(has_ended, NULL, 10));
    assert_int_equal(fake.done, 2);
    assert_int_equal(transfer.status, USB_OK);
    assert_int_equal(transfer.actual, 64);

    device.address = 5;
    assert_true(fake.registered->ops->device_address(&device));
    assert_true(submit());
    assert_int_equal(ed[0], 8u << 16 | 1u << 13 | 5);
    assert_true(usb_wait(has_ended, NULL, 10));
    assert_true(close_device());
}

/* Nothing has answered: two frames with SKIP set, and it is the driver's. */
static void test_cancel(void **state)
{
    (void)state;
    hc.answers_nothing = true;
    open_device(USB_SPEED_FULL);
    assert_true(submit());
    uint32_t before = hc.frames;
    fake.registered->ops->cancel(&transfer);
    assert_true(hc.frames - before >= 2);
    assert_int_equal(transfer.status, USB_CANCELLED);
    assert_int_equal(fake.done, 1);
    fake.registered->ops->cancel(&transfer); /* it is not pending any more */
    assert_int_equal(fake.done, 1);

    hc.answers_nothing = false;
    assert_true(submit());
    assert_true(usb_wait(has_ended, NULL, 10));
    assert_int_equal(transfer.status, USB_OK);
    assert_false(fake.registered->dead);
    assert_true(close_device());
}

/* The setup stage is done, but has not come back: its descriptor must not be used again yet. */
static void test_cancel_waits_for_the_done_queue(void **state)
{
    (void)state;
    hc.keeps_done = 9;
    open_device(USB_SPEED_FULL);
    assert_true(submit());
    run_frame();
    assert_int_not_equal(hc.done, 0);
    fake.registered->ops->cancel(&transfer);
    assert_int_equal(transfer.status, USB_CANCELLED);
    assert_int_equal(hc.done, 0);
    assert_true(submit());
    assert_true(usb_wait(has_ended, NULL, 10));
    assert_int_equal(transfer.status, USB_OK);
    assert_false(fake.registered->dead);
    assert_true(close_device());
}

static void test_a_done_queue_that_does_not_come(void **state)
{
    (void)state;
    hc.keeps_done = UINT32_MAX;
    open_device(USB_SPEED_FULL);
    assert_true(submit());
    run_frame();
    fake.registered->ops->cancel(&transfer);
    assert_int_equal(transfer.status, USB_CANCELLED);
    assert_true(fake.registered->dead);
    assert_non_null(strstr(fake.log, "done queue does not come"));
    assert_false(fake.commands & PCI_COMMAND_MASTER);
}

static void test_frames_that_stand_still(void **state)
{
    (void)state;
    hc.answers_nothing = true;
    open_device(USB_SPEED_FULL);
    assert_true(submit());
    hc.stuck_frames = true;
    fake.registered->ops->cancel(&transfer);
    assert_int_equal(transfer.status, USB_CANCELLED);
    assert_true(fake.registered->dead);
    assert_non_null(strstr(fake.log, "frames stand still"));
    assert_int_not_equal(hc.registers[CONTROL] & STATE, OPERATIONAL);
}

/* What is pending fails, once, and nothing more is started. */
static void expect_given_up(const char *message)
{
    fake.registered->ops->poll(fake.registered);
    assert_true(fake.registered->dead);
    assert_non_null(strstr(fake.log, message));
    assert_int_equal(transfer.status, USB_FAILED);
    assert_int_equal(fake.done, 1);
    assert_false(fake.commands & PCI_COMMAND_MASTER);
    fake.registered->ops->poll(fake.registered);
    assert_int_equal(fake.done, 1);
    assert_false(submit());
}

static void test_errors(void **state)
{
    static const struct {
        uint32_t interrupts, done_head;
        const char *message;
    } cases[] = { { UNRECOVERABLE, 0, "unrecoverable error" },
                  { 0xffffffff, 0, "it is gone" },
                  { DONE_HEAD, 0x1000, "done queue makes no sense" },
                  { DONE_HEAD | UNRECOVERABLE, 0x1000, "unrecoverable error" } };

    for (uint32_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(start(state), 0);
        hc.answers_nothing = true;
        open_device(USB_SPEED_FULL);
        assert_true(submit());
        memory(hc.registers[HCCA])[DONE_HEAD_AT] = cases[i].done_head;
        hc.registers[INTERRUPTS] = cases[i].interrupts;
        expect_given_up(cases[i].message);
    }
}

/* A done queue that runs in a circle, through a descriptor that is out. */
static void test_a_done_queue_in_a_circle(void **state)
{
    (void)state;
    hc.answers_nothing = true;
    open_device(USB_SPEED_FULL);
    assert_true(submit());
    uint32_t td = memory(memory(hc.registers[CONTROL_HEAD])[3])[2];
    memory(td)[2] = td;
    memory(hc.registers[HCCA])[DONE_HEAD_AT] = td;
    hc.registers[INTERRUPTS] = DONE_HEAD;
    expect_given_up("done queue makes no sense");
}

static void test_no_room_for_more_endpoints(void **state)
{
    static struct usb_endpoint endpoints[100];
    uint32_t count = 0;
    (void)state;

    open_device(USB_SPEED_FULL);
    for (; count < ARRAY_SIZE(endpoints); count++) {
        endpoints[count] = (struct usb_endpoint){ .device = &device,
                                                  .address = 0x81,
                                                  .packet_size = 8,
                                                  .interval_ms = (uint8_t)(count + 1) };
        if (!fake.registered->ops->endpoint_open(&endpoints[count]))
            break;
    }
    assert_int_equal(count, 56);
    assert_non_null(strstr(fake.log, "no room"));
    for (uint32_t i = 0; i < count; i++) /* out of the middle of their lists, too */
        fake.registered->ops->endpoint_close(&endpoints[i * 5 % 56]);
    for (uint32_t slot = 0; slot < 32; slot++) {
        for (uint32_t ed = memory(hc.registers[HCCA])[slot]; ed != 0; ed = memory(ed)[3])
            assert_true(memory(ed)[0] & OHCI_ED_SKIP);
    }
    assert_true(close_device());
    open_device(USB_SPEED_FULL);
}

int main(void)
{
#define STARTED(name) cmocka_unit_test_setup(name, start)
#define FRESH(name)   cmocka_unit_test_setup(name, prepare)
    static const struct CMUnitTest tests[] = {
        FRESH(test_start),
        FRESH(test_a_controller_of_another_revision),
        FRESH(test_impossible_ports),
        FRESH(test_ports_that_show_late),
        FRESH(test_a_frame_interval_that_is_not_taken_in_suspend),
        FRESH(test_a_reset_that_does_not_end),
        FRESH(test_too_little_memory),
        FRESH(test_firmware_lets_go),
        FRESH(test_firmware_does_not_let_go),
        STARTED(test_a_port),
        STARTED(test_a_port_reset_that_does_not_end),
        STARTED(test_a_transfer),
        STARTED(test_cancel),
        STARTED(test_cancel_waits_for_the_done_queue),
        STARTED(test_a_done_queue_that_does_not_come),
        STARTED(test_frames_that_stand_still),
        FRESH(test_errors),
        STARTED(test_a_done_queue_in_a_circle),
        STARTED(test_no_room_for_more_endpoints),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
