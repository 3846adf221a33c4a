/*
 * The EHCI driver on registers made here, with faults that no emulator has: firmware that does not
 * let go, resets that do not end, doorbells that nobody answers, over-current.
 *
 * The driver's window onto the registers cannot be written: each attempt traps, is let through for
 * one instruction, and handed to the hardware as a write. Whenever the driver waits or sleeps, the
 * hardware takes a step for each millisecond, in which it does what it was told and walks both
 * schedules (ehci_model.h).
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ehci_model.h"
#include "mem/layout.h"
#include "support.h"
#include "usb/ehci.h"
#include <drivers/pci.h>
#include <heap.h>
#include <log.h>
#include <mem/window.h>
#include <usb/core.h>
#include <usb/ehci_schedule.h>
#include <usb/system.h>

#define PORTS          4u
#define CAPLENGTH      0x20u
#define REGISTERS      0x100u
#define LEGACY         0x68u /* in configuration space */

#define CONNECTED      (1u << 0)
#define CONNECT_CHANGE (1u << 1)
#define ENABLED        (1u << 2)
#define OVER_CURRENT   (1u << 4)
#define CURRENT_CHANGE (1u << 5)
#define RESET          (1u << 8)
#define LINE_K         (1u << 10)
#define LINE_J         (2u << 10)
#define POWER          (1u << 12)
#define COMPANION      (1u << 13)
#define WRITE_CLEAR    0x2au

/* ---- The machine ---- */

static uint32_t *registers;      /* as the hardware and the test see them */
static volatile uint8_t *window; /* as the driver sees them: writes trap */
static uint32_t *trapped, kept;  /* a write that is being let through: where, and what was there */
static uint32_t config[64];
static struct pci_device_info function, other; /* other: in the same chipset, if there is one */
static uint8_t other_revision;
static uint32_t port_resets, frame;
static bool plugged[PORTS + 1];
static enum usb_speed speeds[PORTS + 1];

/* What does not work. */
static struct {
    bool firmware_keeps, does_not_halt, reset_stays, does_not_run, deaf, async_stays;
    bool port_reset_stays;
    bool visits_off; /* it leaves the schedules alone */
} fault;

static uint32_t pages_left, pages_out, windows_out, blocks_out;
static bool no_room;                      /* the core has no memory for one more controller */
static struct usb_controller *controller; /* that was registered */
static char messages[4096];

static uint32_t *operational(uint32_t offset)
{
    return &registers[(CAPLENGTH + offset) / 4];
}

static void reset_controller(void)
{
    memset(operational(0), 0, REGISTERS - CAPLENGTH);
    *operational(USBCMD) = 0x00080b00; /* park mode, threshold */
    *operational(USBSTS) = USBSTS_HALTED;
    for (uint32_t port = 1; port <= PORTS; port++)
        *operational(PORTSC(port)) = COMPANION;
}

static void do_command(uint32_t *command, uint32_t *status)
{
    if (*command & USBCMD_RESET && !fault.reset_stays) {
        reset_controller();
        return;
    }
    if (*command & USBCMD_RUN && !fault.does_not_run)
        *status &= ~USBSTS_HALTED;
    if (!(*command & USBCMD_RUN) && !fault.does_not_halt)
        *status |= USBSTS_HALTED;
    if (*command & USBCMD_ASYNC)
        *status |= USBSTS_ASYNC;
    else if (!fault.async_stays)
        *status &= ~USBSTS_ASYNC;
    if (*command & USBCMD_DOORBELL && !fault.deaf) {
        assert_true(*command & USBCMD_ASYNC);
        *command &= ~USBCMD_DOORBELL;
        *status |= USBSTS_ADVANCED;
    }
}

/* What is plugged in shows at the port as soon as the port is EHCI's. */
static uint32_t show_device(uint32_t port, uint32_t value)
{
    bool here = plugged[port] && !(value & COMPANION) && value & POWER;

    if (here != (value & CONNECTED))
        value ^= CONNECTED | CONNECT_CHANGE;
    value &= ~(LINE_K | LINE_J);
    if (!here)
        return value & ~ENABLED;
    return value | (speeds[port] == USB_SPEED_LOW ? LINE_K : LINE_J);
}

static uint32_t do_port(uint32_t port, uint32_t old, uint32_t written)
{
    uint32_t value = written & ~(WRITE_CLEAR | ENABLED | CONNECTED | OVER_CURRENT);

    value |= old & (CONNECTED | OVER_CURRENT) & ~ENABLED;
    value |= old & WRITE_CLEAR & ~written;
    value |= old & written & ENABLED;
    if (!(old & RESET) && written & RESET)
        port_resets++;
    if (old & RESET && !(written & RESET)) {
        if (fault.port_reset_stays)
            value |= RESET;
        else if (plugged[port] && speeds[port] == USB_SPEED_HIGH)
            value |= ENABLED;
    }
    return value;
}

