/*
 * The xHCI driver, with all that is above it, on a controller made here register by register.
 *
 * The controller keeps to the specification and checks that the driver does: accesses of 32 bits,
 * bits that are cleared by ones, contexts and rings in order, commands in states that allow them.
 * It can have what QEMU's has not: contexts of 64 bytes, scratchpads, firmware that owns it, ports
 * that are slow or early, commands that hang.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "usb/xhci.h"
#include <drivers/input.h>
#include <drivers/timer.h>
#include <heap.h>
#include <log.h>
#include <mem/window.h>
#include <usb/core.h>
#include <usb/system.h>
#include "support.h"

#define SIZE        0x4000u
#define OPERATIONAL 0x40u
#define EXTENDED    0x800u
#define RUNTIME     0x1000u
#define DOORBELLS   0x2000u
#define SLOTS       8u
#define BUS_ADDRESS 5u
#define PORTS       4u /* 1 and 2: USB 2; 3 and 4: USB 3 */

/* ---- The system ---- */

static uint64_t now_ms;
static uint32_t locks, live_blocks, live_pages;
static char said[4096];
static void *pages[8192];
static uint32_t pages_until_none, blocks_until_none; /* 0: there is no end */

void *kmalloc(size_t size)
{
    live_blocks++;
    return malloc(size);
}

void *kcalloc(size_t count, size_t size)
{
    if (blocks_until_none != 0 && --blocks_until_none == 0)
        return NULL;
    live_blocks++;
    return calloc(count, size);
}

void kfree(void *block)
{
    live_blocks -= block != NULL;
    free(block);
}

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
    if (pages_until_none != 0 && --pages_until_none == 0)
        return NULL;
    void *page = aligned_alloc(4096, 4096);

    memset(page, 0, 4096);
    *find_page(NULL) = page;
    live_pages++;
    return page;
}

void usb_free_page(void *page)
{
    if (page == NULL)
        return;
    *find_page(page) = NULL;
    live_pages--;
    free(page);
}

