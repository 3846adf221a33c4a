/*
 * EHCI's queues and its periodic schedule, run by the controller of ehci_model.h. Numbers of queue
 * heads are worked out from the manual's figures by hand.
 */
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <usb/ehci_queue.h>
#include <usb/ehci_schedule.h>
#include "brief.h"
#include "ehci_model.h"
#include "support.h"

/* ---- Endpoints ---- */

static struct usb_device hub, keyboard;
static struct usb_endpoint endpoint;
static struct ehci_pipe queue;
static uint8_t buffer[128] __attribute__((aligned(128)));
static struct usb_transfer transfer;

static void open_pipe(enum usb_speed speed, uint8_t address, uint16_t packet_size)
{
    keyboard = (struct usb_device){ .speed = speed };
    if (speed != USB_SPEED_HIGH) {
        keyboard.translator = &hub;
        keyboard.translator_port = 3;
    }
    endpoint = (struct usb_endpoint){ &keyboard, address, packet_size, 10, NULL };
    memset(&queue, 0, sizeof(queue));
    ehci_pipe_init(&queue, &endpoint, 9);
}

static int setup(void **state)
{
    (void)state;
    model_reset();
    memset(buffer, 0, sizeof(buffer));
    hub = (struct usb_device){ .speed = USB_SPEED_HIGH, .address = 5 };
    open_pipe(USB_SPEED_HIGH, 0, 64);
    return 0;
}

/* Starts a transfer and lets the controller work until nothing moves, or 100 visits. */
static enum usb_status run(uint8_t request_type, uint16_t length, uint16_t *actual)
{
    transfer = (struct usb_transfer){
        .endpoint = &endpoint,
        .setup = { request_type, 6, 0x1234, 0x5678, length },
        .buffer = buffer,
        .length = length,
    };
    ehci_pipe_start(&queue, &transfer);
    assert_ptr_equal(queue.transfer, &transfer);
    for (uint32_t i = 0; i < 100 && controller_visit(&queue.qh); i++)
        ;
    return ehci_pipe_progress(&queue, actual);
}

/* The same, and finishes it. */
static enum usb_status complete(uint8_t request_type, uint16_t length, uint16_t *actual)
{
    enum usb_status status = run(request_type, length, actual);

    assert_int_not_equal(status, USB_PENDING);
    ehci_pipe_finish(&queue, status);
    assert_null(queue.transfer);
    return status;
}

/* What went over the wire: pid, toggle and length of each packet. */
#define EXPECT_PACKETS(...)                                                                        \
    do {                                                                                           \
        const uint32_t expected[][3] = { __VA_ARGS__ };                                            \
        assert_int_equal(model.count, ARRAY_SIZE(expected));                                       \
        for (uint32_t p = 0; p < ARRAY_SIZE(expected); p++) {                                      \
            assert_int_equal(model.packets[p].pid, expected[p][0]);                                \
            assert_int_equal(model.packets[p].toggle, expected[p][1]);                             \
            assert_int_equal(model.packets[p].length, expected[p][2]);                             \
        }                                                                                          \
    } while (0)

#define SETUP EHCI_PID_SETUP
#define IN    EHCI_PID_IN
#define OUT   EHCI_PID_OUT

/* ---- Queue heads ---- */

static void test_head(void **state)
{
    (void)state;
    memset(&queue, 0, sizeof(queue));
    ehci_pipe_init_head(&queue);
    assert_int_equal(queue.qh.link, usb_phys(&queue) | 2);
    assert_int_equal(queue.qh.characteristics & 0x8000, 0x8000);
    assert_int_equal(queue.qh.token & 0xff, 0x40);
    assert_false(controller_visit(&queue.qh));
}

static void expect_words(enum usb_speed speed, uint8_t address, uint16_t packet_size,
                         uint32_t characteristics, uint32_t capabilities)
{
    open_pipe(speed, address, packet_size);
    assert_int_equal(queue.qh.characteristics, characteristics);
    assert_int_equal(queue.qh.capabilities, capabilities);
    assert_int_equal(queue.qh.link, EHCI_LINK_END);
}

static void test_words(void **state)
{
    (void)state;
    /*                 RL C size  DTC speed ep address              mult port hub masks */
    expect_words(USB_SPEED_HIGH, 0x00, 64, 0x40406009, 0x40000000);
    expect_words(USB_SPEED_HIGH, 0x81, 8, 0x00082109, 0x40000000);
    expect_words(USB_SPEED_LOW, 0x00, 8, 0x08085009, 0x41850000);
    expect_words(USB_SPEED_FULL, 0x00, 64, 0x08404009, 0x41850000);
    expect_words(USB_SPEED_LOW, 0x82, 8, 0x00081209, 0x41850000);
    expect_words(USB_SPEED_FULL, 0x8f, 64, 0x00400f09, 0x41850000);
}

