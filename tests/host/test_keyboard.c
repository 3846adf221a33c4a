/*
 * Scancodes to events, and events to keys under modifiers, locks and layouts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <drivers/keyboard.h>
#include <lib/string.h>

static struct keyboard kb;

static int setup(void **state)
{
    (void)state;
    keyboard_init(&kb);
    return 0;
}

static uint32_t press(uint8_t keycode)
{
    return keyboard_event(&kb, (struct key_event){ keycode, true });
}

static void release(uint8_t keycode)
{
    assert_int_equal(keyboard_event(&kb, (struct key_event){ keycode, false }), KEY_NONE);
}

static uint32_t tap(uint8_t keycode)
{
    uint32_t key = press(keycode);

    release(keycode);
    return key;
}

/* Taps a key while another is held. */
static uint32_t tap_with(uint8_t modifier, uint8_t keycode)
{
    assert_int_equal(press(modifier), KEY_NONE);
    uint32_t key = tap(keycode);
    release(modifier);
    return key;
}

static void use_layout(const char *name)
{
    const struct keyboard_layout *layout = keyboard_find_layout(name);

    assert_non_null(layout);
    keyboard_set_layout(&kb, layout);
}

/* Events of a byte string, written as keycodes in hex with '-' for a release: "04 -04". */
static const char *events_of(const char *bytes, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    static char text[256];
    struct scancode_decoder decoder = { 0 };
    struct key_event event;
    size_t n = 0;

    for (size_t i = 0; i < length && n < sizeof(text) - 5; i++) {
        if (!scancode_decode(&decoder, (uint8_t)bytes[i], &event))
            continue;
        if (n > 0)
            text[n++] = ' ';
        if (!event.pressed)
            text[n++] = '-';
        text[n++] = digits[event.keycode >> 4];
        text[n++] = digits[event.keycode & 15];
    }
    text[n] = '\0';
    return text;
}

#define EVENTS(bytes) events_of(bytes, sizeof(bytes) - 1)

static void plain_and_extended_codes(void **state)
{
    (void)state;
    assert_string_equal(EVENTS("\x1e\x9e"), "04 -04");                        /* A */
    assert_string_equal(EVENTS("\x1c\x9c\xe0\x1c\xe0\x9c"), "28 -28 58 -58"); /* both Enters */
    assert_string_equal(EVENTS("\x35\xe0\x35"), "38 54");                     /* both slashes */
    assert_string_equal(EVENTS("\x48\xe0\x48"), "60 52");                     /* keypad 8, Up */
    assert_string_equal(EVENTS("\x1d\xe0\x1d\x38\xe0\x38"), "e0 e4 e2 e6");
    assert_string_equal(EVENTS("\x2a\x36\xaa\xb6"), "e1 e5 -e1 -e5");
    assert_string_equal(EVENTS("\x56\x2b\x57\x58"), "64 31 44 45");
    assert_string_equal(EVENTS("\xe0\x5b\xe0\x5c\xe0\x5d"), "e3 e7 65");
}

/* The whole set, row by row as HID numbers the keys. */
static void every_code_has_its_key(void **state)
{
    static const char letters[] = "\x1e\x30\x2e\x20\x12\x21\x22\x23\x17\x24\x25\x26\x32\x31\x18"
                                  "\x19\x10\x13\x1f\x14\x16\x2f\x11\x2d\x15\x2c";
    static const char rest[] = "\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b" /* 1 to 0 */
                               "\x1c\x01\x0e\x0f\x39\x0c\x0d\x1a\x1b\x2b";
    static const char more[] = "\x27\x28\x29\x33\x34\x35\x3a" /* ; to Caps Lock */
                               "\x3b\x3c\x3d\x3e\x3f\x40\x41\x42\x43\x44\x57\x58";
    static const char keypad[] = "\x37\x4a\x4e";
    static const char digits[] = "\x4f\x50\x51\x4b\x4c\x4d\x47\x48\x49\x52\x53\x56";
    const struct {
        const char *codes;
        uint8_t first;
    } runs[] = { { letters, KC_A },
                 { rest, KC_1 },
                 { more, KC_SEMICOLON },
                 { keypad, KC_KP_ASTERISK },
                 { digits, KC_KP_1 } };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
        for (size_t j = 0; runs[i].codes[j] != '\0'; j++) {
            struct scancode_decoder decoder = { 0 };
            struct key_event event;
            assert_true(scancode_decode(&decoder, (uint8_t)runs[i].codes[j], &event));
            assert_int_equal(event.keycode, runs[i].first + j);
        }
    }
}

