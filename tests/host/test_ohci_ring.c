/*
 * OHCI's rings of transfer descriptors, run by a small controller that is made here.
 *
 * It does what the specification says of an endpoint descriptor: takes the TD at `head`, moves
 * `head` on when the TD is done, halts after an error, and keeps done TDs in a queue, linked
 * through themselves, until it hands them over.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "support.h"
#include "usb/ohci_ring.h"

#define CODE_STALL     4u
#define CODE_NO_ANSWER 5u
#define NEVER_DELAYED  7u

static uint8_t buffer[4096] __attribute__((aligned(4096)));
static uint32_t setup[2];
static _Alignas(16) struct ohci_ring ring;
static uint16_t actual;

/* ---- The controller ---- */

static struct {
    uint32_t done;     /* head of its done queue */
    uint32_t delay;    /* frames until it is handed over */
    uint32_t control;  /* of the TD that it ran last */
    uint32_t at, size; /* and that one's buffer */
} hc;

static int start(void **state)
{
    (void)state;
    hc.done = 0;
    hc.delay = NEVER_DELAYED;
    memset(&ring, 0, sizeof(ring));
    ohci_ring_init(&ring);
    return 0;
}

static bool has_work(void)
{
    return !(ring.ed.head & OHCI_ED_HALTED) && (ring.ed.head & ~15u) != ring.ed.tail;
}

/* Runs the TD at the head to its end; `moved` bytes went over the bus. */
static void run_td(uint32_t code, uint32_t moved)
{
    assert_true(has_work());
    struct ohci_td *td = (struct ohci_td *)(uintptr_t)(ring.ed.head & ~15u);
    uint32_t address = usb_phys(td);

    hc.control = td->control;
    hc.at = td->buffer;
    hc.size = td->buffer == 0 ? 0 : td->buffer_end - td->buffer + 1;
    assert_true(moved <= hc.size);
    td->buffer = moved == hc.size ? 0 : td->buffer + moved;
    td->control = (td->control & ~(15u << 28)) | code << 28;
    uint32_t delay = code != 0 ? 0 : hc.control >> 21 & 7;
    hc.delay = delay < hc.delay ? delay : hc.delay;
    ring.ed.head = td->next | (ring.ed.head & OHCI_ED_CARRY) | (code != 0 ? OHCI_ED_HALTED : 0);
    td->next = hc.done;
    hc.done = address;
}

static void run_whole_td(void)
{
    const struct ohci_td *td = (const struct ohci_td *)(uintptr_t)(ring.ed.head & ~15u);
    run_td(0, td->buffer == 0 ? 0 : td->buffer_end - td->buffer + 1);
}

static void hand_over(void)
{
    for (uint32_t address = hc.done; address != 0;) {
        assert_true(ohci_ring_retire(&ring, address));
        address = ((const struct ohci_td *)(uintptr_t)address)->next;
    }
    hc.done = 0;
    hc.delay = NEVER_DELAYED;
}

static enum usb_status result(uint32_t length)
{
    return ohci_ring_result(&ring, buffer, length, &actual);
}

static void expect_td(uint32_t pid, uint32_t toggle, uint32_t at, uint32_t size)
{
    assert_int_equal(hc.control >> 19 & 3, pid);
    assert_int_equal(hc.control >> 24 & 3, toggle);
    assert_int_equal(hc.at, at);
    assert_int_equal(hc.size, size);
    assert_int_equal(hc.control >> 18 & 1, pid == 2); /* a short answer is no error */
}

/* ---- Tests ---- */

static void test_control(void **state)
{
    static const struct {
        bool in;
        uint32_t length, status_pid;
    } cases[] = {
        { true, 18, 1 }, { false, 1, 2 }, { true, 0, 2 }, { false, 0, 2 }, { true, 4096, 1 }
    };
    (void)state;

    for (uint32_t round = 0; round < 20; round++) { /* the ring goes around */
        uint32_t c = round % ARRAY_SIZE(cases), length = cases[c].length;
        assert_false(has_work());
        ohci_ring_control(&ring, setup, cases[c].in, buffer, length);
        run_whole_td();
        expect_td(0, 2, (uint32_t)(uintptr_t)setup, 8);
        if (length > 0) {
            run_whole_td();
            expect_td(cases[c].in ? 2 : 1, 3, usb_phys(buffer), length);
        }
        assert_true(hc.delay > 0);
        run_whole_td();
        expect_td(cases[c].status_pid, 3, 0, 0);
        assert_int_equal(hc.delay, 0);
        assert_false(has_work());
        assert_int_equal(result(length), USB_PENDING);
        hand_over();
        assert_int_equal(result(length), USB_OK);
        assert_int_equal(actual, length);
        ohci_ring_clear(&ring);
    }
}