/* Address and packet size change; the place in the schedule stays. */
static void test_describe(void **state)
{
    (void)state;
    open_pipe(USB_SPEED_LOW, 0x81, 8);
    queue.qh.capabilities |= 0x1c01;
    endpoint.packet_size = 4;
    ehci_pipe_describe(&queue, 77);
    assert_int_equal(queue.qh.characteristics, 0x0004114d);
    assert_int_equal(queue.qh.capabilities, 0x41851c01);
    assert_int_equal(ehci_pipe_address(&queue), 77);
}

/* ---- Control transfers ---- */

static void test_control_in(void **state)
{
    static const uint8_t packet[8] = { 0x80, 6, 0x34, 0x12, 0x78, 0x56, 18, 0 };
    uint16_t actual;

    (void)state;
    open_pipe(USB_SPEED_LOW, 0, 8);
    model.limit = 18;
    assert_int_equal(complete(0x80, 18, &actual), USB_OK);
    assert_int_equal(actual, 18);
    assert_memory_equal(buffer, model.data, 18);
    assert_int_equal(buffer[18], 0);
    EXPECT_PACKETS({ SETUP, 0, 8 }, { IN, 1, 8 }, { IN, 0, 8 }, { IN, 1, 2 }, { OUT, 1, 0 });
    assert_memory_equal(model.packets[0].bytes, packet, 8);
}

/* The device has less than was asked for: the status comes all the same. */
static void test_control_short(void **state)
{
    uint16_t actual;

    (void)state;
    model.limit = 18;
    assert_int_equal(complete(0x80, 100, &actual), USB_OK);
    assert_int_equal(actual, 18);
    EXPECT_PACKETS({ SETUP, 0, 8 }, { IN, 1, 18 }, { OUT, 1, 0 });
    assert_true(ehci_pipe_is_ready(&queue));
}

/* Whichever way it says, the status then comes from the device. */
static void test_control_nothing(void **state)
{
    uint16_t actual;

    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        setup(NULL);
        model.limit = 0;
        assert_int_equal(complete(i == 0 ? 0x00 : 0x80, 0, &actual), USB_OK);
        assert_int_equal(actual, 0);
        EXPECT_PACKETS({ SETUP, 0, 8 }, { IN, 1, 0 });
    }
}

static void test_control_out(void **state)
{
    uint16_t actual;

    (void)state;
    open_pipe(USB_SPEED_HIGH, 0, 8);
    memset(buffer, 0x5a, 16);
    assert_int_equal(complete(0x21, 16, &actual), USB_OK);
    assert_int_equal(actual, 16);
    EXPECT_PACKETS({ SETUP, 0, 8 }, { OUT, 1, 8 }, { OUT, 0, 8 }, { IN, 1, 0 });
    assert_memory_equal(model.packets[2].bytes, buffer, 8);
}

/* With data, without, short: wherever in the ring they begin. */
static void test_one_after_the_other(void **state)
{
    uint16_t actual;

    (void)state;
    for (uint32_t i = 0; i < 50; i++) {
        model.count = model.given = 0;
        model.limit = i % 3 == 2 ? 5 : 64;
        assert_int_equal(complete(0x80, i % 3 == 0 ? 0 : 64, &actual), USB_OK);
        assert_int_equal(actual, i % 3 == 0 ? 0 : model.limit);
        assert_int_equal(model.count, i % 3 == 0 ? 2 : 3);
        assert_false(controller_visit(&queue.qh));
    }
}

/* The controller, at work while the driver looks. */
static void *controller_thread(void *stop)
{
    while (!__atomic_load_n((bool *)stop, __ATOMIC_ACQUIRE)) {
        if (!controller_visit(&queue.qh))
            sched_yield(); /* there may be one CPU for both */
    }
    return NULL;
}