static void keep_log(const char *format, va_list args)
{
    size_t length = strlen(said);
    (void)!vsnprintf(said + length, sizeof(said) - length, format, args);
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

void kprintf(const char *format, ...)
{
    (void)format;
}

uint32_t usb_lock(void)
{
    return locks++;
}

void usb_unlock(uint32_t state)
{
    assert_int_equal(--locks, state);
}

static void hardware_works(void);

void usb_sleep(uint32_t ms)
{
    assert_int_equal(locks, 0);
    now_ms += ms;
    hardware_works();
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

bool timer_busy_wait_us(uint32_t us)
{
    (void)us;
    hardware_works();
    return true;
}

static uint32_t keyboards, events;
static uint8_t last_key;

void input_register_keyboard(struct keyboard_device *keyboard)
{
    (void)keyboard;
    keyboards++;
}

void input_unregister_keyboard(struct keyboard_device *keyboard)
{
    (void)keyboard;
    keyboards--;
}

void input_key_event(struct keyboard_device *keyboard, struct key_event event)
{
    (void)keyboard;
    events++;
    last_key = event.pressed ? event.keycode : 0;
}

/* ---- PCI ---- */

static struct pci_device_info functions[3];
static uint32_t function_count, command_register, intel[4];

const struct pci_device_info *pci_get(uint32_t index)
{
    return index < function_count ? &functions[index] : NULL;
}

uint32_t pci_read(pci_address_t address, uint32_t offset)
{
    (void)address;
    return intel[(offset - 0xd0) / 4];
}

void pci_write(pci_address_t address, uint32_t offset, uint32_t value)
{
    (void)address;
    intel[(offset - 0xd0) / 4] = value;
}

void pci_set_command(pci_address_t address, uint32_t set, uint32_t clear)
{
    (void)address;
    command_register = (command_register & ~clear) | set;
}

/* ---- The controller ---- */

struct endpoint {
    uint32_t dequeue; /* with the cycle state */
    bool waits;       /* for a report */
};

static struct hardware {
    /* What it is like. */
    bool big_contexts, firmware_owns, firmware_stays, clears_reset_early, hangs, ignores_abort;
    struct prng fuzz; /* its state is not 0: registers read as anything, and writes do nothing */
    bool says_success_after_short, hides_states;
    uint32_t scratchpads, reset_ms, hanging_commands, stalls, failures, refused_stops;
    uint32_t structure_1, structure_2, parameters; /* as read */
    bool mute;
    uint32_t unanswered; /* so many of the next control transfers */
    uint32_t port_of_keyboard;

    /* How it is. */
    uint32_t command, status, configure, legacy, smi, port[PORTS + 1];
    uint32_t ring, array, event_size, event_table, event_dequeue;
    uint32_t event_at, event_cycle;
    uint64_t reset_ends, port_reset_ends, ring_stops;
    uint32_t disabled_ports;
    bool slot_used[SLOTS + 1], addressed[SLOTS + 1];
    struct endpoint endpoints[SLOTS + 1][32];
    uint32_t states[SLOTS + 1][32];
    uint8_t report[8];
    bool has_report;
    uint32_t report_slot;
    uint32_t clears, cleared[2]; /* of a translator's buffer: wValue, and wIndex above */
} hw;

static uint32_t *words(uint32_t address)
{
    return (uint32_t *)(uintptr_t)address;
}

static uint32_t *context(uint32_t slot, uint32_t index)
{
    uint32_t base = words(hw.array)[2 * slot];

    assert_true(base != 0 && base % 64 == 0);
    assert_int_equal(words(hw.array)[2 * slot + 1], 0);
    return words(base + index * (hw.big_contexts ? 64 : 32));
}

static void give_event(uint32_t type, uint32_t pointer, uint32_t code, uint32_t length,
                       uint32_t rest)
{
    uint32_t *table = words(hw.event_table);
    uint32_t *event = words(table[0] + 16 * hw.event_at);

    assert_true(hw.event_table % 64 == 0 && hw.event_size == 1 && table[2] == XHCI_RING_TRBS);
    event[0] = pointer;
    event[1] = 0;
    event[2] = code << 24 | length;
    event[3] = rest | type << 10 | hw.event_cycle;
    if (++hw.event_at == XHCI_RING_TRBS) {
        hw.event_at = 0;
        hw.event_cycle ^= 1;
    }
    assert_true(table[0] + 16 * hw.event_at != (hw.event_dequeue & ~15u)); /* it is not full */
}

/* The next block of a ring, or NULL; follows links. */
static uint32_t *next_block(uint32_t *dequeue)
{
    for (;;) {
        uint32_t *block = words(*dequeue & ~15u);
        if ((block[3] & 1) != (*dequeue & 1))
            return NULL;
        if ((block[3] >> 10 & 0x3f) != TRB_LINK) {
            *dequeue += 16;
            return block;
        }
        *dequeue = block[0] | ((*dequeue & 1) ^ (block[3] >> 1 & 1));
    }
}

/* It may show in the context, or not for a long time. */
static void set_state(uint32_t slot, uint32_t dci, uint32_t state)
{
    hw.states[slot][dci] = state;
    context(slot, dci)[0] = (context(slot, dci)[0] & ~7u) | (hw.hides_states ? 1 : state);
}

static uint32_t state_of(uint32_t slot, uint32_t dci)
{
    return hw.states[slot][dci];
}

static void take_endpoint(uint32_t slot, uint32_t dci, const uint32_t *input)
{
    assert_int_equal(input[1] >> 1 & 3, 3);
    assert_int_equal(input[1] >> 3 & 7, dci == 1 ? 4 : 7);
    memcpy(context(slot, dci), input, 20);
    set_state(slot, dci, 1);
    hw.endpoints[slot][dci] = (struct endpoint){ .dequeue = input[2] };
}

/* Returns the completion code: 1 success, 5 TRB error, 19 wrong state, 4 the device is mute. */
static uint32_t run_command(const uint32_t *block, uint32_t *slot)
{
    uint32_t type = block[3] >> 10 & 0x3f, dci = block[3] >> 16 & 0x1f;
    uint32_t size = hw.big_contexts ? 64 : 32;
    const uint32_t *control = words(block[0]), *input = words(block[0] + size);

    if (type == CMD_ENABLE_SLOT) {
        assert_int_equal(dci, hw.port_of_keyboard <= 2 ? 0 : 3); /* the slot type of the port */
        for (*slot = 1; *slot <= SLOTS && hw.slot_used[*slot];)
            ++*slot;
        assert_int_equal(words(hw.array)[2 * *slot], 0); /* nothing is left of who had it */
        hw.slot_used[*slot] = true;
        hw.addressed[*slot] = false;
        return 1;
    }
    if (*slot == 0 || *slot > SLOTS || !hw.slot_used[*slot])
        return 11;
    switch (type) {
    case CMD_DISABLE_SLOT:
        hw.slot_used[*slot] = false;
        memset(hw.endpoints[*slot], 0, sizeof(hw.endpoints[*slot]));
        memset(hw.states[*slot], 0, sizeof(hw.states[*slot]));
        return 1;
    case CMD_ADDRESS_DEVICE:
        assert_true(control[0] == 0 && control[1] == 3 && input[0] >> 27 == 1);
        assert_int_equal(input[1] >> 16 & 0xff, hw.port_of_keyboard);
        assert_int_equal(input[0] >> 20 & 0xf, hw.port[hw.port_of_keyboard] >> 10 & 0xf);
        if (hw.mute && !(block[3] & CMD_BLOCK_ADDRESS))
            return 4;
        memcpy(context(*slot, 0), input, 16);
        take_endpoint(*slot, 1, words(block[0] + 2 * size));
        hw.addressed[*slot] = !(block[3] & CMD_BLOCK_ADDRESS);
        context(*slot, 0)[3] = hw.addressed[*slot] ? BUS_ADDRESS : 0;
        return 1;
    case CMD_CONFIGURE:
        assert_true(hw.addressed[*slot] && (control[0] & 3) == 0 && (control[1] & 3) == 1);
        for (uint32_t i = 2; i < 32; i++) {
            if (control[0] & 1u << i)
                hw.endpoints[*slot][i].dequeue = 0;
            if (control[1] & 1u << i) {
                assert_true(input[0] >> 27 >= i);
                take_endpoint(*slot, i, words(block[0] + (i + 1) * size));
            }
        }
        return 1;
    case CMD_EVALUATE:
        assert_true(control[0] == 0 && control[1] == 2);
        context(*slot, 1)[1] = words(block[0] + 2 * size)[1];
        return 1;
    case CMD_RESET_ENDPOINT:
        if (state_of(*slot, dci) != 2)
            return 19;
        set_state(*slot, dci, 3);
        return 1;
    case CMD_STOP_ENDPOINT:
        if (state_of(*slot, dci) != 1)
            return 19;
        if (hw.refused_stops > 0) {
            hw.refused_stops--;
            return 19;
        }
        if (hw.endpoints[*slot][dci].waits)
            give_event(32, hw.endpoints[*slot][dci].dequeue & ~15u, 27, 0, *slot << 24 | dci << 16);
        hw.endpoints[*slot][dci].waits = false;
        set_state(*slot, dci, 3);
        return 1;
    case CMD_SET_DEQUEUE:
        if (state_of(*slot, dci) != 3)
            return 19;
        hw.endpoints[*slot][dci].dequeue = block[0];
        return 1;
    default:
        return 5;
    }
}

static void run_commands(void)
{
    uint32_t *block;

    while (!hw.hangs && (block = next_block(&hw.ring)) != NULL) {
        uint32_t slot = block[3] >> 24;
        if (hw.hanging_commands > 0) {
            hw.hanging_commands--;
            hw.hangs = true;
            hw.ring -= 16;
            return;
        }
        uint32_t refused = hw.refused_stops, code = run_command(block, &slot);
        assert_true(code != 19 || refused != hw.refused_stops); /* the driver knows the states */
        give_event(33, (uint32_t)(uintptr_t)block, code, 0, slot << 24);
    }
}

/* What the keyboard answers: the length, or -1. */
static int keyboard_answers(const uint8_t *setup, uint8_t *data)
{
    static const uint8_t device[18] = { 18, 1, 0, 2, 0, 0, 0, 64, 1, 0, 2, 0, 0, 0, 0, 0, 0, 1 };
    static const uint8_t configuration[25] = { 9, 2, 25, 0, 1, 1, 0, 0xa0, 50, 9, 4, 0, 0,
                                               1, 3, 1,  1, 0, 7, 5, 0x81, 3,  8, 0, 10 };
    if (setup[0] == 0x80 && setup[1] == 6 && setup[3] == 1) {
        memcpy(data, device, sizeof(device));
        return sizeof(device);
    }
    if (setup[0] == 0x80 && setup[1] == 6 && setup[3] == 2) {
        memcpy(data, configuration, sizeof(configuration));
        return sizeof(configuration);
    }
    if (setup[0] == 0x23 && setup[1] == 8 && hw.clears < ARRAY_SIZE(hw.cleared))
        hw.cleared[hw.clears++] =
            words((uint32_t)(uintptr_t)setup)[0] >> 16 | words((uint32_t)(uintptr_t)setup)[1] << 16;
    return setup[1] == 10 ? -1 : 0; /* SET_IDLE is refused */
}

static void run_control(uint32_t slot)
{
    struct endpoint *e = &hw.endpoints[slot][1];
    uint32_t *setup, where = slot << 24 | 1 << 16;

    if (hw.unanswered > 0) {
        hw.unanswered--;
        return;
    }
    while (!hw.mute && state_of(slot, 1) == 1 && (setup = next_block(&e->dequeue)) != NULL) {
        uint8_t data[64];
        uint32_t length = setup[1] >> 16;
        assert_int_equal(setup[3] >> 10 & 0x3f, TRB_SETUP);
        assert_true(setup[3] & 1 << 6 && setup[2] == 8);
        int answered = keyboard_answers((const uint8_t *)setup, data);
        uint32_t *block = next_block(&e->dequeue);
        if (answered < 0) {
            set_state(slot, 1, 2);
            give_event(32, (uint32_t)(uintptr_t)block, 6, length, where);
            return;
        }
        if (length != 0) {
            uint32_t moved = (uint32_t)answered < length ? (uint32_t)answered : length;
            assert_int_equal(setup[3] >> 16 & 3, setup[0] & 0x80 ? 3 : 2);
            assert_int_equal(block[3] >> 10 & 0x3f, TRB_DATA);
            assert_true(block[3] & 1 << 2); /* it wants to know of short ones */
            if (setup[0] & 0x80) {
                memcpy(words(block[0]), data, moved);
                if (moved < length)
                    give_event(32, (uint32_t)(uintptr_t)block, 13, length - moved, where);
                if (moved < length && hw.says_success_after_short)
                    give_event(32, (uint32_t)(uintptr_t)block, 1, 0, where);
            }
            block = next_block(&e->dequeue);
        }
        assert_int_equal(block[3] >> 10 & 0x3f, TRB_STATUS);
        assert_int_equal(block[3] >> 16 & 1, length != 0 && setup[0] & 0x80 ? 0 : 1);
        give_event(32, (uint32_t)(uintptr_t)block, 1, 0, where);
    }
}

static void run_interrupt(uint32_t slot)
{
    struct endpoint *e = &hw.endpoints[slot][3];
    uint32_t where = slot << 24 | 3 << 16, before = e->dequeue;

    if (e->dequeue == 0 || state_of(slot, 3) != 1)
        return;
    uint32_t *block = next_block(&e->dequeue);
    e->waits = block != NULL && !hw.has_report;
    if (block == NULL)
        return;
    if (hw.failures > 0) {
        hw.failures--;
        set_state(slot, 3, 2);
        give_event(32, (uint32_t)(uintptr_t)block, hw.failures % 2 == 0 ? 4 : 6, 8, where);
    } else if (!hw.has_report) {
        e->dequeue = before;
    } else {
        memcpy(words(block[0]), hw.report, 8);
        hw.has_report = false;
        give_event(32, (uint32_t)(uintptr_t)block, 1, 0, where);
    }
}

static void reset_hardware(void)
{
    hw.command = hw.configure = hw.ring = hw.array = hw.event_size = 0;
    hw.event_table = hw.event_dequeue = hw.event_at = 0;
    hw.event_cycle = 1;
    hw.status = 1 | 1 << 11;
    hw.reset_ends = now_ms + hw.reset_ms;
    for (uint32_t port = 1; port <= PORTS; port++)
        hw.port[port] = port == hw.port_of_keyboard ? 0x202e1 : 0x2a0;
    if (hw.port_of_keyboard > 2)
        hw.port[hw.port_of_keyboard] = 0x1203 | 1 << 17; /* USB 3 comes up by itself */
}

static void hardware_works(void)
{
    if (hw.firmware_owns && hw.legacy & 1 << 24 && !hw.firmware_stays)
        hw.legacy &= ~(1u << 16);
    if (hw.command & 2 && now_ms >= hw.reset_ends) {
        hw.command &= ~2u;
        hw.status &= ~(1u << 11);
    }
    for (uint32_t port = 1; port <= PORTS; port++) {
        if (!(hw.port[port] & 1 << 4) && hw.port_reset_ends == 0)
            continue;
        if (hw.clears_reset_early)
            hw.port[port] &= ~(1u << 4);
        if (now_ms < hw.port_reset_ends || port != hw.port_of_keyboard)
            continue;
        hw.port[port] &= ~(1u << 4 | 0x1e0 | 0x3c00);
        hw.port[port] |= 1u << 21 | 2 | (port <= 2 ? 1 : 4) << 10;
        hw.port_reset_ends = 0;
    }
    if (hw.command & 1 && !(hw.status & 1)) {
        run_commands();
        for (uint32_t slot = 1; slot <= SLOTS; slot++) {
            if (hw.slot_used[slot])
                run_interrupt(slot);
        }
    }
}

static uint32_t read_extended(uint32_t offset)
{
    switch (offset) {
    case EXTENDED:
        return 1 | 4 << 8 | (hw.legacy & 0xffff0000);
    case EXTENDED + 4:
        return hw.smi;
    case EXTENDED + 0x10:
        return 2 | 8 << 8 | 0x02000000;
    case EXTENDED + 0x18:
        return 1 | 2 << 8;
    case EXTENDED + 0x30:
        return 2 | 0x03000000;
    case EXTENDED + 0x38:
        return 3 | 2 << 8;
    case EXTENDED + 0x3c:
        return 3; /* slot type */
    case EXTENDED + 0x14:
    case EXTENDED + 0x34:
        return 0x20425355;
    default:
        return 0;
    }
}

/* Few bits, and few pages asked for. */
static uint32_t read_anything(uint32_t offset)
{
    uint32_t value = prng_next(&hw.fuzz);

    if (offset == 0x08)
        return value % 4 << 27;
    return prng_once_in(&hw.fuzz, 4) ? value : value & prng_next(&hw.fuzz) & prng_next(&hw.fuzz);
}

uint32_t xhci_read(const struct xhci *x, uint32_t offset)
{
    (void)x;
    assert_true(offset < SIZE && offset % 4 == 0);
    bool describes = offset < OPERATIONAL || offset == OPERATIONAL + OP_PAGE_SIZE ||
                     (offset >= EXTENDED && offset < RUNTIME);
    if (hw.fuzz.state != 0 && (!describes || prng_once_in(&hw.fuzz, 16)))
        return read_anything(offset);
    if (offset >= OPERATIONAL + OP_PORTS && offset < OPERATIONAL + OP_PORTS + 16 * PORTS)
        return offset % 16 == 0 ? hw.port[(offset - OPERATIONAL - OP_PORTS) / 16 + 1] : 0;
    switch (offset) {
    case 0x00:
        return 0x01100000 | OPERATIONAL;
    case 0x04:
        return hw.structure_1;
    case 0x08:
        return hw.structure_2;
    case 0x10:
        return hw.parameters;
    case 0x14:
        return DOORBELLS;
    case 0x18:
        return RUNTIME;
    case OPERATIONAL + OP_COMMAND:
        return hw.command;
    case OPERATIONAL + OP_STATUS:
        return hw.status;
    case OPERATIONAL + OP_PAGE_SIZE:
        return 1;
    case OPERATIONAL + OP_COMMAND_RING:
        return now_ms < hw.ring_stops ? 8 : 0;
    default:
        return read_extended(offset);
    }
}

static void write_port(uint32_t port, uint32_t value)
{
    uint32_t *p = &hw.port[port];

    *p &= ~(value & 0x00fe0000);
    if (value & 2) {
        *p &= ~2u;
        hw.disabled_ports++;
    }
    *p |= value & 1 << 9;
    if (value & 1 << 4) {
        *p = (*p | 1 << 4) & ~2u;
        hw.port_reset_ends = now_ms + 50;
    }
}

static void write_command(uint32_t value)
{
    if (value & 2) {
        assert_true(hw.status & 1); /* only a halted one is reset */
        reset_hardware();
        hw.command = 2;
        return;
    }
    assert_false(hw.status & 1 << 11); /* it is ready for it */
    hw.command = value;
    if (!(value & 1)) {
        hw.status |= 1;
        return;
    }
    assert_true(hw.configure == SLOTS && hw.array % 64 == 0 && hw.array != 0 && hw.ring % 64 == 1);
    for (uint32_t i = 0; i < hw.scratchpads; i++)
        assert_true(words(words(hw.array)[0])[2 * i] != 0);
    hw.status &= ~1u;
}

static void write_ring(uint32_t value)
{
    if (hw.hangs && value & 4 && !hw.ignores_abort) {
        uint32_t *block = words(hw.ring & ~15u);
        hw.hangs = false;
        hw.ring += 16;
        assert_int_equal(value & ~7u, hw.ring & ~7u); /* goes on there, whenever it is taken */
        hw.ring_stops = now_ms + 1000;
        give_event(33, (uint32_t)(uintptr_t)block, 25, 0, block[3] & 0xff000000);
        give_event(33, hw.ring & ~15u, 24, 0, 0);
    } else if (hw.status & 1) {
        hw.ring = value;
    }
}

void xhci_write(struct xhci *x, uint32_t offset, uint32_t value)
{
    (void)x;
    assert_true(offset < SIZE && offset % 4 == 0);
    if (hw.fuzz.state != 0)
        return;
    if (offset >= OPERATIONAL + OP_PORTS && offset < OPERATIONAL + OP_PORTS + 16 * PORTS) {
        write_port((offset - OPERATIONAL - OP_PORTS) / 16 + 1, value);
        return;
    }
    if (offset > DOORBELLS && offset <= DOORBELLS + 4 * SLOTS) {
        uint32_t slot = (offset - DOORBELLS) / 4;
        if (state_of(slot, value) == 3) /* a stopped endpoint goes on, a halted one does not */
            set_state(slot, value, 1);
        if (value == 1)
            run_control(slot);
        else
            run_interrupt(slot);
        return;
    }
    switch (offset) {
    case EXTENDED:
        hw.legacy = value;
        break;
    case EXTENDED + 4:
        hw.smi = value;
        break;
    case OPERATIONAL + OP_COMMAND:
        write_command(value);
        break;
    case OPERATIONAL + OP_COMMAND_RING:
        write_ring(value);
        break;
    case OPERATIONAL + OP_CONTEXT_ARRAY:
        hw.array = value;
        break;
    case OPERATIONAL + OP_CONFIGURE:
        hw.configure = value;
        break;
    case RUNTIME + 0x28:
        hw.event_size = value;
        break;
    case RUNTIME + 0x30:
        hw.event_table = value;
        break;
    case RUNTIME + 0x38:
        assert_true(hw.status & 1 || value & 8);
        hw.event_dequeue = value;
        break;
    case DOORBELLS:
        assert_true(now_ms >= hw.ring_stops); /* it would be lost */
        run_commands();
        break;
    default:
        assert_int_equal(value, 0); /* upper halves, notifications */
    }
}

volatile void *pci_map_bar(const struct pci_device_info *info, uint32_t bar, uint32_t length)
{
    assert_true(info == &functions[0] && bar == 0 && length == 0);
    return &hw;
}

void unmap_window(const void *address)
{
    assert_ptr_equal(address, &hw);
}

/* ---- Tests ---- */

static uint32_t blocks_before, pages_before;

/* A halted controller without peculiarities, and a full-speed keyboard at port 2. */
static int start(void **state)
{
    (void)state;
    functions[0] = (struct pci_device_info){
        .address = 0x20, .class = 0x0c, .subclass = 3, .interface = 0x30, .vendor = 0x1234
    };
    functions[0].bars[0] = (struct pci_bar){ .size = SIZE, .kind = PCI_BAR_MEMORY };
    function_count = 1;
    hw = (struct hardware){ .port_of_keyboard = 2, .status = 1, .reset_ms = 3 };
    hw.structure_1 = PORTS << 24 | 1 << 8 | SLOTS;
    hw.parameters = EXTENDED >> 2 << 16 | 1;
    keyboards = events = 0;
    said[0] = '\0';
    blocks_before = live_blocks;
    pages_before = live_pages;
    return 0;
}

static void run(uint32_t ms)
{
    for (uint64_t until = now_ms + ms; now_ms < until;) {
        (void)usb_core_step();
        usb_sleep(20);
        tick();
    }
}

static void boot(void)
{
    xhci_start();
    run(600);
}

/* Takes it off the bus: the driver lets go of it, and the next test has one of its own. */
static int finish(void **state)
{
    (void)state;
    hw.status = UINT32_MAX;
    run(100);
    return keyboards != 0;
}

static void type(uint8_t keycode)
{
    assert_false(hw.has_report);
    memset(hw.report, 0, sizeof(hw.report));
    hw.report[2] = keycode;
    hw.has_report = true;
    hardware_works();
    now_ms += 10;
    tick();
    assert_int_equal(last_key, keycode);
}

/* More than all rings hold. */
static void expect_typing(void)
{
    assert_int_equal(keyboards, 1);
    for (uint32_t i = 0; i < 400; i++) {
        type(KC_A + i % 20);
        type(0);
    }
}

static void expect_said(const char *text)
{
    if (strstr(said, text) == NULL)
        fail_msg("said was: %s", said);
}

static void test_from_reset_to_keys(void **state)
{
    (void)state;
    boot();
    expect_said("USB: xHCI 00:04.0, 4 ports");
    expect_said("keyboard: USB, on xHCI 00:04.0 port 2");
    assert_int_equal(command_register & 0x404, 0x404); /* bus master; no INTx */
    expect_typing();
}

static void test_large_contexts(void **state)
{
    (void)state;
    hw.big_contexts = true;
    hw.parameters |= 1 << 2;
    boot();
    expect_typing();
}

static void test_scratchpads(void **state)
{
    (void)state;
    hw.scratchpads = 33;
    hw.structure_2 = 1u << 21 | 1u << 27; /* the upper five bits, and the lower */
    uint32_t before = live_pages;
    xhci_start();
    assert_int_equal(live_pages - before, 3 + 1 + 33);
    run(600);
    expect_typing();
}

static void test_too_many_scratchpads(void **state)
{
    (void)state;
    hw.structure_2 = 0x1fu << 21 | 0x1fu << 27;
    boot();
    expect_said("left alone: there is not enough memory for it");
    assert_int_equal(live_blocks, blocks_before);
    assert_int_equal(live_pages, pages_before);
    assert_int_equal(command_register & 4, 0);
}

static void test_no_memory_at_the_start(void **state)
{
    (void)state;
    hw.structure_2 = 9u << 27;
    for (uint32_t n = 1; n <= 3 + 1 + 9; n++) {
        pages_until_none = n;
        xhci_start();
        pages_until_none = 0;
        assert_int_equal(live_blocks, blocks_before);
        assert_int_equal(live_pages, pages_before);
    }
    /* For itself, and for what the core keeps of it: it runs already, and is stopped. */
    for (uint32_t n = 1; n <= 3; n++) {
        blocks_until_none = n;
        xhci_start();
        blocks_until_none = 0;
        expect_said("no memory");
        assert_int_equal(live_blocks, blocks_before);
        assert_int_equal(live_pages, pages_before);
        assert_int_equal(command_register & 4, 0);
        assert_int_equal(hw.command & 1, 0);
    }
    boot();
    expect_typing();
}

static void test_a_controller_that_runs(void **state)
{
    (void)state;
    hw.command = 1;
    hw.status = 0;
    hw.hangs = true; /* there is no command ring of ours yet */
    xhci_start();
    hw.hangs = false;
    run(600);
    expect_typing();
}

static void test_firmware_lets_go(void **state)
{
    (void)state;
    hw.firmware_owns = true;
    hw.legacy = 1 << 16;
    hw.smi = 0x0000e011;
    boot();
    assert_int_equal(hw.legacy & 0x01010000, 1 << 24);
    assert_int_equal(hw.smi & 0xe011, 0);
    expect_typing();
}

static void test_firmware_that_stays(void **state)
{
    (void)state;
    hw.firmware_owns = hw.firmware_stays = true;
    hw.legacy = 1 << 16;
    boot();
    expect_said("firmware does not let go; taking it");
    assert_int_equal(hw.legacy & 0x01010000, 1 << 24);
    expect_typing();
}

static void test_a_reset_that_does_not_end(void **state)
{
    (void)state;
    hw.reset_ms = 100000;
    boot();
    expect_said("left alone: its reset does not end");
    assert_int_equal(live_blocks, blocks_before);
    assert_int_equal(live_pages, pages_before);
}

static void test_ports_that_clear_the_reset_bit_early(void **state)
{
    (void)state;
    hw.clears_reset_early = true;
    boot();
    expect_typing();
    assert_int_equal(hw.disabled_ports, 0); /* no bit was written back by mistake */
}

static void test_usb_3_port(void **state)
{
    (void)state;
    hw.port_of_keyboard = 3;
    boot();
    expect_said("port 3");
    expect_typing();
}

/* Stalls and failures of the keyboard's endpoint: it is reset each time. */
static void test_endpoint_errors(void **state)
{
    (void)state;
    boot();
    hw.failures = 5;
    run(1000);
    assert_int_equal(hw.failures, 0);
    expect_typing();
    assert_null(strstr(said, "no more reports come"));
}

static void test_a_device_that_is_mute(void **state)
{
    (void)state;
    hw.mute = true;
    boot();
    run(10000);
    expect_said("the device on xHCI 00:04.0 port 2 does not answer");
    assert_true(hw.disabled_ports > 0);
    for (uint32_t slot = 1; slot <= SLOTS; slot++)
        assert_false(hw.slot_used[slot]);
}

static void test_a_command_that_hangs_is_aborted(void **state)
{
    (void)state;
    hw.hanging_commands = 1;
    boot();
    run(5000);
    expect_typing();
}

static void test_a_keyboard_that_comes_and_goes(void **state)
{
    (void)state;
    xhci_start();
    run(20);
    uint32_t blocks = live_blocks, used_pages = live_pages;
    for (uint32_t i = 0; i < 20; i++) {
        run(600);
        assert_int_equal(keyboards, 1);
        type(KC_A);
        hw.port[2] = 0x2a0 | 1 << 17;
        run(300);
        assert_int_equal(keyboards, 0);
        assert_int_equal(live_blocks, blocks);
        assert_int_equal(live_pages, used_pages);
        hw.port[2] = 0x202e1;
    }
}

/* What contexts say of states comes late; events and commands do not. */
static void test_states_that_do_not_show(void **state)
{
    (void)state;
    hw.hides_states = true;
    boot();
    hw.failures = 5;
    run(1000);
    assert_int_equal(hw.failures, 0);
    expect_typing();
    hw.port[2] = 0x2a0 | 1 << 17;
    run(300);
    assert_int_equal(keyboards, 0);
}

/* A doorbell that was rung just before: the endpoint does not stop at once. */
static void test_an_endpoint_that_does_not_stop_at_once(void **state)
{
    (void)state;
    boot();
    assert_int_equal(keyboards, 1);
    hw.refused_stops = 2;
    hw.port[2] = 0x2a0 | 1 << 17;
    run(300);
    assert_int_equal(hw.refused_stops, 0);
    assert_int_equal(keyboards, 0);
}

/* The one on the latest controller. */
static struct usb_device *keyboard(void)
{
    struct usb_controller *controller = NULL, *next;

    for (uint32_t i = 0; (next = usb_core_controller(i)) != NULL; i++)
        controller = next;
    return (struct usb_device *)usb_core_device(controller, 0);
}

/*
 * After a control transfer that was broken off, and not after one that was refused. The keyboard
 * stands for the hub before it, too.
 */
static void test_a_translator_is_cleared(void **state)
{
    (void)state;
    uint8_t bytes[8];

    boot();
    struct usb_device *device = keyboard();
    device->translator = device;
    device->translator_port = 3;
    assert_false(usb_request(device, 0x21, 10, 0, 0, NULL, 0));
    assert_int_equal(hw.clears, 0);
    hw.unanswered = 1;
    (void)usb_request(device, USB_TO_HOST, USB_GET_DESCRIPTOR, 0x0100, 0, bytes, sizeof(bytes));
    assert_int_equal(hw.clears, 2);
    assert_int_equal(hw.cleared[0], 1 << 16 | BUS_ADDRESS << 4);
    assert_int_equal(hw.cleared[1], 1 << 16 | 0x8000 | BUS_ADDRESS << 4);
    device->translator = NULL;
}

static void test_a_short_transfer(void **state)
{
    (void)state;
    struct usb_setup setup = { USB_TO_HOST, USB_GET_DESCRIPTOR, 0x0100, 0, 60 };
    uint8_t bytes[60];
    uint16_t actual;

    boot();
    struct usb_device *device = keyboard();
    for (uint32_t twice = 0; twice <= 1; twice++) {
        hw.says_success_after_short = twice;
        assert_int_equal(usb_control(device, &setup, bytes, &actual), USB_OK);
        assert_int_equal(actual, 18);
    }
}

static void test_power_after_over_current(void **state)
{
    (void)state;
    boot();
    hw.port[1] = 0x88; /* no power, and the reason goes on */
    run(300);
    assert_int_equal(hw.port[1] & 1 << 9, 0);
    hw.port[1] = 0x80;
    run(300);
    assert_true(hw.port[1] & 1 << 9);
    expect_typing();
}

static void test_a_controller_that_fails(void **state)
{
    (void)state;
    boot();
    assert_int_equal(keyboards, 1);
    hw.status |= 1 << 2;
    run(100);
    expect_said("is left alone: it has failed, status 0x00000004");
    assert_int_equal(keyboards, 0);
    assert_int_equal(command_register & 4, 0);
}

static void test_intel_ports(void **state)
{
    (void)state;
    functions[0].vendor = 0x8086;
    functions[1] = (struct pci_device_info){
        .class = 0x0c, .subclass = 3, .interface = 0x20, .vendor = 0x8086
    };
    function_count = 2;
    memcpy(intel, (const uint32_t[]){ 0, 0x3f, 0, 0x0f }, sizeof(intel));
    boot();
    assert_int_equal(intel[0], 0x3f);
    assert_int_equal(intel[2], 0x0f);
}

/* The ports that firmware gave to an xHCI that is broken are EHCI's again. */
static void test_intel_ports_go_back(void **state)
{
    (void)state;
    functions[0].vendor = 0x8086;
    functions[1] = (struct pci_device_info){
        .class = 0x0c, .subclass = 3, .interface = 0x20, .vendor = 0x8086
    };
    function_count = 2;
    memcpy(intel, (const uint32_t[]){ 0x3f, 0x3f, 0x0f, 0x0f }, sizeof(intel));
    hw.reset_ms = 100000;
    boot();
    expect_said("its reset does not end");
    assert_int_equal(intel[0], 0);
}

static void test_a_controller_without_firmware(void **state)
{
    (void)state;
    functions[0].vendor = 0x1912;
    functions[0].device = 0x0015;
    hw.reset_ms = 100000;
    boot();
    expect_said("left alone: its reset does not end; it may lack its firmware");
}

static void test_registers_that_contradict_themselves(void **state)
{
    (void)state;
    const uint32_t bad[] = { 0, SLOTS, PORTS << 24, 0xff000000 | SLOTS };

    for (uint32_t i = 0; i < ARRAY_SIZE(bad); i++) {
        hw.structure_1 = bad[i];
        functions[0].bars[0].size = 0x800;
        xhci_start();
        expect_said("its registers contradict themselves");
        assert_int_equal(live_blocks, blocks_before);
    }
}

static void test_no_command_ends(void **state)
{
    (void)state;
    hw.hangs = hw.ignores_abort = true;
    boot();
    run(5000);
    expect_said("is left alone: it takes no commands");
}

/* Of slots, endpoints and transfers that are not there, of types that do not exist. */
static void test_events_that_mean_nothing(void **state)
{
    (void)state;
    struct prng prng = { 5 };

    boot();
    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t type = prng_once_in(&prng, 4) ? prng_below(&prng, 64) : 32 + prng_below(&prng, 2);
        uint32_t slot = prng_once_in(&prng, 2) ? prng_below(&prng, 3) : prng_below(&prng, 256);
        give_event(type, prng_next(&prng) & ~15u, prng_below(&prng, 256),
                   prng_next(&prng) & 0xffffff, slot << 24 | prng_below(&prng, 32) << 16);
        tick();
    }
    expect_typing();
}

/* Whatever its registers say, the start ends, and nothing outside of them is touched. */
static void test_any_registers(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 400; seed++) {
        hw.fuzz.state = seed * 2654435761u;
        functions[0].bars[0].size = seed % 4 == 0 ? 0x2010 : SIZE;
        said[0] = '\0';
        boot();
        assert_true(said[0] != '\0');
    }
    hw.fuzz.state = 0;
}