static void configure(uint32_t value)
{
    *operational(CONFIGFLAG) = value;
    for (uint32_t port = 1; value && port <= PORTS; port++)
        *operational(PORTSC(port)) &= ~COMPANION;
}

static void do_write(uint32_t offset, uint32_t value)
{
    uint32_t *place = operational(offset);

    if (offset == USBSTS)
        *place &= ~(value & USBSTS_CLEAR);
    else if (offset == CONFIGFLAG)
        configure(value);
    else if (offset > CONFIGFLAG)
        *place = do_port((offset - CONFIGFLAG) / 4, *place, value);
    else
        *place = value;
}

#define EFLAGS_TRAP 0x100

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
    uintptr_t offset = (uintptr_t)info->si_addr - (uintptr_t)window;

    if (offset >= REGISTERS || offset % 4 != 0) { /* a fault of the test's */
        signal(signal_number, SIG_DFL);
        return;
    }
    trapped = &registers[offset / 4];
    kept = *trapped;
    mprotect((void *)window, PAGE_SIZE, PROT_READ | PROT_WRITE);
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] |= EFLAGS_TRAP;
}

static void after_write(int signal_number, siginfo_t *info, void *context)
{
    uint32_t value = *trapped;

    (void)signal_number, (void)info;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~EFLAGS_TRAP;
    mprotect((void *)window, PAGE_SIZE, PROT_READ);
    *trapped = kept;
    do_write((uint32_t)((uintptr_t)trapped - (uintptr_t)operational(0)), value);
}

static int map_registers(void **state)
{
    int file = memfd_create("registers", 0);

    (void)state;
    if (file < 0 || ftruncate(file, PAGE_SIZE) != 0)
        return -1;
    registers = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    window = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, file, 0);
    return registers == MAP_FAILED || window == MAP_FAILED ? -1 : 0;
}

/* By each test itself: cmocka takes these signals before it. */
static void trap_writes(void)
{
    struct sigaction on_segv = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
    struct sigaction on_trap = { .sa_sigaction = after_write, .sa_flags = SA_SIGINFO };

    assert_int_equal(sigaction(SIGSEGV, &on_segv, NULL), 0);
    assert_int_equal(sigaction(SIGTRAP, &on_trap, NULL), 0);
}

static void walk_schedules(void)
{
    uint32_t command = *operational(USBCMD);
    uint32_t first = *operational(ASYNCLISTADDR);

    if (!(command & USBCMD_RUN) || fault.visits_off)
        return;
    assert_true(config[PCI_COMMAND / 4] & PCI_COMMAND_MASTER);
    if (command & USBCMD_ASYNC) {
        uint32_t link = first;
        do {
            struct ehci_qh *qh = (struct ehci_qh *)(uintptr_t)(link & EHCI_LINK_ADDRESS);
            controller_visit(qh);
            link = qh->link;
        } while ((link & EHCI_LINK_ADDRESS) != first);
    }
    if (command & USBCMD_PERIODIC) {
        uint32_t *list = (uint32_t *)(uintptr_t)*operational(PERIODICLISTBASE);
        uint32_t link = list[frame++ % EHCI_FRAMES];
        for (; !(link & EHCI_LINK_END); link = ehci_pipe_of_link(link)->qh.link)
            controller_visit(&ehci_pipe_of_link(link)->qh);
    }
}

/* A millisecond passes. */
static void step(void)
{
    do_command(operational(USBCMD), operational(USBSTS));
    for (uint32_t port = 1; port <= PORTS; port++)
        *operational(PORTSC(port)) = show_device(port, *operational(PORTSC(port)));
    walk_schedules();
    if (config[LEGACY / 4] & 1u << 24 && !fault.firmware_keeps)
        config[LEGACY / 4] &= ~(1u << 16);
}

/* ---- What the driver asks of the system ---- */

bool usb_wait(bool (*ready)(void *arg), void *arg, uint32_t ms)
{
    for (uint32_t i = 0; i <= ms; i++) {
        step();
        if (controller != NULL && !controller->dead)
            controller->ops->poll(controller);
        if (ready(arg))
            return true;
    }
    return false;
}

void usb_sleep(uint32_t ms)
{
    for (uint32_t i = 0; i < ms; i++)
        step();
}

uint32_t usb_lock(void)
{
    return 0;
}

