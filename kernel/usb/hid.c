/*
 * The difference between two reports. Modifiers are a bit each, from left Ctrl; keys are a list
 * without order.
 */
#include <usb/hid.h>
#include <lib/string.h>

#define FIRST_KEYS_AT  2u
#define LAST_ERROR     0x03 /* 1: too many keys, 2: self-test failed, 3: undefined */
#define FIRST_MODIFIER KC_LEFT_CTRL
#define LAST_MODIFIER  KC_RIGHT_GUI

static bool holds(const uint8_t *keys, uint8_t keycode)
{
    return memchr(keys, keycode, HID_REPORT_KEYS) != NULL;
}

static bool is_key(uint8_t usage)
{
    return usage > LAST_ERROR && !(usage >= FIRST_MODIFIER && usage <= LAST_MODIFIER);
}

/* The report's keys, each once. False when it holds an error instead. */
static bool take_keys(const uint8_t *report, uint32_t length, uint8_t *keys)
{
    uint32_t count = 0;

    memset(keys, 0, HID_REPORT_KEYS);
    for (uint32_t i = FIRST_KEYS_AT; i < length && i < HID_REPORT_SIZE; i++) {
        if (report[i] != 0 && report[i] <= LAST_ERROR)
            return false;
        if (is_key(report[i]) && !holds(keys, report[i]))
            keys[count++] = report[i];
    }
    return true;
}

static void emit_modifiers(uint8_t before, uint8_t after, hid_event_sink *sink, void *arg)
{
    for (uint32_t bit = 0; bit < 8; bit++) {
        uint8_t mask = (uint8_t)(1u << bit);
        if ((before ^ after) & mask)
            sink(arg, (struct key_event){ .keycode = (uint8_t)(FIRST_MODIFIER + bit),
                                          .pressed = (after & mask) != 0 });
    }
}

static void emit_missing(const uint8_t *from, const uint8_t *in, bool pressed, hid_event_sink *sink,
                         void *arg)
{
    for (uint32_t i = 0; i < HID_REPORT_KEYS; i++) {
        if (from[i] != 0 && !holds(in, from[i]))
            sink(arg, (struct key_event){ .keycode = from[i], .pressed = pressed });
    }
}

/* The key that repeats from now on: the last one pressed. */
static void choose_repeating(struct hid_keyboard *keyboard, const uint8_t *keys, uint64_t now_ms)
{
    if (!holds(keys, keyboard->repeating))
        keyboard->repeating = 0;
    for (uint32_t i = 0; i < HID_REPORT_KEYS; i++) {
        if (keys[i] != 0 && !holds(keyboard->keys, keys[i])) {
            keyboard->repeating = keys[i];
            keyboard->repeat_at_ms = now_ms + HID_REPEAT_DELAY_MS;
        }
    }
}

void hid_keyboard_report(struct hid_keyboard *keyboard, const uint8_t *report, uint32_t length,
                         uint64_t now_ms, hid_event_sink *sink, void *arg)
{
    uint8_t keys[HID_REPORT_KEYS];

    if (length <= FIRST_KEYS_AT)
        return;
    emit_modifiers(keyboard->modifiers, report[0], sink, arg);
    keyboard->modifiers = report[0];
    if (!take_keys(report, length, keys))
        return;
    emit_missing(keyboard->keys, keys, false, sink, arg);
    emit_missing(keys, keyboard->keys, true, sink, arg);
    choose_repeating(keyboard, keys, now_ms);
    memcpy(keyboard->keys, keys, sizeof(keys));
}

bool hid_keyboard_repeat(struct hid_keyboard *keyboard, uint64_t now_ms, struct key_event *event)
{
    if (keyboard->repeating == 0 || now_ms < keyboard->repeat_at_ms)
        return false;
    keyboard->repeat_at_ms = now_ms + HID_REPEAT_EVERY_MS;
    *event = (struct key_event){ .keycode = keyboard->repeating, .pressed = true };
    return true;
}

uint8_t hid_led_report(uint8_t leds)
{
    return (uint8_t)((leds & KEYBOARD_LED_NUM_LOCK ? 1 : 0) |
                     (leds & KEYBOARD_LED_CAPS_LOCK ? 2 : 0) |
                     (leds & KEYBOARD_LED_SCROLL_LOCK ? 4 : 0));
}