static void fake_shifts_are_ignored(void **state)
{
    (void)state;
    /* Insert as sent with Num Lock on, and Home with the right Shift held. */
    assert_string_equal(EVENTS("\xe0\x2a\xe0\x52\xe0\xd2\xe0\xaa"), "49 -49");
    assert_string_equal(EVENTS("\xe0\xb6\xe0\x47\xe0\xc7\xe0\x36"), "4a -4a");
}

static void print_screen_and_pause(void **state)
{
    (void)state;
    assert_string_equal(EVENTS("\xe0\x2a\xe0\x37\xe0\xb7\xe0\xaa"), "46 -46");
    assert_string_equal(EVENTS("\x54\xd4"), "46 -46");
    assert_string_equal(EVENTS("\xe1\x1d\x45\xe1\x9d\xc5\x1e"), "48 -48 04");
    assert_string_equal(EVENTS("\xe0\x46\xe0\xc6"), "48 -48");
}

static void garbage_does_not_lose_the_next_key(void **state)
{
    (void)state;
    assert_string_equal(EVENTS("\x00\xff\xfa\xfe\x1e"), "04");
    assert_string_equal(EVENTS("\xe0\xfa\x48"), "52"); /* an answer inside of a sequence */
    assert_string_equal(EVENTS("\xe1\xfa\x1d\xfe\x45"), "48");
    assert_string_equal(EVENTS("\xe0\xe0\x48"), "52");
    assert_string_equal(EVENTS("\xe0\x7f\x1e"), "04"); /* an unknown extended key */
    assert_string_equal(EVENTS("\x7f\xf1\x1e"), "04"); /* unknown plain codes */
    assert_string_equal(EVENTS("\xe1\x1e"), "04");     /* no Pause */
    assert_string_equal(EVENTS("\xe1\x1d\x1e"), "04"); /* nor this */
    assert_string_equal(EVENTS("\xe1\xe0\x48"), "52");
    assert_string_equal(EVENTS("\xe1\x1d\xe1\x1d\x45"), "48");

    /* A keyboard that was plugged in says 0xaa: a release that changes nothing. */
    struct scancode_decoder decoder = { 0 };
    struct key_event event;
    assert_true(scancode_decode(&decoder, 0xaa, &event));
    assert_int_equal(keyboard_event(&kb, event), KEY_NONE);
    assert_int_equal(tap(KC_A), 'a');
}

static void every_byte_is_safe_in_every_state(void **state)
{
    struct scancode_decoder decoder = { 0 };
    struct key_event event;
    uint32_t seed = 7;

    (void)state;
    for (int i = 0; i < 100000; i++) {
        seed = seed * 1664525 + 1013904223;
        uint8_t byte = seed >> 30 == 0 ? 0xe0 | (seed >> 29 & 1) : (uint8_t)(seed >> 16);
        if (scancode_decode(&decoder, byte, &event))
            assert_true(keyboard_event(&kb, event) <= KEY_REBOOT);
    }
}