void usb_unlock(uint32_t state)
{
    (void)state;
}

void *usb_alloc_page(void)
{
    if (pages_left == 0)
        return NULL;
    pages_left--;
    pages_out++;
    void *page = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
    return memset(page, 0, PAGE_SIZE);
}

void usb_free_page(void *page)
{
    if (page == NULL)
        return;
    pages_out--;
    free(page);
}

void *kcalloc(size_t count, size_t size)
{
    blocks_out++;
    return calloc(count, size);
}

void kfree(void *block)
{
    blocks_out--;
    free(block);
}

const struct pci_device_info *pci_get(uint32_t index)
{
    return index == 0 ? &function : index == 1 && other.vendor != 0 ? &other : NULL;
}

volatile void *pci_map_bar(const struct pci_device_info *info, uint32_t bar, uint32_t length)
{
    assert_true(info == &function && bar == 0 && length == 0);
    windows_out++;
    return window;
}

void unmap_window(const void *address)
{
    assert_ptr_equal(address, (const void *)window);
    windows_out--;
}

uint32_t pci_read(pci_address_t address, uint32_t offset)
{
    if (other.vendor != 0 && address == other.address) {
        assert_int_equal(offset, PCI_CLASS);
        return other_revision;
    }
    assert_true(address == function.address && offset < 256 && offset % 4 == 0);
    return config[offset / 4];
}

void pci_write(pci_address_t address, uint32_t offset, uint32_t value)
{
    assert_true(address == function.address && offset < 256 && offset % 4 == 0);
    config[offset / 4] = value;
}

void pci_write_byte(pci_address_t address, uint32_t offset, uint8_t value)
{
    assert_true(address == function.address && offset < 256);
    ((uint8_t *)config)[offset] = value;
}

void pci_set_command(pci_address_t address, uint32_t set, uint32_t clear)
{
    assert_int_equal(address, function.address);
    config[PCI_COMMAND / 4] = (config[PCI_COMMAND / 4] & ~clear) | set;
}

static void say(const char *format, va_list arguments)
{
    size_t used = strlen(messages);

    vsnprintf(messages + used, sizeof(messages) - used, format, arguments);
    strncat(messages, "\n", sizeof(messages) - strlen(messages) - 1);
}