static int give_pages_back(void **state)
{
    for (uint32_t i = 0; i < ARRAY_SIZE(pages); i++)
        free(pages[i]);
    return parser_teardown(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_from_reset_to_keys),
        TEST(test_large_contexts),
        TEST(test_scratchpads),
        TEST(test_too_many_scratchpads),
        TEST(test_no_memory_at_the_start),
        TEST(test_a_controller_that_runs),
        TEST(test_firmware_lets_go),
        TEST(test_firmware_that_stays),
        TEST(test_a_reset_that_does_not_end),
        TEST(test_ports_that_clear_the_reset_bit_early),
        TEST(test_usb_3_port),
        TEST(test_endpoint_errors),
        TEST(test_a_device_that_is_mute),
        TEST(test_a_command_that_hangs_is_aborted),
        TEST(test_a_keyboard_that_comes_and_goes),
        TEST(test_states_that_do_not_show),
        TEST(test_an_endpoint_that_does_not_stop_at_once),
        TEST(test_a_translator_is_cleared),
        TEST(test_a_short_transfer),
        TEST(test_power_after_over_current),
        TEST(test_a_controller_that_fails),
        TEST(test_intel_ports),
        TEST(test_intel_ports_go_back),
        TEST(test_a_controller_without_firmware),
        TEST(test_no_command_ends),
        TEST(test_events_that_mean_nothing),
        TEST(test_any_registers),
        TEST(test_registers_that_contradict_themselves),
    };

    return cmocka_run_group_tests(tests, parser_setup, give_pages_back);
}
