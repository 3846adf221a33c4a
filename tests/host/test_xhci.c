/*
 * xHCI's rings with a controller that reads along, and the words of contexts.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include <usb/xhci_context.h>
#include <usb/xhci_ring.h>
#include "support.h"

static struct xhci_trb page[XHCI_RING_TRBS] __attribute__((aligned(4096)));

/* ---- Rings ---- */

/* What the controller does: takes blocks while their cycle is its own, follows links. */
struct consumer {
    uint32_t at, cycle;
};

static bool consume(struct consumer *consumer, struct xhci_trb *block)
{
    for (;;) {
        struct xhci_trb *next = &page[consumer->at];
        if ((next->control & TRB_CYCLE) != consumer->cycle)
            return false;
        if ((next->control >> 10 & 0x3f) != TRB_LINK) {
            *block = *next;
            consumer->at++;
            return true;
        }
        assert_int_equal(next->parameter[0], (uint32_t)(uintptr_t)page);
        assert_int_equal(next->parameter[1], 0);
        assert_true(next->control & TRB_LINK_TOGGLE);
        consumer->at = 0;
        consumer->cycle ^= 1;
    }
}

/* Transfers of one to three blocks, three times around: all arrive, in order, none twice. */
static void test_a_ring_goes_around(void **state)
{
    (void)state;
    struct prng prng = { 11 };
    struct consumer consumer = { 0, 1 };
    struct xhci_ring ring;
    struct xhci_trb got;
    uint32_t sent = 0;

    memset(page, 0, sizeof(page));
    xhci_ring_init(&ring, page);
    assert_false(consume(&consumer, &got));
    while (sent < 3 * XHCI_RING_TRBS) {
        uint32_t count = 1 + prng_below(&prng, XHCI_TD_MAX), where[XHCI_TD_MAX];
        struct xhci_trb blocks[XHCI_TD_MAX];
        for (uint32_t i = 0; i < count; i++)
            blocks[i] = (struct xhci_trb){ { sent + i, ~sent },
                                           sent * 3,
                                           TRB_TYPE(TRB_NORMAL) | prng_below(&prng, 2) };
        xhci_ring_push(&ring, blocks, count, where);
        for (uint32_t i = 0; i < count; i++) {
            assert_true(consume(&consumer, &got));
            assert_int_equal(got.parameter[0], sent + i);
            assert_int_equal(got.parameter[1], ~sent);
            assert_int_equal(got.status, sent * 3);
            assert_int_equal(where[i], (uint32_t)(uintptr_t)&page[consumer.at - 1]);
        }
        assert_false(consume(&consumer, &got));
        assert_int_equal(xhci_ring_position(&ring) & 1, ring.cycle);
        sent += count;
    }
}

static void test_position(void **state)
{
    (void)state;
    struct xhci_ring ring;
    struct xhci_trb block = { .control = TRB_TYPE(TRB_NORMAL) };
    uint32_t base = (uint32_t)(uintptr_t)page, where;

    memset(page, 0, sizeof(page));
    xhci_ring_init(&ring, page);
    assert_int_equal(xhci_ring_position(&ring), base | 1);
    for (uint32_t i = 0; i < XHCI_RING_TRBS - 2; i++)
        xhci_ring_push(&ring, &block, 1, &where);
    assert_int_equal(xhci_ring_position(&ring), (base + 254 * 16) | 1);
    xhci_ring_push(&ring, &block, 1, &where);
    assert_int_equal(where, base + 254 * 16);
    assert_int_equal(xhci_ring_position(&ring), base); /* over the link: the cycle has turned */
}

static void test_events(void **state)
{
    (void)state;
    struct xhci_event_ring ring;
    struct xhci_trb event;
    uint32_t cycle = 1;

    memset(page, 0, sizeof(page));
    xhci_event_ring_init(&ring, page);
    for (uint32_t n = 0; n < 3 * XHCI_RING_TRBS; n++) {
        assert_false(xhci_event_ring_take(&ring, &event));
        struct xhci_trb *next = &page[n % XHCI_RING_TRBS];
        assert_int_equal(xhci_event_ring_position(&ring), (uint32_t)(uintptr_t)next);
        *next = (struct xhci_trb){ { n, n + 1 }, n + 2, (n << 10) | cycle };
        assert_true(xhci_event_ring_take(&ring, &event));
        assert_memory_equal(&event, next, sizeof(event));
        if (n % XHCI_RING_TRBS == XHCI_RING_TRBS - 1)
            cycle ^= 1;
    }
}

/* ---- Contexts ---- */

static void test_endpoint_indexes(void **state)
{
    (void)state;
    assert_int_equal(xhci_dci(0x00), 1);
    assert_int_equal(xhci_dci(0x80), 1);
    assert_int_equal(xhci_dci(0x01), 2);
    assert_int_equal(xhci_dci(0x81), 3);
    assert_int_equal(xhci_dci(0x8f), 31);
}