void klog(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

void klog_warning(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

void kprintf(const char *format, ...)
{
    (void)format;
}

bool usb_register_controller(struct usb_controller *registered)
{
    assert_null(controller);
    if (no_room)
        return false;
    controller = registered;
    return true;
}

void usb_transfer_done(struct usb_transfer *transfer, enum usb_status status, uint16_t actual)
{
    assert_int_equal(transfer->status, USB_PENDING);
    transfer->status = status;
    transfer->actual = actual;
    if (transfer->done != NULL)
        transfer->done(transfer);
}

/* ---- A core, as small as can be ---- */

static struct usb_device devices[40];
static uint8_t buffer[64] __attribute__((aligned(64)));
static struct usb_setup clears[4]; /* Clear TT Buffer requests that were made */
static uint32_t clear_count;

static bool has_ended(void *arg)
{
    return ((struct usb_transfer *)arg)->status != USB_PENDING;
}

static bool submit(struct usb_transfer *transfer)
{
    transfer->status = USB_PENDING;
    return controller->ops->submit(transfer);
}

static enum usb_status control(struct usb_device *d, struct usb_setup setup, uint16_t *actual)
{
    struct usb_transfer transfer = {
        .endpoint = &d->control, .setup = setup, .buffer = buffer, .length = setup.length
    };

    if (!submit(&transfer))
        return USB_CANCELLED;
    if (!usb_wait(has_ended, &transfer, 100) && !controller->dead)
        controller->ops->cancel(&transfer);
    assert_true(controller->dead || transfer.status != USB_PENDING);
    *actual = transfer.actual;
    return transfer.status;
}

bool usb_request(struct usb_device *d, uint8_t request_type, uint8_t request, uint16_t value,
                 uint16_t index, void *data, uint16_t length)
{
    struct usb_setup setup = { request_type, request, value, index, length };
    uint16_t actual;

    (void)data;
    if (request == 8 && clear_count < ARRAY_SIZE(clears))
        clears[clear_count++] = setup;
    return control(d, setup, &actual) == USB_OK;
}

/* ---- Setting up ---- */

static int setup(void **state)
{
    (void)state;
    memset(&fault, 0, sizeof(fault));
    no_room = false;
    memset(registers, 0, REGISTERS);
    memset(config, 0, sizeof(config));
    memset(plugged, 0, sizeof(plugged));
    messages[0] = '\0';
    controller = NULL;
    pages_left = 16;
    pages_out = windows_out = blocks_out = port_resets = frame = clear_count = 0;
    model_reset();

    registers[0] = 0x01000000 | CAPLENGTH;
    registers[1] = PORTS | 1u << 4 | 2u << 8 | 2u << 12; /* power switches, two companions */
    registers[2] = LEGACY << 8 | 1;                      /* 64-bit */
    reset_controller();
    *operational(USBCMD) |= USBCMD_RUN; /* firmware uses it */
    *operational(USBSTS) = 0;
    config[LEGACY / 4] = 0x00010001;
    config[LEGACY / 4 + 1] = 0x0000e01f;
    config[PCI_COMMAND / 4] = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
    fault.visits_off = true;

    other = (struct pci_device_info){ .vendor = 0 };
    function = (struct pci_device_info){
        .address = PCI_ADDRESS(0, 0x1d, 7), .class = 0x0c, .subclass = 0x03, .interface = 0x20
    };
    function.bars[0] =
        (struct pci_bar){ .base = 0xfebf0000, .size = REGISTERS, .kind = PCI_BAR_MEMORY };
    return 0;
}

/* The driver keeps a controller for good; only the test knows better. */
static int teardown(void **state)
{
    (void)state;
    if (controller != NULL) {
        struct ehci *hc = ehci_of(controller);
        usb_pool_destroy(&hc->pool);
        usb_free_page((void *)hc->frames);
        free(hc);
    }
    controller = NULL;
    return 0;
}

static void start(void)
{
    trap_writes();
    ehci_start();
    assert_non_null(controller);
    fault.visits_off = false;
}

#define EXPECT_SAID(text)    assert_non_null(strstr(messages, text))
#define EXPECT_SILENCE(text) assert_null(strstr(messages, text))

/* It was refused, said why, and nothing of it is left. */
static void expect_left(const char *why)
{
    trap_writes();
    ehci_start();
    assert_null(controller);
    EXPECT_SAID(why);
    assert_int_equal(pages_out, 0);
    assert_int_equal(windows_out, 0);
    assert_int_equal(blocks_out, 0);
    assert_false(config[PCI_COMMAND / 4] & PCI_COMMAND_MASTER);
}

/* ---- Start ---- */

static void test_start(void **state)
{
    (void)state;
    *operational(CTRLDSSEGMENT) = 0xe0;
    start();
    assert_string_equal(messages, "EHCI 00:1d.7: 4 ports, 2 companions\n");
    assert_int_equal(controller->ports, PORTS);
    assert_int_equal(*operational(USBCMD), 0x00080031);
    assert_int_equal(*operational(USBINTR), 0);
    assert_int_equal(*operational(CTRLDSSEGMENT), 0);
    assert_int_equal(*operational(CONFIGFLAG), 1);
    assert_false(*operational(USBSTS) & USBSTS_HALTED);
    assert_true(config[PCI_COMMAND / 4] & PCI_COMMAND_MASTER);
    for (uint32_t port = 1; port <= PORTS; port++)
        assert_int_equal(*operational(PORTSC(port)), POWER);
    /* Firmware has let go and gets no SMIs any more. */
    assert_int_equal(config[LEGACY / 4] & 0x01010000, 0x01000000);
    assert_int_equal(config[LEGACY / 4 + 1] & 0xffff, 0);
}

/* Chips whose registers in configuration space have to be put right, and others like them. */
static void test_quirks(void **state)
{
    static const struct {
        uint16_t vendor, device;
        uint8_t revision, smbus_revision, offset, expected;
    } cases[] = {
        { 0x1106, 0x3104, 0x63, 0, 0x4b, 0x21 },    { 0x1106, 0x3104, 0x82, 0, 0x4b, 0x01 },
        { 0x1002, 0x4386, 0, 0x13, 0x53, 0x09 },    { 0x1002, 0x4396, 0, 0x3a, 0x53, 0x09 },
        { 0x1002, 0x4396, 0, 0x3b, 0x53, 0x09 },    { 0x1002, 0x4396, 0, 0x3c, 0x53, 0x01 },
        { 0x8086, 0x1c26, 0x63, 0x3a, 0x53, 0x01 },
    };

    for (uint32_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(setup(state), 0);
        function.vendor = cases[i].vendor;
        function.device = cases[i].device;
        config[PCI_CLASS / 4] = 0x0c032000u | cases[i].revision;
        ((uint8_t *)config)[cases[i].offset] = 0x01;
        other = (struct pci_device_info){ .address = PCI_ADDRESS(0, 0x14, 0),
                                          .vendor = 0x1002,
                                          .device = 0x4385 };
        other_revision = cases[i].smbus_revision;
        start();
        assert_int_equal(((uint8_t *)config)[cases[i].offset], cases[i].expected);
        teardown(state);
    }
}

/* AMD's 8111: its companions serve all that is plugged in. */
static void test_a_chip_that_does_not_work(void **state)
{
    (void)state;
    function.vendor = 0x1022;
    function.device = 0x7463;
    trap_writes();
    ehci_start();
    assert_null(controller);
    EXPECT_SAID("does not work");
    assert_int_equal(windows_out + blocks_out, 0);
}

static void test_firmware_keeps_it(void **state)
{
    (void)state;
    fault.firmware_keeps = true;
    start();
    EXPECT_SAID("firmware does not let go");
    assert_false(config[LEGACY / 4] & 1u << 16);
    assert_int_equal(config[LEGACY / 4 + 1] & 0xffff, 0);
}

/* Capabilities that lead in a circle, or nowhere. */
static void test_odd_capabilities(void **state)
{
    (void)state;
    config[LEGACY / 4] = 0x00016802;
    start();
    assert_int_equal(config[LEGACY / 4], 0x00016802);
    teardown(NULL);

    setup(NULL);
    registers[2] = 0x00003c00;
    start();
    assert_int_equal(config[LEGACY / 4], 0x00010001);
}

static void test_does_not_halt(void **state)
{
    (void)state;
    fault.does_not_halt = true;
    start();
    EXPECT_SAID("does not halt");
}

static void test_refused(void **state)
{
    (void)state;
    fault.reset_stays = true;
    expect_left("its reset does not end");
    setup(NULL);
    fault.does_not_run = true;
    expect_left("it does not run");
    setup(NULL);
    registers[1] = 0; /* no ports */
    expect_left("make no sense");
    setup(NULL);
    registers[1] = UINT32_MAX;
    expect_left("make no sense");
    setup(NULL);
    registers[0] = 0xf8; /* the ports lie behind the end */
    expect_left("make no sense");
}

static void test_no_memory(void **state)
{
    (void)state;
    for (uint32_t pages = 0; pages < 1 + EHCI_POOL_PAGES; pages++) {
        setup(NULL);
        pages_left = pages;
        expect_left("no memory");
    }
}

/* It runs already, and has the ports: they go back to the companions. */
static void test_no_room_in_the_core(void **state)
{
    (void)state;
    no_room = true;
    expect_left("");
    assert_int_equal(*operational(USBCMD) & USBCMD_RUN, 0);
    assert_int_equal(*operational(CONFIGFLAG) & 1, 0);
}

/* ---- Root ports ---- */

static struct usb_port_status ask(uint32_t port)
{
    struct usb_port_status status;

    step();
    controller->ops->port_status(controller, port, &status);
    step();
    return status;
}

static void plug(uint32_t port, enum usb_speed speed)
{
    plugged[port] = true;
    speeds[port] = speed;
}

/* The port comes back to EHCI by itself. */
static void pull(uint32_t port)
{
    plugged[port] = false;
    *operational(PORTSC(port)) &= ~COMPANION;
}

static void test_high_speed_port(void **state)
{
    struct usb_port_status status;

    (void)state;
    start();
    assert_false(ask(2).connected);
    plug(2, USB_SPEED_HIGH);
    status = ask(2);
    assert_true(status.connected && status.changed && status.powered && !status.enabled);
    assert_false(ask(2).changed);
    assert_true(controller->ops->port_reset(controller, 2, &status));
    assert_true(status.connected && status.enabled && status.speed == USB_SPEED_HIGH);
    assert_true(ask(2).enabled);
    assert_false(ask(1).connected);

    controller->ops->port_disable(controller, 2);
    assert_true(ask(2).connected && !ask(2).enabled);
    pull(2);
    step();
    controller->ops->port_disable(controller, 2); /* does not take the news away */
    status = ask(2);
    assert_true(!status.connected && status.changed);
}

static void test_slower_ports(void **state)
{
    struct usb_port_status status;

    (void)state;
    start();
    for (uint32_t round = 0; round < 2; round++) {
        plug(1, USB_SPEED_FULL);
        plug(3, USB_SPEED_LOW);
        assert_true(ask(1).connected && ask(3).connected);
        port_resets = 0;
        assert_false(controller->ops->port_reset(controller, 1, &status));
        assert_int_equal(port_resets, 1);
        assert_false(controller->ops->port_reset(controller, 3, &status));
        assert_int_equal(port_resets, 1); /* a low-speed device is known without one */
        assert_false(ask(1).connected || ask(3).connected);
        assert_true(*operational(PORTSC(1)) & *operational(PORTSC(3)) & COMPANION);
        assert_false(controller->ops->port_reset(controller, 1, &status));
        assert_int_equal(port_resets, 1);
        pull(1);
        pull(3);
        assert_false(ask(1).connected || ask(3).connected);
    }
    plug(3, USB_SPEED_HIGH);
    assert_true(ask(3).connected);
    assert_true(controller->ops->port_reset(controller, 3, &status));
}

static void test_no_companion(void **state)
{
    struct usb_port_status status;

    (void)state;
    registers[1] &= 0xfff;
    start();
    plug(1, USB_SPEED_FULL);
    assert_true(ask(1).connected);
    assert_false(controller->ops->port_reset(controller, 1, &status));
    assert_false(status.connected || ask(1).connected || ask(1).connected);
    EXPECT_SAID("port 1: not a high-speed device, and no companion");
    assert_false(*operational(PORTSC(1)) & COMPANION);
    pull(1);
    assert_false(ask(1).connected);
    plug(1, USB_SPEED_HIGH);
    assert_true(ask(1).connected);
    assert_true(controller->ops->port_reset(controller, 1, &status));
}

static void test_port_reset_stays(void **state)
{
    struct usb_port_status status;

    (void)state;
    start();
    fault.port_reset_stays = true;
    plug(4, USB_SPEED_HIGH);
    assert_true(ask(4).connected);
    assert_false(controller->ops->port_reset(controller, 4, &status));
    EXPECT_SAID("port 4: its reset does not end");
}

static void test_over_current(void **state)
{
    (void)state;
    start();
    *operational(PORTSC(2)) = OVER_CURRENT | CURRENT_CHANGE;
    ask(2);
    EXPECT_SAID("port 2: over-current\n");
    assert_int_equal(*operational(PORTSC(2)), OVER_CURRENT);
    *operational(PORTSC(2)) = CURRENT_CHANGE;
    ask(2);
    EXPECT_SAID("port 2: over-current is over");
    assert_int_equal(*operational(PORTSC(2)), POWER);
}

/* ---- Devices and transfers ---- */

static struct usb_device *open_device(uint32_t index, enum usb_speed speed)
{
    struct usb_device *d = &devices[index];

    *d = (struct usb_device){ .controller = controller, .speed = speed, .root_port = 1 };
    d->control = (struct usb_endpoint){ .device = d, .packet_size = 64 };
    if (speed != USB_SPEED_HIGH) {
        d->translator = &devices[0];
        d->translator_port = 3;
    }
    if (!controller->ops->device_open(d))
        return NULL;
    d->address = (uint8_t)(index + 1);
    assert_true(controller->ops->device_address(d));
    return d;
}

/* Nothing is left in the schedules, and all pipes are back. */
static void expect_idle(void)
{
    struct ehci *hc = ehci_of(controller);

    assert_int_equal(hc->head->qh.link, usb_phys(hc->head) | EHCI_LINK_QH);
    for (uint32_t i = 0; i < EHCI_FRAMES; i++)
        assert_int_equal(hc->frames[i], usb_phys(hc->end) | EHCI_LINK_QH);
    assert_null(hc->pipes);
    assert_int_equal(hc->pool.free, EHCI_PIPES - 2);
}

static void test_device(void **state)
{
    uint16_t actual;

    (void)state;
    start();
    struct usb_device *d = open_device(6, USB_SPEED_HIGH);
    struct ehci_pipe *pipe = d->control.host;
    assert_int_equal(pipe->qh.characteristics & 0x7f, 7);
    assert_int_equal(model.packets[0].bytes[1], USB_SET_ADDRESS);
    assert_int_equal(model.packets[0].bytes[2], 7);

    model_reset();
    model.limit = 18;
    assert_int_equal(control(d, (struct usb_setup){ 0x80, 6, 0x100, 0, 64 }, &actual), USB_OK);
    assert_int_equal(actual, 18);
    assert_memory_equal(buffer, model.data, 18);

    d->control.packet_size = 8;
    assert_true(controller->ops->device_update(d));
    model_reset();
    model.limit = 18;
    assert_int_equal(control(d, (struct usb_setup){ 0x80, 6, 0x100, 0, 18 }, &actual), USB_OK);
    assert_int_equal(model.count, 5);
    controller->ops->device_close(d);
    expect_idle();
    EXPECT_SILENCE("given up");
}

static uint32_t typed;

static void type_again(struct usb_transfer *transfer)
{
    if (transfer->status != USB_OK)
        return;
    typed++;
    model.given = 0;
    assert_true(submit(transfer));
}

static void test_interrupt(void **state)
{
    (void)state;
    start();
    typed = 0;
    struct usb_device *d = open_device(0, USB_SPEED_HIGH);
    struct usb_endpoint endpoint = { d, 0x81, 8, 10, NULL };
    struct usb_transfer transfer = {
        .endpoint = &endpoint, .buffer = buffer, .length = 8, .done = type_again
    };

    assert_true(controller->ops->endpoint_open(&endpoint));
    model_reset();
    assert_true(submit(&transfer));
    (void)usb_wait(has_ended, &transfer, 100);
    assert_in_range(typed, 10, 13); /* every 8 ms */
    while (model.packets[model.count - 1].toggle != 0)
        (void)usb_wait(has_ended, &transfer, 1);
    for (uint32_t i = 0; i < typed; i++)
        assert_int_equal(model.packets[i].toggle, i % 2);

    controller->ops->cancel(&transfer);
    assert_int_equal(transfer.status, USB_CANCELLED);
    uint32_t before = typed;
    usb_sleep(50);
    controller->ops->poll(controller);
    assert_int_equal(typed, before);

    /* It goes on where it was. */
    uint32_t count = model.count;
    assert_true(submit(&transfer));
    (void)usb_wait(has_ended, &transfer, 10);
    assert_int_equal(model.packets[count].toggle, 1);

    controller->ops->endpoint_close(&endpoint); /* with a transfer pending */
    assert_int_equal(transfer.status, USB_CANCELLED);

    /* A pipe's memory is given back when the controller can have nothing of it any more. */
    assert_true(controller->ops->endpoint_open(&endpoint));
    uint32_t closed_at = frame;
    controller->ops->endpoint_close(&endpoint);
    assert_true(frame - closed_at >= 2);
    controller->ops->device_close(d);
    expect_idle();
}

static void test_stall(void **state)
{
    struct usb_transfer transfer = { .buffer = buffer };
    struct usb_setup setup_packet = { 0x80, 6, 0x100, 0, 18 };
    uint16_t actual;

    (void)state;
    start();
    struct usb_device *d = open_device(0, USB_SPEED_HIGH);
    model_reset();
    model.answers[1] = STALL;
    assert_int_equal(control(d, setup_packet, &actual), USB_STALLED);
    transfer.endpoint = &d->control;
    assert_false(submit(&transfer)); /* not before it was reset */
    assert_true(controller->ops->endpoint_reset(&d->control));
    model_reset();
    assert_int_equal(control(d, setup_packet, &actual), USB_OK);
    assert_int_equal(actual, 18);
}

/* A device that never answers: the transfer is taken back, and the next one works. */
static void test_cancel(void **state)
{
    struct usb_setup setup_packet = { 0x80, 6, 0x100, 0, 18 };
    uint16_t actual;

    (void)state;
    start();
    struct usb_device *d = open_device(0, USB_SPEED_HIGH);
    model_reset();
    for (uint32_t i = 0; i < PACKETS_MAX; i++)
        model.answers[i] = NAK;
    assert_int_equal(control(d, setup_packet, &actual), USB_CANCELLED);
    assert_int_equal(actual, 0);
    assert_true(controller->ops->endpoint_reset(&d->control));
    model_reset();
    assert_int_equal(control(d, setup_packet, &actual), USB_OK);
    assert_int_equal(clear_count, 0);
}

/* Behind a translator the hub is told to forget what was broken off, in both directions. */
static void test_clear_translator(void **state)
{
    struct usb_setup setup_packet = { 0x80, 6, 0x100, 0, 18 };
    uint16_t actual;

    (void)state;
    start();
    open_device(0, USB_SPEED_HIGH);
    struct usb_device *d = open_device(8, USB_SPEED_LOW);
    for (uint32_t multi = 0; multi < 2; multi++) {
        devices[0].hub_multi_tt = multi;
        clear_count = 0;
        model_reset();
        for (uint32_t i = 0; i < PACKETS_MAX; i++)
            model.answers[i] = i < 3 ? LOST : ANSWER;
        assert_int_equal(control(d, setup_packet, &actual), USB_FAILED);
        assert_true(controller->ops->endpoint_reset(&d->control));
        assert_int_equal(clear_count, 2);
        assert_int_equal(clears[0].request_type, 0x23);
        assert_int_equal(clears[0].value, 9 << 4);
        assert_int_equal(clears[1].value, 9 << 4 | 0x8000);
        assert_int_equal(clears[0].index, multi ? 3 : 1);
        assert_true(controller->ops->endpoint_reset(&d->control));
        assert_int_equal(clear_count, 2);
    }
}

static void test_slow_device_without_translator(void **state)
{
    (void)state;
    start();
    struct usb_device *d = &devices[0];
    *d = (struct usb_device){ .controller = controller, .speed = USB_SPEED_FULL, .root_port = 4 };
    d->control = (struct usb_endpoint){ .device = d, .packet_size = 8 };
    assert_false(controller->ops->device_open(d));
    EXPECT_SAID("port 4: no hub translates");
    expect_idle();
}

static void test_all_pipes(void **state)
{
    (void)state;
    start();
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < EHCI_PIPES - 2; i++)
            assert_non_null(open_device(i, USB_SPEED_HIGH));
        assert_null(open_device(EHCI_PIPES - 2, USB_SPEED_HIGH));
        EXPECT_SAID("more than 30 endpoints");
        for (uint32_t i = 0; i < EHCI_PIPES - 2; i++)
            controller->ops->device_close(&devices[i * 7 % (EHCI_PIPES - 2)]);
        expect_idle();
    }
}