static void us_layout(void **state)
{
    (void)state;
    assert_int_equal(tap(KC_A), 'a');
    assert_int_equal(tap_with(KC_LEFT_SHIFT, KC_A), 'A');
    assert_int_equal(tap_with(KC_RIGHT_SHIFT, KC_1), '!');
    assert_int_equal(tap(KC_Z), 'z');
    assert_int_equal(tap(KC_GRAVE), '`');
    assert_int_equal(tap(KC_EQUAL), '=');
    assert_int_equal(tap_with(KC_LEFT_SHIFT, KC_APOSTROPHE), '"');
    assert_int_equal(tap(KC_BACKSLASH), '\\');
    assert_int_equal(tap(KC_ISO_HASH), '\\');
    assert_int_equal(tap_with(KC_LEFT_SHIFT, KC_ISO_102ND), '|');
    assert_int_equal(tap_with(KC_LEFT_SHIFT, KC_SLASH), '?');
    assert_int_equal(tap_with(KC_RIGHT_ALT, KC_Q), 'q'); /* no third level */
    assert_int_equal(tap(KC_SPACE), ' ');
    assert_int_equal(tap(KC_ENTER), '\n');
    assert_int_equal(tap(KC_KP_ENTER), '\n');
    assert_int_equal(tap(KC_BACKSPACE), '\b');
    assert_int_equal(tap(KC_TAB), '\t');
    assert_int_equal(tap(KC_ESCAPE), 0x1b);
    assert_int_equal(tap(KC_LEFT_GUI), KEY_NONE);
    assert_int_equal(tap(0xff), KEY_NONE);
}

/* All four rows with a modifier held (or KC_NONE), from left to right. */
static void assert_row(uint8_t modifier, const uint8_t *keycodes, const uint16_t *expected)
{
    for (size_t i = 0; expected[i] != 0; i++) {
        uint32_t key = modifier == KC_NONE ? tap(keycodes[i]) : tap_with(modifier, keycodes[i]);
        assert_int_equal(key, expected[i] == ' ' ? KEY_NONE : expected[i]);
    }
}

static void german_layout(void **state)
{
    static const uint8_t digits[] = { KC_GRAVE, KC_1, KC_2, KC_3, KC_4,     KC_5,    KC_6,
                                      KC_7,     KC_8, KC_9, KC_0, KC_MINUS, KC_EQUAL };
    static const uint8_t upper[] = { KC_Q,
                                     KC_W,
                                     KC_E,
                                     KC_R,
                                     KC_T,
                                     KC_Y,
                                     KC_U,
                                     KC_I,
                                     KC_O,
                                     KC_P,
                                     KC_LEFT_BRACKET,
                                     KC_RIGHT_BRACKET };
    static const uint8_t home[] = { KC_A, KC_S, KC_D, KC_F,         KC_G,          KC_H,
                                    KC_J, KC_K, KC_L, KC_SEMICOLON, KC_APOSTROPHE, KC_BACKSLASH };
    static const uint8_t lower[] = { KC_ISO_102ND, KC_Z, KC_X,     KC_C,      KC_V,    KC_B,
                                     KC_N,         KC_M, KC_COMMA, KC_PERIOD, KC_SLASH };

    (void)state;
    use_layout("de");
    assert_row(KC_NONE, digits, u"^1234567890ß´");
    assert_row(KC_LEFT_SHIFT, digits, u"°!\"§$%&/()=?`");
    assert_row(KC_RIGHT_ALT, digits, u"  ²³   {[]}\\ ");
    assert_row(KC_NONE, upper, u"qwertzuiopü+");
    assert_row(KC_RIGHT_SHIFT, upper, u"QWERTZUIOPÜ*");
    assert_row(KC_RIGHT_ALT, upper, u"@ €        ~");
    assert_row(KC_NONE, home, u"asdfghjklöä#");
    assert_row(KC_LEFT_SHIFT, home, u"ASDFGHJKLÖÄ'");
    assert_row(KC_NONE, lower, u"<yxcvbnm,.-");
    assert_row(KC_LEFT_SHIFT, lower, u">YXCVBNM;:_");
    assert_row(KC_RIGHT_ALT, lower, u"|      µ   ");
    assert_int_equal(tap(KC_ISO_HASH), '#');
    assert_int_equal(tap(KC_KP_PERIOD), ',');

    /* Some hosts send AltGr as Ctrl with Alt. */
    press(KC_LEFT_CTRL);
    assert_int_equal(tap_with(KC_RIGHT_ALT, KC_Q), '@');
    release(KC_LEFT_CTRL);
}