/* A transfer that ends between two looks of the driver has moved all its bytes. */
static void test_ends_meanwhile(void **state)
{
    enum usb_status status = USB_OK;
    uint16_t actual = 64;
    bool stop = false;
    pthread_t thread;

    (void)state;
    model.limit = 64;
    assert_int_equal(pthread_create(&thread, NULL, controller_thread, &stop), 0);
    for (uint32_t i = 0; i < test_rounds(20000) && status == USB_OK && actual == 64; i++) {
        model.given = 0;
        transfer = (struct usb_transfer){
            .endpoint = &endpoint, .setup = { 0x80, 6, 0, 0, 64 }, .buffer = buffer, .length = 64
        };
        ehci_pipe_start(&queue, &transfer);
        while ((status = ehci_pipe_progress(&queue, &actual)) == USB_PENDING)
            sched_yield();
        ehci_pipe_finish(&queue, status);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    assert_int_equal(status, USB_OK);
    assert_int_equal(actual, 64);
}

/* The first descriptor alone makes the others run. */
static void test_first_comes_last(void **state)
{
    (void)state;
    transfer = (struct usb_transfer){
        .endpoint = &endpoint, .setup = { 0x80, 6, 0, 0, 8 }, .buffer = buffer, .length = 8
    };
    ehci_pipe_start(&queue, &transfer);
    queue.ring[0].token &= ~EHCI_TOKEN_ACTIVE;
    assert_false(controller_visit(&queue.qh));
    queue.ring[0].token |= EHCI_TOKEN_ACTIVE;
    assert_true(controller_visit(&queue.qh));
    assert_true(controller_visit(&queue.qh));
    assert_int_equal(model.count, 2);
}

static void test_buffer_across_a_page(void **state)
{
    (void)state;
    transfer =
        (struct usb_transfer){ .endpoint = &endpoint, .buffer = (void *)0x10ff9, .length = 8 };
    EXPECT_PANIC("<= PAGE", ehci_pipe_start(&queue, &transfer));
    assert_false(controller_visit(&queue.qh)); /* what was built until then does not run */
}

/* ---- Errors ---- */

/* A refusal of each stage: SETUP is never refused, but then a device may be broken. */
static void test_stalls(void **state)
{
    uint16_t actual;

    (void)state;
    for (uint32_t stage = 0; stage < 3; stage++) {
        setup(NULL);
        model.limit = 40;
        model.answers[stage] = STALL;
        assert_int_equal(complete(0x80, 40, &actual), USB_STALLED);
        assert_int_equal(actual, stage == 2 ? 40 : 0);
        assert_false(ehci_pipe_is_ready(&queue));
        assert_false(controller_visit(&queue.qh));

        ehci_pipe_restart(&queue, 0);
        assert_true(ehci_pipe_is_ready(&queue));
        assert_false(controller_visit(&queue.qh)); /* nothing of the old one runs on */
        model.given = 0;
        assert_int_equal(complete(0x80, 40, &actual), USB_OK);
        assert_int_equal(actual, 40);
    }
}

static void test_errors(void **state)
{
    uint16_t actual;

    (void)state;
    model.limit = 8;
    model.answers[0] = model.answers[1] = LOST; /* the third try does it */
    assert_int_equal(complete(0x80, 8, &actual), USB_OK);
    assert_int_equal(actual, 8);

    setup(NULL);
    model.answers[1] = model.answers[2] = model.answers[3] = LOST;
    assert_int_equal(complete(0x80, 8, &actual), USB_FAILED);
    assert_int_equal(actual, 0);

    setup(NULL);
    model.answers[1] = BABBLE;
    assert_int_equal(complete(0x80, 8, &actual), USB_FAILED);

    setup(NULL);
    model.answers[1] = model.answers[2] = LOST; /* a refusal after lost packets is a refusal */
    model.answers[3] = STALL;
    assert_int_equal(complete(0x80, 8, &actual), USB_STALLED);
}

/* Only a control transfer behind a translator can leave something in the hub. */
static void test_broken_off(void **state)
{
    uint16_t actual;

    (void)state;
    for (uint32_t i = 0; i < 3; i++)
        model.answers[i] = model.answers[4 + i] = model.answers[8 + i] = LOST;
    assert_int_equal(complete(0x80, 8, &actual), USB_FAILED);
    assert_false(queue.broken_off);

    open_pipe(USB_SPEED_LOW, 0x81, 8);
    model.tries = 4;
    assert_int_equal(complete(0, 8, &actual), USB_FAILED);
    assert_false(queue.broken_off);

    open_pipe(USB_SPEED_LOW, 0, 8);
    model.tries = 8;
    assert_int_equal(complete(0x80, 8, &actual), USB_FAILED);
    assert_true(queue.broken_off);
}

/* ---- Interrupt endpoints ---- */

static void test_interrupt_toggle(void **state)
{
    uint16_t actual;

    (void)state;
    open_pipe(USB_SPEED_HIGH, 0x81, 8);
    for (uint32_t i = 0; i < 9; i++) {
        assert_int_equal(complete(0, 8, &actual), USB_OK);
        assert_int_equal(actual, 8);
        assert_int_equal(model.packets[i].toggle, i % 2);
    }
    assert_int_equal(ehci_pipe_toggle(&queue), EHCI_TOKEN_TOGGLE);
    ehci_pipe_restart(&queue, ehci_pipe_toggle(&queue));
    assert_int_equal(complete(0, 8, &actual), USB_OK);
    assert_int_equal(model.packets[9].toggle, 1);
    ehci_pipe_restart(&queue, 0);
    assert_int_equal(complete(0, 8, &actual), USB_OK);
    assert_int_equal(model.packets[10].toggle, 0);
}

/* Nothing is typed, the transfer is taken back, and a later one gets what was meant for it. */
static void test_interrupt_cancelled(void **state)
{
    uint16_t actual;

    (void)state;
    open_pipe(USB_SPEED_HIGH, 0x81, 8);
    assert_int_equal(complete(0, 8, &actual), USB_OK);
    for (uint32_t i = 0; i < PACKETS_MAX; i++)
        model.answers[i] = NAK;
    assert_int_equal(run(0, 8, &actual), USB_PENDING);
    assert_int_equal(actual, 0);
    ehci_pipe_finish(&queue, USB_CANCELLED);
    assert_false(ehci_pipe_is_ready(&queue));
    ehci_pipe_restart(&queue, ehci_pipe_toggle(&queue));
    assert_false(controller_visit(&queue.qh));

    memset(model.answers, 0, sizeof(model.answers));
    model.limit = 8 + 3;
    assert_int_equal(complete(0, 8, &actual), USB_OK);
    assert_int_equal(actual, 3);
    assert_int_equal(model.packets[1].toggle, 1);
}

/* ---- The periodic schedule ---- */

#define PIPES 40u

static volatile uint32_t frames[EHCI_FRAMES];
static struct usb_device devices[PIPES], hubs[2];
static struct usb_endpoint endpoints[PIPES];
static struct ehci_pipe pipes[PIPES];
static bool linked[PIPES];
static struct ehci_pipe end;

static int schedule_setup(void **state)
{
    (void)state;
    memset(&end, 0, sizeof(end));
    ehci_pipe_init_end(&end);
    ehci_schedule_init(frames, &end);
    memset(linked, 0, sizeof(linked));
    for (uint32_t i = 0; i < ARRAY_SIZE(hubs); i++)
        hubs[i] = (struct usb_device){ .speed = USB_SPEED_HIGH, .address = (uint8_t)(100 + i) };
    return 0;
}

static bool add(uint32_t i, enum usb_speed speed, struct usb_device *translator, uint8_t port,
                uint16_t packet_size, uint8_t interval)
{
    devices[i] =
        (struct usb_device){ .speed = speed, .translator = translator, .translator_port = port };
    endpoints[i] = (struct usb_endpoint){ &devices[i], 0x81, packet_size, interval, NULL };
    memset(&pipes[i], 0, sizeof(pipes[i]));
    ehci_pipe_init(&pipes[i], &endpoints[i], (uint8_t)(i + 1));
    linked[i] = ehci_schedule_place(frames, &pipes[i]);
    if (linked[i])
        ehci_schedule_link(frames, &pipes[i]);
    return linked[i];
}

static bool add_keyboard(uint32_t i, uint8_t interval)
{
    return add(i, USB_SPEED_HIGH, NULL, 0, 8, interval);
}

static bool add_slow_keyboard(uint32_t i, struct usb_device *translator, uint8_t port,
                              uint8_t interval)
{
    return add(i, USB_SPEED_LOW, translator, port, 8, interval);
}

static bool visits(uint32_t i, uint32_t frame)
{
    return linked[i] && frame % pipes[i].period == pipes[i].phase;
}

/* A frame's list holds just the pipes whose turn it is, those with longer periods first. */
static void check_frame(uint32_t frame)
{
    uint32_t last = UINT32_MAX, found = 0, expected = 0;

    for (struct ehci_pipe *at = ehci_schedule_follow(frames[frame]); at != NULL;
         at = ehci_schedule_follow(at->qh.link)) {
        assert_in_range(at - pipes, 0, PIPES - 1);
        assert_true(visits((uint32_t)(at - pipes), frame));
        assert_true(at->period <= last);
        last = at->period;
        found++;
    }
    for (uint32_t i = 0; i < PIPES; i++)
        expected += visits(i, frame);
    assert_int_equal(found, expected);
    assert_int_equal(frames[frame] & 0x1f, EHCI_LINK_QH);
}

/* What is promised to each microframe and each translator, counted the other way round. */
static void check_load(uint32_t frame)
{
    uint32_t microframes[8] = { 0 }, translators[2] = { 0 };

    for (uint32_t i = 0; i < PIPES; i++) {
        if (!visits(i, frame))
            continue;
        uint32_t capabilities = pipes[i].qh.capabilities;
        for (uint32_t m = 0; m < 8; m++)
            microframes[m] +=
                (capabilities >> m | capabilities >> (8 + m)) & 1 ? pipes[i].bus_ns : 0;
        if (devices[i].translator != NULL)
            translators[devices[i].translator - hubs] += pipes[i].translator_ns;
    }
    for (uint32_t m = 0; m < 8; m++) {
        assert_in_range(microframes[m], 0, EHCI_MICROFRAME_NS);
        assert_int_equal(microframes[m], ehci_schedule_load(frames, frame, m));
    }
    assert_in_range(translators[0], 0, EHCI_TRANSLATOR_NS);
    assert_in_range(translators[1], 0, EHCI_TRANSLATOR_NS);
}

static void check_schedule(void)
{
    for (uint32_t frame = 0; frame < EHCI_FRAMES; frame++)
        check_frame(frame);
    for (uint32_t frame = 0; frame < EHCI_PERIOD_MAX; frame++)
        check_load(frame);
}

static void test_empty(void **state)
{
    (void)state;
    check_schedule();
    assert_ptr_equal(ehci_pipe_of_link(frames[0]), &end);
    assert_ptr_equal(ehci_pipe_of_link(frames[EHCI_FRAMES - 1]), &end);
    assert_false(controller_visit(&end.qh));
}

/* The period is the largest that asks often enough. */
static void test_periods(void **state)
{
    static const uint8_t intervals[][2] = { { 0, 1 },   { 1, 1 },   { 2, 2 },   { 3, 2 },
                                            { 7, 4 },   { 8, 8 },   { 10, 8 },  { 16, 16 },
                                            { 31, 16 }, { 32, 32 }, { 33, 32 }, { 255, 32 } };

    (void)state;
    for (uint32_t i = 0; i < ARRAY_SIZE(intervals); i++) {
        assert_true(add_keyboard(i, intervals[i][0]));
        assert_int_equal(pipes[i].period, intervals[i][1]);
        check_schedule();
    }
}

/*
 * microframe  0 1 2 3 4 5 6 7
 * high        x                   one of them, none else
 * slow        s . c c c           start, and three times to fetch the answer
 */
static void test_masks(void **state)
{
    (void)state;
    assert_true(add_slow_keyboard(0, &hubs[0], 1, 8));
    assert_int_equal(pipes[0].qh.capabilities & EHCI_QH_MASKS, 0x1c01);
    assert_true(add(1, USB_SPEED_FULL, &hubs[0], 2, 64, 8));
    assert_int_equal(pipes[1].qh.capabilities & EHCI_QH_MASKS, 0x1c01);
    for (uint32_t i = 2; i < 20; i++) {
        assert_true(add_keyboard(i, 8));
        uint32_t masks = pipes[i].qh.capabilities & EHCI_QH_MASKS;
        assert_true(masks != 0 && masks <= 0x80 && (masks & (masks - 1)) == 0);
    }
    check_schedule();
}

/* 40 keyboards that want the same are never two in a microframe: there are 8 * 8. */
static void test_spread(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < PIPES; i++)
        assert_true(add_keyboard(i, 10));
    for (uint32_t frame = 0; frame < EHCI_PERIOD_MAX; frame++) {
        for (uint32_t m = 0; m < 8; m++)
            assert_in_range(ehci_schedule_load(frames, frame, m), 0, pipes[0].bus_ns);
    }
    check_schedule();
}