/* An endpoint for which there is no time leaves nothing behind. */
static void test_bus_is_full(void **state)
{
    struct usb_endpoint endpoints[3];

    (void)state;
    start();
    open_device(0, USB_SPEED_HIGH);
    struct usb_device *d = open_device(1, USB_SPEED_LOW);
    for (uint32_t i = 0; i < 3; i++) {
        endpoints[i] = (struct usb_endpoint){ d, (uint8_t)(0x81 + i), 8, 1, NULL };
        assert_int_equal(controller->ops->endpoint_open(&endpoints[i]), i < 2);
    }
    EXPECT_SAID("no time left on the bus");
    controller->ops->endpoint_close(&endpoints[0]);
    controller->ops->endpoint_close(&endpoints[1]);
    controller->ops->device_close(d);
    controller->ops->device_close(&devices[0]);
    expect_idle();
}

/* ---- Giving up ---- */

static void test_doorbell_missed(void **state)
{
    (void)state;
    start();
    fault.deaf = true;
    struct usb_device *d = open_device(0, USB_SPEED_HIGH);
    assert_non_null(d);
    assert_false(controller->dead);
    assert_true(*operational(USBSTS) & USBSTS_ASYNC);
    controller->ops->device_close(d);
    expect_idle();
}

static void expect_dead(const char *why)
{
    EXPECT_SAID(why);
    EXPECT_SAID("given up");
    assert_true(controller->dead);
    assert_int_equal(*operational(USBCMD), 0);
    assert_false(config[PCI_COMMAND / 4] & PCI_COMMAND_MASTER);
}