static void layouts_have_names(void **state)
{
    (void)state;
    assert_string_equal(keyboard_layout(&kb), "us");
    use_layout("de");
    assert_string_equal(keyboard_layout(&kb), "de");
    assert_null(keyboard_find_layout("dvorak"));
    assert_null(keyboard_find_layout(""));
    assert_string_equal(keyboard_layout_name(0), "us");
    assert_string_equal(keyboard_layout_name(1), "de");
    assert_null(keyboard_layout_name(2));
}

static void caps_lock_is_for_letters(void **state)
{
    (void)state;
    assert_int_equal(tap(KC_CAPS_LOCK), KEY_NONE);
    assert_int_equal(keyboard_leds(&kb), KEYBOARD_LED_CAPS_LOCK | KEYBOARD_LED_NUM_LOCK);
    assert_int_equal(tap(KC_A), 'A');
    assert_int_equal(tap_with(KC_LEFT_SHIFT, KC_A), 'a');
    assert_int_equal(tap(KC_1), '1');
    assert_int_equal(tap(KC_LEFT_BRACKET), '[');
    use_layout("de");
    assert_int_equal(tap(KC_LEFT_BRACKET), 0xdc);                  /* Ü */
    assert_int_equal(tap_with(KC_LEFT_SHIFT, KC_SEMICOLON), 0xf6); /* ö */
    assert_int_equal(tap(KC_APOSTROPHE), 0xc4);                    /* Ä */
    assert_int_equal(tap(KC_MINUS), 0xdf);                         /* ß has no capital here */
    tap(KC_CAPS_LOCK);
    assert_int_equal(tap(KC_A), 'a');
}

static void num_lock_rules_the_keypad(void **state)
{
    static const uint32_t moves[] = { KEY_END,     KEY_DOWN,   KEY_PAGE_DOWN, KEY_LEFT,
                                      KEY_NONE,    KEY_RIGHT,  KEY_HOME,      KEY_UP,
                                      KEY_PAGE_UP, KEY_INSERT, KEY_DELETE };
    static const char digits[] = "1234567890.";

    (void)state;
    for (uint8_t i = 0; i < ARRAY_SIZE(moves); i++) {
        assert_int_equal(tap(KC_KP_1 + i), digits[i]);
        assert_int_equal(tap_with(KC_LEFT_SHIFT, KC_KP_1 + i), moves[i]);
    }
    tap(KC_NUM_LOCK);
    assert_int_equal(keyboard_leds(&kb), 0);
    for (uint8_t i = 0; i < ARRAY_SIZE(moves); i++) {
        assert_int_equal(tap(KC_KP_1 + i), moves[i]);
        assert_int_equal(tap_with(KC_RIGHT_SHIFT, KC_KP_1 + i), digits[i]);
    }
    assert_int_equal(tap(KC_KP_PLUS), '+');
    assert_int_equal(tap(KC_KP_SLASH), '/');
}

static void a_held_key_repeats_but_a_held_lock_does_not(void **state)
{
    (void)state;
    assert_int_equal(press(KC_X), 'x');
    assert_int_equal(press(KC_X), 'x');
    assert_int_equal(press(KC_X), 'x');
    release(KC_X);
    for (int i = 0; i < 4; i++)
        assert_int_equal(press(KC_SCROLL_LOCK), KEY_NONE);
    assert_int_equal(keyboard_leds(&kb), KEYBOARD_LED_SCROLL_LOCK | KEYBOARD_LED_NUM_LOCK);
    release(KC_SCROLL_LOCK);
    tap(KC_SCROLL_LOCK);
    assert_int_equal(keyboard_leds(&kb), KEYBOARD_LED_NUM_LOCK);
}