/* Two low-speed keyboards in a frame are what one translator can do. */
static void test_translator_full(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 16; i++)
        assert_true(add_slow_keyboard(i, &hubs[0], (uint8_t)(i % 4 + 1), 10));
    check_schedule();
    assert_false(add_slow_keyboard(16, &hubs[0], 1, 10));
    assert_false(add_slow_keyboard(16, &hubs[0], 1, 255));
    assert_true(add_slow_keyboard(17, &hubs[1], 1, 10));
    assert_true(add_keyboard(18, 1));
    check_schedule();

    ehci_schedule_unlink(frames, &pipes[3]);
    linked[3] = false;
    assert_true(add_slow_keyboard(16, &hubs[0], 1, 10));
    check_schedule();
}

/* A translator for each port: only those at the same one share it. */
static void test_multi_translator(void **state)
{
    (void)state;
    hubs[0].hub_multi_tt = true;
    assert_true(add_slow_keyboard(0, &hubs[0], 1, 1));
    assert_true(add_slow_keyboard(1, &hubs[0], 1, 1));
    assert_false(add_slow_keyboard(2, &hubs[0], 1, 1));
    assert_true(add_slow_keyboard(2, &hubs[0], 2, 1));
}

/* Every frame has room for one more or for none: half as often as wanted is better than never. */
static void test_longer_period(void **state)
{
    (void)state;
    assert_true(add_slow_keyboard(0, &hubs[0], 1, 1));
    assert_true(add_slow_keyboard(1, &hubs[0], 2, 2));
    assert_true(add_slow_keyboard(2, &hubs[0], 3, 1));
    assert_int_equal(pipes[2].period, 2);
    assert_int_equal(pipes[2].phase, 1 - pipes[1].phase);
    check_schedule();
    assert_false(add_slow_keyboard(3, &hubs[0], 4, 1));
    assert_int_equal(pipes[3].period, 0);
    check_schedule();
}

