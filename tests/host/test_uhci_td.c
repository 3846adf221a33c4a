/*
 * UHCI's chains of transfer descriptors, run by a small controller that is made here.
 *
 * It does what the design guide says of a queue: takes the TD at `element`, sends one packet, and
 * moves `element` on only if that went well and was not short. The device is a script of answers.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mem/layout.h"
#include "support.h"
#include "usb/uhci_td.h"

#define STATUS_ACTUAL_NONE 0x7ffu

static uint8_t buffer[PAGE_SIZE];
static uint32_t setup[2];

void *usb_alloc_page(void)
{
    return memset(aligned_alloc(PAGE_SIZE, PAGE_SIZE), 0, PAGE_SIZE);
}

void usb_free_page(void *page)
{
    free(page);
}

/* ---- The controller ---- */

/* One packet as it went over the bus. */
struct packet {
    uint8_t pid, address, endpoint, toggle;
    uint32_t length, at;
    bool low_speed, spd, depth;
};

static struct {
    struct usb_pool pool;
    struct uhci_chain chain;
    volatile uint32_t element;
    struct packet packets[600];
    uint32_t count;
} hc;

static int start(void **state)
{
    (void)state;
    memset(&hc, 0, sizeof(hc));
    return usb_pool_init(&hc.pool, sizeof(struct uhci_td), 2) ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    uhci_chain_free(&hc.chain, &hc.pool);
    assert_int_equal(hc.pool.free, hc.pool.total);
    usb_pool_destroy(&hc.pool);
    return 0;
}

static struct uhci_td *at_element(void)
{
    return (struct uhci_td *)(uintptr_t)(hc.element & ~15u);
}

static uint32_t token_length(uint32_t token)
{
    return ((token >> 21) + 1) & 0x7ff;
}

static void record(const struct uhci_td *td)
{
    assert_true(hc.count < ARRAY_SIZE(hc.packets));
    hc.packets[hc.count++] = (struct packet){
        .pid = (uint8_t)td->token,
        .address = td->token >> 8 & 0x7f,
        .endpoint = td->token >> 15 & 15,
        .toggle = td->token >> 19 & 1,
        .length = token_length(td->token),
        .at = td->buffer,
        .low_speed = td->status & 1u << 26,
        .spd = td->status & 1u << 29,
        .depth = td->link & 4,
    };
    assert_int_equal(td->status >> 27 & 3, 3);
}

/* Sends the next packet; the device takes or gives `moved` bytes. */
static void step(uint32_t moved)
{
    struct uhci_td *td = at_element();

    assert_false(hc.element & 1);
    assert_true(td->status & UHCI_TD_ACTIVE);
    record(td);
    td->status = (td->status & ~(UHCI_TD_ACTIVE | STATUS_ACTUAL_NONE)) | ((moved - 1) & 0x7ff);
    if (moved == token_length(td->token) || !(td->status & 1u << 29))
        hc.element = td->link;
}

static void step_full(void)
{
    step(token_length(at_element()->token));
}

static void end_badly(uint32_t bits)
{
    record(at_element());
    at_element()->status = (at_element()->status & ~UHCI_TD_ACTIVE) | bits;
}

static enum usb_status advance(void)
{
    return uhci_chain_advance(&hc.chain, &hc.element);
}

static void expect_packet(uint32_t index, uint8_t pid, uint8_t toggle, uint32_t length)
{
    assert_true(index < hc.count);
    assert_int_equal(hc.packets[index].pid, pid);
    assert_int_equal(hc.packets[index].toggle, toggle);
    assert_int_equal(hc.packets[index].length, length);
}

static const struct uhci_target low = { .address = 5, .packet_size = 8, .low_speed = true };
static const struct uhci_target full = { .address = 127, .packet_size = 64 };

static void start_control(const struct uhci_target *target, bool in, uint32_t length)
{
    assert_true(uhci_chain_control(&hc.chain, &hc.pool, target, setup, in, buffer, length));
    hc.element = usb_phys(hc.chain.first);
}

static void start_interrupt(bool toggle, uint32_t length)
{
    struct uhci_target target = { .address = 9, .endpoint = 3, .packet_size = 8 };

    assert_true(uhci_chain_interrupt(&hc.chain, &hc.pool, &target, toggle, true, buffer, length));
    hc.element = usb_phys(hc.chain.first);
}