static void test_does_not_let_go(void **state)
{
    (void)state;
    start();
    struct usb_device *d = open_device(0, USB_SPEED_HIGH);
    fault.deaf = fault.async_stays = true;
    assert_false(controller->ops->device_update(d));
    expect_dead("does not let go of an endpoint");
}

static void test_system_error(void **state)
{
    static const struct {
        uint32_t status;
        const char *why;
    } cases[] = { { USBSTS_SYSTEM_ERROR | USBSTS_HALTED, "host system error" },
                  { USBSTS_HALTED, "it has halted" },
                  { UINT32_MAX, "its registers are gone" } };

    (void)state;
    for (uint32_t i = 0; i < ARRAY_SIZE(cases); i++) {
        setup(NULL);
        start();
        *operational(USBSTS) = cases[i].status;
        controller->ops->poll(controller);
        expect_dead(cases[i].why);
        if (i + 1 < ARRAY_SIZE(cases))
            teardown(NULL);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_start),
        TEST(test_quirks),
        TEST(test_a_chip_that_does_not_work),
        TEST(test_firmware_keeps_it),
        TEST(test_odd_capabilities),
        TEST(test_does_not_halt),
        TEST(test_refused),
        TEST(test_no_memory),
        TEST(test_no_room_in_the_core),
        TEST(test_high_speed_port),
        TEST(test_slower_ports),
        TEST(test_no_companion),
        TEST(test_port_reset_stays),
        TEST(test_over_current),
        TEST(test_device),
        TEST(test_interrupt),
        TEST(test_stall),
        TEST(test_cancel),
        TEST(test_clear_translator),
        TEST(test_slow_device_without_translator),
        TEST(test_all_pipes),
        TEST(test_bus_is_full),
        TEST(test_doorbell_missed),
        TEST(test_does_not_let_go),
        TEST(test_system_error),
    };

    return cmocka_run_group_tests(tests, map_registers, NULL);
}
