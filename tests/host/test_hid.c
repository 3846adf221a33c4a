/*
 * Boot reports of keyboards: what each must give, one after the other, and any bytes at all.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include <usb/hid.h>
#include "support.h"

#define SHIFT 0x02 /* left, as a bit of the first byte */
#define CTRL  0x01

static struct hid_keyboard keyboard;
static struct key_event events[64];
static uint32_t count;

static void take_event(void *arg, struct key_event event)
{
    assert_ptr_equal(arg, &keyboard);
    assert_true(count < ARRAY_SIZE(events));
    events[count++] = event;
}

static int start(void **state)
{
    memset(&keyboard, 0, sizeof(keyboard));
    return parser_setup(state);
}

static void report_at(uint64_t now_ms, const uint8_t *bytes, uint32_t length)
{
    count = 0;
    hid_keyboard_report(&keyboard, exact_copy(bytes, length, 0), length, now_ms, take_event,
                        &keyboard);
}

/* A whole report: modifiers and up to six keys. */
#define REPORT(...) report_at(0, (const uint8_t[8]){ __VA_ARGS__ }, 8)

/* Positive: pressed, negative: released. */
static void expect_events(const int *wanted, uint32_t wanted_count)
{
    assert_int_equal(count, wanted_count);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(events[i].pressed ? events[i].keycode : -events[i].keycode, wanted[i]);
}

#define EXPECT(...)                                                                                \
    expect_events((const int[]){ __VA_ARGS__ }, sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int))
#define EXPECT_NOTHING() assert_int_equal(count, 0)

static void test_press_and_release(void **state)
{
    (void)state;
    REPORT(0, 0, KC_A);
    EXPECT(KC_A);
    REPORT(0, 0, KC_A);
    EXPECT_NOTHING();
    REPORT(0, 0);
    EXPECT(-KC_A);
}

static void test_several_keys_in_any_order(void **state)
{
    (void)state;
    REPORT(0, 0, KC_A, KC_B, KC_C, KC_D, KC_E, KC_F);
    EXPECT(KC_A, KC_B, KC_C, KC_D, KC_E, KC_F);
    REPORT(0, 0, KC_F, KC_E, KC_D, KC_C, KC_B, KC_A);
    EXPECT_NOTHING();
    REPORT(0, 0, KC_F, 0, KC_D, KC_X, KC_B);
    EXPECT(-KC_E, -KC_C, -KC_A, KC_X);
}

/* Shift goes down with the letter: it must come first. */
static void test_modifiers_come_first(void **state)
{
    (void)state;
    REPORT(SHIFT, 0, KC_A);
    EXPECT(KC_LEFT_SHIFT, KC_A);
    REPORT(SHIFT | CTRL, 0, KC_B);
    EXPECT(KC_LEFT_CTRL, -KC_A, KC_B);
    REPORT(0x80);
    EXPECT(-KC_LEFT_CTRL, -KC_LEFT_SHIFT, KC_RIGHT_GUI, -KC_B);
}

/* More keys than fit: all six say 1. What is held stays held, the modifiers count. */
static void test_rollover(void **state)
{
    (void)state;
    REPORT(0, 0, KC_A, KC_B);
    EXPECT(KC_A, KC_B);
    REPORT(SHIFT, 0, 1, 1, 1, 1, 1, 1);
    EXPECT(KC_LEFT_SHIFT);
    REPORT(SHIFT, 0, KC_A, KC_C, 3);
    EXPECT_NOTHING();
    REPORT(SHIFT, 0, KC_B);
    EXPECT(-KC_A);
}

static void test_duplicates_count_once(void **state)
{
    (void)state;
    REPORT(0, 0, KC_A, KC_A, KC_A);
    EXPECT(KC_A);
    REPORT(0, 0, KC_B, KC_A, KC_B);
    EXPECT(KC_B);
    REPORT(0, 0);
    EXPECT(-KC_B, -KC_A);
}

/* A modifier has its bit; one among the keys would never be released by it. */
static void test_modifiers_among_the_keys_are_no_keys(void **state)
{
    (void)state;
    REPORT(0, 0, KC_LEFT_SHIFT, KC_RIGHT_GUI, KC_A);
    EXPECT(KC_A);
}

static void test_short_and_long_reports(void **state)
{
    (void)state;
    const uint8_t bytes[16] = { SHIFT, 0, KC_A, KC_B, 0, 0, 0, 0, KC_X, 1 };

    report_at(0, bytes, 0);
    EXPECT_NOTHING();
    report_at(0, bytes, 2);
    EXPECT_NOTHING();
    report_at(0, bytes, 3);
    EXPECT(KC_LEFT_SHIFT, KC_A);
    report_at(0, bytes, 16);
    EXPECT(KC_B);
}