/* ---- Control ---- */

/* SETUP 0, IN 1 8, IN 0 8, IN 1 2, OUT 1 0 */
static void test_control_in(void **state)
{
    (void)state;
    start_control(&low, true, 18);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(advance(), USB_PENDING);
        step_full();
    }
    assert_int_equal(advance(), USB_OK);
    assert_int_equal(hc.chain.actual, 18);
    expect_packet(0, UHCI_SETUP, 0, 8);
    expect_packet(1, UHCI_IN, 1, 8);
    expect_packet(2, UHCI_IN, 0, 8);
    expect_packet(3, UHCI_IN, 1, 2);
    expect_packet(4, UHCI_OUT, 1, 0);
    assert_int_equal(hc.packets[0].at, (uint32_t)(uintptr_t)setup);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(hc.packets[1 + i].at, usb_phys(buffer) + 8 * i);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(hc.packets[i].address, 5);
        assert_int_equal(hc.packets[i].endpoint, 0);
        assert_true(hc.packets[i].low_speed);
        assert_false(hc.packets[i].depth); /* a frame for each */
        assert_int_equal(hc.packets[i].spd, hc.packets[i].pid == UHCI_IN);
    }
}

static void test_control_out_and_none(void **state)
{
    (void)state;
    start_control(&full, false, 65);
    for (uint32_t i = 0; i < 4; i++)
        step_full();
    assert_int_equal(advance(), USB_OK);
    assert_int_equal(hc.chain.actual, 65);
    expect_packet(1, UHCI_OUT, 1, 64);
    expect_packet(2, UHCI_OUT, 0, 1);
    expect_packet(3, UHCI_IN, 1, 0);
    assert_int_equal(hc.packets[1].address, 127);
    assert_false(hc.packets[1].low_speed);
    assert_true(hc.packets[1].depth);
    uhci_chain_free(&hc.chain, &hc.pool);

    hc.count = 0;
    start_control(&full, true, 0);
    step_full();
    step_full();
    assert_int_equal(advance(), USB_OK);
    assert_int_equal(hc.count, 2);
    expect_packet(1, UHCI_IN, 1, 0);
}

/* The rest of the data stage is left out, and the status stage still runs. */
static void test_a_short_packet_leads_to_the_status_stage(void **state)
{
    (void)state;
    for (uint32_t moved = 0; moved < 8; moved++) {
        hc.count = 0;
        start_control(&low, true, 255);
        step_full();
        step_full();
        const struct uhci_td *cut = at_element();
        step(moved);
        assert_ptr_equal(at_element(), cut);
        assert_int_equal(advance(), USB_PENDING);
        assert_ptr_equal(at_element(), hc.chain.last);
        step_full();
        assert_int_equal(advance(), USB_OK);
        assert_int_equal(hc.chain.actual, 8 + moved);
        expect_packet(3, UHCI_OUT, 1, 0);
        assert_int_equal(hc.count, 4);
        uhci_chain_free(&hc.chain, &hc.pool);
    }
}

static void test_a_stall_ends_it_in_any_stage(void **state)
{
    (void)state;
    for (uint32_t stage = 0; stage < 4; stage++) {
        start_control(&low, true, 16);
        for (uint32_t i = 0; i < stage; i++)
            step_full();
        assert_int_equal(advance(), USB_PENDING);
        end_badly(UHCI_TD_STALLED);
        assert_int_equal(advance(), USB_STALLED);
        assert_int_equal(advance(), USB_STALLED);
        assert_int_equal(hc.chain.actual, stage < 1 ? 0 : (stage - 1) * 8);
        uhci_chain_free(&hc.chain, &hc.pool);
    }
}

/* The TD is written before the queue head: a new element would be overwritten. */
static void test_the_last_packet_counts_when_the_queue_head_is_written(void **state)
{
    (void)state;
    start_control(&low, true, 0);
    step_full();
    volatile uint32_t before = hc.element;
    step_full();
    hc.element = before;
    assert_int_equal(advance(), USB_PENDING);
    hc.element = UHCI_TERMINATE;
    assert_int_equal(advance(), USB_OK);
}