static void test_endpoint_words(void **state)
{
    (void)state;
    uint32_t words[5];
    struct usb_endpoint endpoint = { .address = 0x81, .packet_size = 8, .interval_ms = 10 };

    xhci_endpoint_context(words, &endpoint, 0x12345001);
    assert_int_equal(words[0], 6u << 16); /* 2^6 * 125 us: 8 ms */
    assert_int_equal(words[1], 8u << 16 | 7u << 3 | 3u << 1);
    assert_int_equal(words[2], 0x12345001);
    assert_int_equal(words[3], 0);
    assert_int_equal(words[4], 8u << 16 | 8);

    endpoint.interval_ms = 1;
    xhci_endpoint_context(words, &endpoint, 0);
    assert_int_equal(words[0], 3u << 16);
    endpoint.interval_ms = 255;
    xhci_endpoint_context(words, &endpoint, 0);
    assert_int_equal(words[0], 10u << 16);

    endpoint = (struct usb_endpoint){ .packet_size = 512 };
    xhci_endpoint_context(words, &endpoint, 0x1001);
    assert_int_equal(words[0], 0);
    assert_int_equal(words[1], 512u << 16 | 4u << 3 | 3u << 1);
    assert_int_equal(words[4], 8);
}

/*
 * root port 6 --- hub at high speed, port 3 --- hub at full speed, port 2 --- keyboard
 */
static void test_slot_words_behind_hubs(void **state)
{
    (void)state;
    uint32_t words[4];
    struct usb_device hub = { .root_port = 6,
                              .port = 6,
                              .speed = USB_SPEED_HIGH,
                              .is_hub = true,
                              .hub_ports = 4,
                              .hub_think_time = 2,
                              .hub_multi_tt = true };

    xhci_slot_context(words, &hub, 3, 3, 0);
    assert_int_equal(words[0], 3u << 27 | 1u << 26 | 1u << 25 | 3u << 20);
    assert_int_equal(words[1], 4u << 24 | 6u << 16);
    assert_int_equal(words[2], 2u << 16);

    struct usb_device keyboard = { .root_port = 6,
                                   .port = 2,
                                   .route = 0x23,
                                   .depth = 2,
                                   .speed = USB_SPEED_LOW,
                                   .translator = &hub,
                                   .translator_port = 3 };
    xhci_slot_context(words, &keyboard, 2, 1, 9);
    assert_int_equal(words[0], 1u << 27 | 1u << 25 | 2u << 20 | 0x23);
    assert_int_equal(words[1], 6u << 16);
    assert_int_equal(words[2], 3u << 8 | 9);
    assert_int_equal(words[3], 0);

    hub.hub_multi_tt = false;
    xhci_slot_context(words, &keyboard, 2, 1, 9);
    assert_int_equal(words[0], 1u << 27 | 2u << 20 | 0x23);
}

static void test_speeds(void **state)
{
    (void)state;
    const struct xhci_protocol usual = { .major = 2 };
    const struct xhci_protocol super = { .major = 3,
                                         .speed_count = 1,
                                         .speeds = { 5u << 16 | 0x34 } };
    /* The specification's example in another order: high speed is 1, low 2, full 3. */
    const struct xhci_protocol own = {
        .major = 2,
        .speed_count = 3,
        .speeds = { 480u << 16 | 0x21, 1500u << 16 | 0x12, 12u << 16 | 0x23 },
    };

    assert_int_equal(xhci_speed(&usual, 1), USB_SPEED_FULL);
    assert_int_equal(xhci_speed(&usual, 2), USB_SPEED_LOW);
    assert_int_equal(xhci_speed(&usual, 3), USB_SPEED_HIGH);
    assert_int_equal(xhci_speed(&super, 4), USB_SPEED_SUPER);
    assert_int_equal(xhci_speed(&super, 5), USB_SPEED_SUPER);
    assert_int_equal(xhci_speed(&own, 1), USB_SPEED_HIGH);
    assert_int_equal(xhci_speed(&own, 2), USB_SPEED_LOW);
    assert_int_equal(xhci_speed(&own, 3), USB_SPEED_FULL);
    for (enum usb_speed speed = USB_SPEED_LOW; speed <= USB_SPEED_HIGH; speed++) {
        assert_int_equal(xhci_speed(&usual, xhci_speed_id(&usual, speed)), speed);
        assert_int_equal(xhci_speed(&own, xhci_speed_id(&own, speed)), speed);
    }
    assert_int_equal(xhci_speed_id(&super, USB_SPEED_SUPER), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_ring_goes_around),
        cmocka_unit_test(test_position),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_endpoint_indexes),
        cmocka_unit_test(test_endpoint_words),
        cmocka_unit_test(test_slot_words_behind_hubs),
        cmocka_unit_test(test_speeds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