static bool repeats(uint64_t now_ms, uint8_t keycode)
{
    struct key_event event;

    if (!hid_keyboard_repeat(&keyboard, now_ms, &event))
        return false;
    assert_int_equal(event.keycode, keycode);
    assert_true(event.pressed);
    return true;
}

static void test_a_held_key_repeats(void **state)
{
    (void)state;
    report_at(1000, (const uint8_t[]){ 0, 0, KC_A }, 3);
    assert_false(repeats(1000 + HID_REPEAT_DELAY_MS - 1, KC_A));
    assert_true(repeats(1000 + HID_REPEAT_DELAY_MS, KC_A));
    assert_false(repeats(1000 + HID_REPEAT_DELAY_MS, KC_A));
    assert_false(repeats(1000 + HID_REPEAT_DELAY_MS + HID_REPEAT_EVERY_MS - 1, KC_A));
    assert_true(repeats(1000 + HID_REPEAT_DELAY_MS + HID_REPEAT_EVERY_MS, KC_A));
    report_at(2000, (const uint8_t[]){ 0, 0, 0 }, 3);
    assert_false(repeats(9000, KC_A));
}

/* The key pressed last repeats, from its own press; others go on being held. */
static void test_the_last_key_repeats(void **state)
{
    (void)state;
    report_at(0, (const uint8_t[]){ 0, 0, KC_A }, 3);
    report_at(400, (const uint8_t[]){ 0, 0, KC_A, KC_B }, 4);
    assert_false(repeats(600, KC_A));
    assert_true(repeats(900, KC_B));
    report_at(950, (const uint8_t[]){ SHIFT, 0, KC_B }, 3);
    assert_true(repeats(960, KC_B)); /* neither a modifier nor a release stops it */
    report_at(970, (const uint8_t[]){ 0, 0, KC_A }, 3);
    report_at(980, (const uint8_t[]){ 0, 0, 0 }, 3);
    report_at(990, (const uint8_t[]){ SHIFT, 0, 0 }, 3);
    assert_false(repeats(90000, KC_NONE)); /* a modifier alone never does */
}

static void test_leds(void **state)
{
    (void)state;
    assert_int_equal(hid_led_report(0), 0);
    assert_int_equal(hid_led_report(KEYBOARD_LED_NUM_LOCK), 1);
    assert_int_equal(hid_led_report(KEYBOARD_LED_CAPS_LOCK), 2);
    assert_int_equal(hid_led_report(KEYBOARD_LED_SCROLL_LOCK), 4);
    assert_int_equal(hid_led_report(0xff), 7);
}

/* A key is pressed only when up and released only when down, whatever the bytes. */
static void test_any_bytes(void **state)
{
    (void)state;
    struct prng prng = { 20 };
    bool down[256] = { false };

    for (uint32_t round = 0; round < 200000; round++) {
        uint8_t bytes[12];
        for (uint32_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (uint8_t)(prng_once_in(&prng, 3) ? prng_below(&prng, 8) : prng_next(&prng));
        report_at(round, bytes, prng_below(&prng, sizeof(bytes) + 1));
        for (uint32_t i = 0; i < count; i++) {
            assert_int_not_equal(down[events[i].keycode], events[i].pressed);
            down[events[i].keycode] = events[i].pressed;
        }
    }
    REPORT(0);
    for (uint32_t i = 0; i < count; i++)
        down[events[i].keycode] = events[i].pressed;
    for (uint32_t i = 0; i < 256; i++)
        assert_false(down[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_press_and_release, start),
        cmocka_unit_test_setup(test_several_keys_in_any_order, start),
        cmocka_unit_test_setup(test_modifiers_come_first, start),
        cmocka_unit_test_setup(test_rollover, start),
        cmocka_unit_test_setup(test_duplicates_count_once, start),
        cmocka_unit_test_setup(test_modifiers_among_the_keys_are_no_keys, start),
        cmocka_unit_test_setup(test_short_and_long_reports, start),
        cmocka_unit_test_setup(test_a_held_key_repeats, start),
        cmocka_unit_test_setup(test_the_last_key_repeats, start),
        cmocka_unit_test_setup(test_leds, start),
        cmocka_unit_test_setup(test_any_bytes, start),
    };

    return cmocka_run_group_tests(tests, NULL, parser_teardown);
}
