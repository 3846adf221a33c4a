/*
 * HID boot reports of keyboards to key events. Pure; keycodes are the usage numbers that a report
 * holds (drivers/keyboard.h).
 *
 * A report says which keys are down, at most six besides the modifiers; an event comes from the
 * difference to the report before. A keyboard does not repeat keys by itself, so that is done here.
 *
 * Source: Device Class Definition for HID 1.11, "Boot Interface Descriptors" and "Keyboard
 * Implementation".
 */
#ifndef USB_HID_H
#define USB_HID_H

#include <drivers/keyboard.h>
#include <types.h>

#define HID_REPORT_SIZE     8u
#define HID_REPORT_KEYS     6u

#define HID_REPEAT_DELAY_MS 500u
#define HID_REPEAT_EVERY_MS 30u

/* What a keyboard has told so far. All zero: nothing held. */
struct hid_keyboard {
    uint8_t modifiers;
    uint8_t keys[HID_REPORT_KEYS]; /* each once, 0: none */
    uint8_t repeating;             /* the key that was pressed last and is still held, or 0 */
    uint64_t repeat_at_ms;
};

typedef void hid_event_sink(void *arg, struct key_event event);

/*
 * Takes a report, any bytes and any length, and gives the events to `sink`: modifiers first, then
 * what was released, then what was pressed. A report of less than three bytes says nothing; one
 * with an error code among its keys (too many are held) says nothing but the modifiers.
 */
void hid_keyboard_report(struct hid_keyboard *keyboard, const uint8_t *report, uint32_t length,
                         uint64_t now_ms, hid_event_sink *sink, void *arg);

/* Whether the held key types again now; fills *event. Asked in each tick. */
bool hid_keyboard_repeat(struct hid_keyboard *keyboard, uint64_t now_ms, struct key_event *event);

/* The byte of the output report, from KEYBOARD_LED_ bits. */
uint8_t hid_led_report(uint8_t leds);

#endif