static void test_short_answers(void **state)
{
    (void)state;
    for (uint32_t moved = 0; moved <= 255; moved++) {
        ohci_ring_control(&ring, setup, true, buffer, 255);
        run_whole_td();
        run_td(0, moved);
        run_whole_td();
        hand_over();
        assert_int_equal(result(255), USB_OK);
        assert_int_equal(actual, moved);
        ohci_ring_clear(&ring);
    }
}

/* An error in any stage halts; what was not run is forgotten, and the next transfer runs. */
static void test_errors(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 12; round++) {
        uint32_t stage = round % 3, code = round % 2 == 0 ? CODE_STALL : CODE_NO_ANSWER;
        ohci_ring_control(&ring, setup, true, buffer, 64);
        for (uint32_t i = 0; i < stage; i++)
            run_whole_td();
        run_td(code, stage == 1 ? 16 : 0);
        assert_int_equal(hc.delay, 0);
        assert_false(has_work());
        assert_int_equal(result(64), USB_PENDING);
        hand_over();
        assert_int_equal(result(64), code == CODE_STALL ? USB_STALLED : USB_FAILED);
        assert_int_equal(actual, stage == 0 ? 0 : stage == 1 ? 16 : 64);
        ohci_ring_clear(&ring);
        assert_false(ring.ed.head & OHCI_ED_HALTED);

        ohci_ring_interrupt(&ring, true, buffer, 8);
        assert_true(has_work());
        run_whole_td();
        hand_over();
        assert_int_equal(result(8), USB_OK);
        ohci_ring_clear(&ring);
    }
}

static void test_interrupt_keeps_the_toggle(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 9; round++) {
        bool toggle = round % 2;
        ohci_ring_interrupt(&ring, true, buffer, 8);
        ring.ed.head = (ring.ed.head & ~OHCI_ED_CARRY) | (toggle ? OHCI_ED_CARRY : 0);
        run_td(round == 4 ? CODE_NO_ANSWER : 0, 5);
        expect_td(2, 0, usb_phys(buffer), 8); /* 0: the toggle is the ED's */
        assert_int_equal(hc.delay, 0);
        hand_over();
        assert_int_equal(result(8), round == 4 ? USB_FAILED : USB_OK);
        assert_int_equal(actual, 5);
        ohci_ring_clear(&ring);
        assert_int_equal(ring.ed.head & 3, toggle ? OHCI_ED_CARRY : 0);
        assert_false(has_work());
    }
}

/* Taken back after `taken` TDs: not before those have come back. */
static void test_settled(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 16; round++) {
        uint32_t taken = round % 4;
        ohci_ring_control(&ring, setup, true, buffer, 64);
        for (uint32_t i = 0; i < taken; i++)
            run_whole_td();
        assert_int_equal(ohci_ring_settled(&ring), taken == 0);
        hand_over();
        assert_true(ohci_ring_settled(&ring));
        assert_int_equal(result(64), taken == 3 ? USB_OK : USB_PENDING);
        ohci_ring_clear(&ring);
        assert_false(has_work());
    }
}

/* What a confused controller may say. */
static void test_only_what_is_out_comes_back(void **state)
{
    (void)state;
    assert_false(ohci_ring_retire(&ring, usb_phys(&ring.td[0])));
    ohci_ring_interrupt(&ring, true, buffer, 8);
    assert_false(ohci_ring_retire(&ring, usb_phys(&ring.td[1])));
    assert_false(ohci_ring_retire(&ring, usb_phys(&ring.ed)));
    assert_true(ohci_ring_retire(&ring, usb_phys(&ring.td[0])));
    assert_false(ohci_ring_retire(&ring, usb_phys(&ring.td[0])));
    ring.td[0].control = 0;
    ring.td[0].buffer = 0xffff0000;
    assert_int_equal(result(8), USB_OK);
    assert_int_equal(actual, 8);
}

static void test_codes(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 16; code++) {
        enum usb_status wanted = code == 0 ? USB_OK : code == 4 ? USB_STALLED : USB_FAILED;
        assert_int_equal(ohci_code_status(code), wanted);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_control, start),
        cmocka_unit_test_setup(test_short_answers, start),
        cmocka_unit_test_setup(test_errors, start),
        cmocka_unit_test_setup(test_interrupt_keeps_the_toggle, start),
        cmocka_unit_test_setup(test_settled, start),
        cmocka_unit_test_setup(test_only_what_is_out_comes_back, start),
        cmocka_unit_test_setup(test_codes, start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