/* Large packets fill the bus itself: four of 1024 bytes fit a microframe, and no fifth. */
static void test_bus_full(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 4 * 8; i++)
        assert_true(add(i, USB_SPEED_HIGH, NULL, 0, 1024, 1));
    check_schedule();
    assert_false(add(33, USB_SPEED_HIGH, NULL, 0, 1024, 1));
    assert_false(add(33, USB_SPEED_HIGH, NULL, 0, 1024, 255));
    assert_true(add_keyboard(33, 1));
    check_schedule();
}

static void test_random(void **state)
{
    struct prng prng = { 11 };
    uint32_t refused = 0;

    (void)state;
    for (uint32_t round = 0; round < 2000; round++) {
        uint32_t i = prng_below(&prng, PIPES);
        if (linked[i]) {
            ehci_schedule_unlink(frames, &pipes[i]);
            linked[i] = false;
        } else {
            enum usb_speed speed = prng_below(&prng, 3);
            struct usb_device *translator =
                speed == USB_SPEED_HIGH ? NULL : &hubs[prng_below(&prng, 2)];
            static const uint16_t sizes[] = { 8, 64, 1024 };
            refused += !add(i, speed, translator, (uint8_t)(1 + prng_below(&prng, 4)), sizes[speed],
                            (uint8_t)prng_below(&prng, 256));
        }
        if (round % 16 == 0)
            check_schedule();
    }
    check_schedule();
    assert_in_range(refused, 0, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_head, setup),
        cmocka_unit_test_setup(test_words, setup),
        cmocka_unit_test_setup(test_describe, setup),
        cmocka_unit_test_setup(test_control_in, setup),
        cmocka_unit_test_setup(test_control_short, setup),
        cmocka_unit_test_setup(test_control_nothing, setup),
        cmocka_unit_test_setup(test_control_out, setup),
        cmocka_unit_test_setup(test_one_after_the_other, setup),
        cmocka_unit_test_setup(test_ends_meanwhile, setup),
        cmocka_unit_test_setup(test_first_comes_last, setup),
        cmocka_unit_test_setup(test_buffer_across_a_page, setup),
        cmocka_unit_test_setup(test_stalls, setup),
        cmocka_unit_test_setup(test_errors, setup),
        cmocka_unit_test_setup(test_broken_off, setup),
        cmocka_unit_test_setup(test_interrupt_toggle, setup),
        cmocka_unit_test_setup(test_interrupt_cancelled, setup),
        cmocka_unit_test_setup(test_empty, schedule_setup),
        cmocka_unit_test_setup(test_periods, schedule_setup),
        cmocka_unit_test_setup(test_masks, schedule_setup),
        cmocka_unit_test_setup(test_spread, schedule_setup),
        cmocka_unit_test_setup(test_translator_full, schedule_setup),
        cmocka_unit_test_setup(test_multi_translator, schedule_setup),
        cmocka_unit_test_setup(test_longer_period, schedule_setup),
        cmocka_unit_test_setup(test_bus_full, schedule_setup),
        cmocka_unit_test_setup(test_random, schedule_setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