static void test_a_pool_that_is_too_small_keeps_its_tds(void **state)
{
    (void)state;
    uint32_t fits = (hc.pool.total - 2) * 8;

    assert_false(uhci_chain_control(&hc.chain, &hc.pool, &low, setup, true, buffer, fits + 1));
    assert_int_equal(hc.pool.free, hc.pool.total);
    start_control(&low, true, fits);
    assert_int_equal(hc.pool.free, 0);
    assert_false(
        uhci_chain_interrupt(&(struct uhci_chain){ 0 }, &hc.pool, &low, false, true, buffer, 8));
}

/* ---- Interrupt ---- */

static void test_toggles_go_on(void **state)
{
    static const struct {
        uint32_t asked, moved[3], packets;
    } cases[] = { { 8, { 8 }, 1 },        { 8, { 3 }, 1 },     { 8, { 0 }, 1 },
                  { 20, { 8, 8, 4 }, 3 }, { 20, { 8, 0 }, 2 }, { 0, { 0 }, 1 } };
    bool toggle = false;
    (void)state;

    for (uint32_t c = 0; c < ARRAY_SIZE(cases); c++) {
        uint32_t sum = 0;
        hc.count = 0;
        start_interrupt(toggle, cases[c].asked);
        for (uint32_t i = 0; i < cases[c].packets; i++) {
            assert_int_equal(advance(), USB_PENDING);
            step(cases[c].moved[i]);
            assert_int_equal(hc.packets[i].toggle, toggle);
            assert_int_equal(hc.packets[i].endpoint, 3);
            toggle = !toggle;
            sum += cases[c].moved[i];
        }
        assert_int_equal(advance(), USB_OK);
        assert_int_equal(hc.chain.actual, sum);
        assert_int_equal(uhci_chain_next_toggle(&hc.chain), toggle);
        uhci_chain_free(&hc.chain, &hc.pool);
    }
}

/* What was not acknowledged is sent again with the same toggle. */
static void test_the_toggle_stays_without_an_answer(void **state)
{
    (void)state;
    for (uint32_t toggle = 0; toggle < 2; toggle++) {
        start_interrupt(toggle, 16);
        assert_int_equal(advance(), USB_PENDING);
        assert_int_equal(uhci_chain_next_toggle(&hc.chain), toggle); /* taken back */
        step_full();
        assert_int_equal(advance(), USB_PENDING);
        assert_int_equal(uhci_chain_next_toggle(&hc.chain), !toggle);
        end_badly(UHCI_TD_STALLED | UHCI_TD_CRC_TIMEOUT);
        assert_int_equal(advance(), USB_FAILED);
        assert_int_equal(uhci_chain_next_toggle(&hc.chain), !toggle);
        assert_int_equal(hc.chain.actual, 8);
        uhci_chain_free(&hc.chain, &hc.pool);
    }
}

static void test_status_words(void **state)
{
    (void)state;
    assert_int_equal(uhci_td_status(UHCI_TD_ACTIVE | UHCI_TD_NAK), USB_PENDING);
    assert_int_equal(uhci_td_status(UHCI_TD_ACTIVE | UHCI_TD_CRC_TIMEOUT), USB_PENDING);
    assert_int_equal(uhci_td_status(7 | UHCI_TD_NAK), USB_OK);
    assert_int_equal(uhci_td_status(UHCI_TD_STALLED), USB_STALLED);
    for (uint32_t bit = 17; bit <= 21; bit++) {
        enum usb_status wanted = bit == 19 ? USB_OK : USB_FAILED;
        assert_int_equal(uhci_td_status(1u << bit), wanted);
    }
    assert_int_equal(uhci_td_status(UHCI_TD_STALLED | UHCI_TD_BABBLE), USB_FAILED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, end)
    static const struct CMUnitTest tests[] = {
        TEST(test_control_in),
        TEST(test_control_out_and_none),
        TEST(test_a_short_packet_leads_to_the_status_stage),
        TEST(test_a_stall_ends_it_in_any_stage),
        TEST(test_the_last_packet_counts_when_the_queue_head_is_written),
        TEST(test_a_pool_that_is_too_small_keeps_its_tds),
        TEST(test_toggles_go_on),
        TEST(test_the_toggle_stays_without_an_answer),
        TEST(test_status_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