static void ctrl_gives_control_characters(void **state)
{
    (void)state;
    assert_int_equal(tap_with(KC_LEFT_CTRL, KC_A), 1);
    assert_int_equal(tap_with(KC_RIGHT_CTRL, KC_C), KEY_CTRL('c'));
    assert_int_equal(tap_with(KC_LEFT_CTRL, KC_Z), 26);
    assert_int_equal(tap_with(KC_LEFT_CTRL, KC_M), '\n');
    assert_int_equal(tap_with(KC_LEFT_CTRL, KC_1), KEY_NONE);
    tap(KC_CAPS_LOCK);
    assert_int_equal(tap_with(KC_LEFT_CTRL, KC_A), 1);
    use_layout("de");
    assert_int_equal(tap_with(KC_LEFT_CTRL, KC_Y), 26); /* the key labelled Z */
    assert_int_equal(tap_with(KC_LEFT_CTRL, KC_LEFT_BRACKET), KEY_NONE);
}

static void special_combinations(void **state)
{
    (void)state;
    assert_int_equal(tap(KC_PAGE_UP), KEY_PAGE_UP);
    assert_int_equal(tap_with(KC_LEFT_SHIFT, KC_PAGE_UP), KEY_SCROLL_UP);
    assert_int_equal(tap_with(KC_RIGHT_SHIFT, KC_PAGE_DOWN), KEY_SCROLL_DOWN);
    assert_int_equal(tap_with(KC_LEFT_CTRL, KC_DELETE), KEY_DELETE);
    press(KC_RIGHT_CTRL);
    assert_int_equal(tap_with(KC_LEFT_ALT, KC_DELETE), KEY_REBOOT);
    assert_int_equal(tap_with(KC_RIGHT_ALT, KC_KP_PERIOD), KEY_REBOOT);
    release(KC_RIGHT_CTRL);
    for (uint8_t i = 0; i < 12; i++)
        assert_int_equal(tap(KC_F1 + i), KEY_F1 + i);
}

static void both_shifts_are_told_apart(void **state)
{
    (void)state;
    press(KC_LEFT_SHIFT);
    press(KC_RIGHT_SHIFT);
    release(KC_LEFT_SHIFT);
    assert_int_equal(tap(KC_A), 'A');
    release(KC_RIGHT_SHIFT);
    assert_int_equal(tap(KC_A), 'a');
}

static void release_all_forgets_what_was_held(void **state)
{
    (void)state;
    tap(KC_CAPS_LOCK);
    press(KC_LEFT_CTRL);
    press(KC_NUM_LOCK);
    keyboard_release_all(&kb);
    assert_int_equal(tap(KC_A), 'A');
    press(KC_NUM_LOCK); /* a fresh press, for the old one is forgotten */
    assert_int_equal(keyboard_leds(&kb), KEYBOARD_LED_CAPS_LOCK | KEYBOARD_LED_NUM_LOCK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(plain_and_extended_codes, setup),
        cmocka_unit_test_setup(every_code_has_its_key, setup),
        cmocka_unit_test_setup(fake_shifts_are_ignored, setup),
        cmocka_unit_test_setup(print_screen_and_pause, setup),
        cmocka_unit_test_setup(garbage_does_not_lose_the_next_key, setup),
        cmocka_unit_test_setup(every_byte_is_safe_in_every_state, setup),
        cmocka_unit_test_setup(us_layout, setup),
        cmocka_unit_test_setup(german_layout, setup),
        cmocka_unit_test_setup(layouts_have_names, setup),
        cmocka_unit_test_setup(caps_lock_is_for_letters, setup),
        cmocka_unit_test_setup(num_lock_rules_the_keypad, setup),
        cmocka_unit_test_setup(a_held_key_repeats_but_a_held_lock_does_not, setup),
        cmocka_unit_test_setup(ctrl_gives_control_characters, setup),
        cmocka_unit_test_setup(special_combinations, setup),
        cmocka_unit_test_setup(both_shifts_are_told_apart, setup),
        cmocka_unit_test_setup(release_all_forgets_what_was_held, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
