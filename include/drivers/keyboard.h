/*
 * From the bytes of a keyboard to keys, in two layers that know nothing of the controller.
 *
 *   PS/2 bytes --scancode_decode--> key_event --keyboard_event--> key (drivers/keys.h)
 *   USB HID reports ------------------^
 *
 * A key_event names a physical key by its keycode. The keycodes are the usage numbers of the HID
 * keyboard page, so a USB keyboard needs no table and shares layouts with PS/2. A keycode stands
 * for a place on the keyboard and is named after what a US keyboard has there: KC_Y is the key
 * that a German layout labels Z.
 *
 * Nothing here locks: the caller serialises what it does with one struct.
 */
#ifndef DRIVERS_KEYBOARD_H
#define DRIVERS_KEYBOARD_H

#include <types.h>
#include <drivers/keys.h>

/* HID Usage Tables, "Keyboard/Keypad Page (0x07)". */
enum keycode {
    KC_NONE = 0x00,
    KC_A = 0x04,
    KC_B,
    KC_C,
    KC_D,
    KC_E,
    KC_F,
    KC_G,
    KC_H,
    KC_I,
    KC_J,
    KC_K,
    KC_L,
    KC_M,
    KC_N,
    KC_O,
    KC_P,
    KC_Q,
    KC_R,
    KC_S,
    KC_T,
    KC_U,
    KC_V,
    KC_W,
    KC_X,
    KC_Y,
    KC_Z,
    KC_1,
    KC_2,
    KC_3,
    KC_4,
    KC_5,
    KC_6,
    KC_7,
    KC_8,
    KC_9,
    KC_0,
    KC_ENTER,
    KC_ESCAPE,
    KC_BACKSPACE,
    KC_TAB,
    KC_SPACE,
    KC_MINUS,
    KC_EQUAL,
    KC_LEFT_BRACKET,
    KC_RIGHT_BRACKET,
    KC_BACKSLASH,
    KC_ISO_HASH, /* what some ISO keyboards send where others send KC_BACKSLASH */
    KC_SEMICOLON,
    KC_APOSTROPHE,
    KC_GRAVE,
    KC_COMMA,
    KC_PERIOD,
    KC_SLASH,
    KC_CAPS_LOCK,
    KC_F1,
    KC_F2,
    KC_F3,
    KC_F4,
    KC_F5,
    KC_F6,
    KC_F7,
    KC_F8,
    KC_F9,
    KC_F10,
    KC_F11,
    KC_F12,
    KC_PRINT_SCREEN,
    KC_SCROLL_LOCK,
    KC_PAUSE,
    KC_INSERT,
    KC_HOME,
    KC_PAGE_UP,
    KC_DELETE,
    KC_END,
    KC_PAGE_DOWN,
    KC_RIGHT,
    KC_LEFT,
    KC_DOWN,
    KC_UP,
    KC_NUM_LOCK,
    KC_KP_SLASH,
    KC_KP_ASTERISK,
    KC_KP_MINUS,
    KC_KP_PLUS,
    KC_KP_ENTER,
    KC_KP_1,
    KC_KP_2,
    KC_KP_3,
    KC_KP_4,
    KC_KP_5,
    KC_KP_6,
    KC_KP_7,
    KC_KP_8,
    KC_KP_9,
    KC_KP_0,
    KC_KP_PERIOD,
    KC_ISO_102ND, /* the key left of Z that US keyboards lack */
    KC_MENU,
    KC_LEFT_CTRL = 0xe0,
    KC_LEFT_SHIFT,
    KC_LEFT_ALT,
    KC_LEFT_GUI,
    KC_RIGHT_CTRL,
    KC_RIGHT_SHIFT,
    KC_RIGHT_ALT, /* AltGr where the layout has a third level */
    KC_RIGHT_GUI,
};

struct key_event {
    uint8_t keycode; /* enum keycode */
    bool pressed;    /* a make, also a repeated one; otherwise a break */
};

/* Set-1 scancodes to events. All zero is the initial state. */
struct scancode_decoder {
    uint8_t prefix; /* private: 0, 0xe0 or 0xe1 */
    uint8_t e1;     /* private: the byte that followed 0xe1, or 0 */
};

/*
 * Takes one byte of the controller, any value. Returns true and fills *event when the byte
 * completed one; unknown codes, fake shifts and the controller's own answers complete none.
 *
 * 0xaa is both "self-test passed" and the release of the left Shift; it is taken as the release,
 * which changes nothing if the key was up.
 */
bool scancode_decode(struct scancode_decoder *decoder, uint8_t byte, struct key_event *event);

/* The bits of keyboard_leds(), in the order of the PS/2 "set LEDs" command. */
#define KEYBOARD_LED_SCROLL_LOCK (1u << 0)
#define KEYBOARD_LED_NUM_LOCK    (1u << 1)
#define KEYBOARD_LED_CAPS_LOCK   (1u << 2)

struct keyboard_layout; /* opaque; see keyboard_find_layout() */

/* One keyboard, or several that act as one. Private but for its size. */
struct keyboard {
    const struct keyboard_layout *layout;
    uint32_t down[256 / 32]; /* which keycodes are held */
    uint8_t leds;            /* the locks, as KEYBOARD_LED_ bits */
};

/* Nothing held, Num Lock on as the BIOS leaves it, the other locks off, layout "us". */
void keyboard_init(struct keyboard *keyboard);

/*
 * Takes one event and returns the key it typed, or KEY_NONE. A press of a key that is held is a
 * repetition: it types the key again but leaves the locks alone.
 */
uint32_t keyboard_event(struct keyboard *keyboard, struct key_event event);

/* Forgets which keys are held: for a controller that was reset or a keyboard that was pulled. */
void keyboard_release_all(struct keyboard *keyboard);

/* The locks as KEYBOARD_LED_ bits; ask after each event and set the LEDs when they changed. */
uint8_t keyboard_leds(const struct keyboard *keyboard);

/* `layout` is what keyboard_find_layout() returned, not NULL. Held keys and locks stay. */
void keyboard_set_layout(struct keyboard *keyboard, const struct keyboard_layout *layout);

/* The layout of that name ("us", "de"), or NULL. */
const struct keyboard_layout *keyboard_find_layout(const char *name);

/* The name of the layout in use. */
const char *keyboard_layout(const struct keyboard *keyboard);

/* The names of all layouts: index 0 and up, NULL past the last. */
const char *keyboard_layout_name(size_t index);

#endif
