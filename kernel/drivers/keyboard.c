/*
 * Scancodes, modifiers and layouts. The header has the picture.
 *
 * A key is looked up in this order: the keys that are the same in every layout, the numeric
 * keypad, and the rows of characters that make a layout. A layout is written down as it stands on
 * the keyboard, one string for each row and level.
 */
#include <drivers/keyboard.h>
#include <lib/string.h>

/* Scancodes */

#define BREAK_BIT 0x80u

/* In these two tables an index begins each run of neighbouring keys. */
/* clang-format off */

/* Set 1, without a prefix. */
static const uint8_t plain_codes[] = {
    [0x01] = KC_ESCAPE,
    [0x02] = KC_1, KC_2, KC_3, KC_4, KC_5, KC_6, KC_7, KC_8, KC_9, KC_0, KC_MINUS, KC_EQUAL,
    [0x0e] = KC_BACKSPACE,
    [0x0f] = KC_TAB,
    [0x10] = KC_Q, KC_W, KC_E, KC_R, KC_T, KC_Y, KC_U, KC_I, KC_O, KC_P,
    [0x1a] = KC_LEFT_BRACKET, KC_RIGHT_BRACKET,
    [0x1c] = KC_ENTER,
    [0x1d] = KC_LEFT_CTRL,
    [0x1e] = KC_A, KC_S, KC_D, KC_F, KC_G, KC_H, KC_J, KC_K, KC_L, KC_SEMICOLON, KC_APOSTROPHE,
    [0x29] = KC_GRAVE,
    [0x2a] = KC_LEFT_SHIFT,
    [0x2b] = KC_BACKSLASH,
    [0x2c] = KC_Z, KC_X, KC_C, KC_V, KC_B, KC_N, KC_M, KC_COMMA, KC_PERIOD, KC_SLASH,
    [0x36] = KC_RIGHT_SHIFT,
    [0x37] = KC_KP_ASTERISK,
    [0x38] = KC_LEFT_ALT,
    [0x39] = KC_SPACE,
    [0x3a] = KC_CAPS_LOCK,
    [0x3b] = KC_F1, KC_F2, KC_F3, KC_F4, KC_F5, KC_F6, KC_F7, KC_F8, KC_F9, KC_F10,
    [0x45] = KC_NUM_LOCK,
    [0x46] = KC_SCROLL_LOCK,
    [0x47] = KC_KP_7, KC_KP_8, KC_KP_9, KC_KP_MINUS,
    [0x4b] = KC_KP_4, KC_KP_5, KC_KP_6, KC_KP_PLUS,
    [0x4f] = KC_KP_1, KC_KP_2, KC_KP_3, KC_KP_0, KC_KP_PERIOD,
    [0x54] = KC_PRINT_SCREEN, /* with Alt held */
    [0x56] = KC_ISO_102ND,
    [0x57] = KC_F11, KC_F12,
};

/* After 0xe0. The fake shifts 0x2a and 0x36 are not here, so they are no key. */
static const uint8_t e0_codes[] = {
    [0x1c] = KC_KP_ENTER,
    [0x1d] = KC_RIGHT_CTRL,
    [0x35] = KC_KP_SLASH,
    [0x37] = KC_PRINT_SCREEN,
    [0x38] = KC_RIGHT_ALT,
    [0x46] = KC_PAUSE, /* with Ctrl held */
    [0x47] = KC_HOME, KC_UP, KC_PAGE_UP,
    [0x4b] = KC_LEFT,
    [0x4d] = KC_RIGHT,
    [0x4f] = KC_END, KC_DOWN, KC_PAGE_DOWN, KC_INSERT, KC_DELETE,
    [0x5b] = KC_LEFT_GUI, KC_RIGHT_GUI, KC_MENU,
};

/* clang-format on */

static uint8_t look_up(const uint8_t *codes, size_t count, uint8_t code)
{
    return code < count ? codes[code] : KC_NONE;
}

/* What the controller says of itself, at any time, also between a prefix and its code. */
static bool is_controller_answer(uint8_t byte)
{
    switch (byte) {
    case 0x00: /* buffer overrun */
    case 0xff:
    case 0xfa: /* acknowledge */
    case 0xfe: /* resend */
        return true;
    default:
        return false;
    }
}

/* Pause is e1 1d 45 and e1 9d c5. Returns its keycode at the last byte; anything else resyncs. */
static uint8_t take_after_e1(struct scancode_decoder *decoder, uint8_t byte, bool *resync)
{
    uint8_t code = byte & ~BREAK_BIT;

    *resync = false;
    if (decoder->e1 == 0 && code == 0x1d) {
        decoder->e1 = byte;
        return KC_NONE;
    }
    decoder->prefix = 0;
    if (decoder->e1 != 0 && code == 0x45)
        return KC_PAUSE;
    *resync = true;
    return KC_NONE;
}

bool scancode_decode(struct scancode_decoder *decoder, uint8_t byte, struct key_event *event)
{
    uint8_t code = byte & ~BREAK_BIT;
    uint8_t keycode = KC_NONE;
    bool plain = decoder->prefix == 0;

    if (is_controller_answer(byte))
        return false;
    if (byte == 0xe0 || byte == 0xe1) {
        *decoder = (struct scancode_decoder){ .prefix = byte };
        return false;
    }
    if (decoder->prefix == 0xe0) {
        keycode = look_up(e0_codes, ARRAY_SIZE(e0_codes), code);
        decoder->prefix = 0;
    } else if (decoder->prefix == 0xe1) {
        keycode = take_after_e1(decoder, byte, &plain);
    }
    if (plain)
        keycode = look_up(plain_codes, ARRAY_SIZE(plain_codes), code);

    *event = (struct key_event){ .keycode = keycode, .pressed = !(byte & BREAK_BIT) };
    return keycode != KC_NONE;
}

/* Layouts */

#define ROWS     4
#define ROW_KEYS 13

enum level { PLAIN, SHIFT, ALT_GR, LEVELS };

/* Which keys the characters of a layout's rows are on, from left to right. */
static const uint8_t row_keys[ROWS][ROW_KEYS] = {
    { KC_GRAVE, KC_1, KC_2, KC_3, KC_4, KC_5, KC_6, KC_7, KC_8, KC_9, KC_0, KC_MINUS, KC_EQUAL },
    { KC_Q, KC_W, KC_E, KC_R, KC_T, KC_Y, KC_U, KC_I, KC_O, KC_P, KC_LEFT_BRACKET,
      KC_RIGHT_BRACKET },
    { KC_A, KC_S, KC_D, KC_F, KC_G, KC_H, KC_J, KC_K, KC_L, KC_SEMICOLON, KC_APOSTROPHE,
      KC_BACKSLASH },
    { KC_ISO_102ND, KC_Z, KC_X, KC_C, KC_V, KC_B, KC_N, KC_M, KC_COMMA, KC_PERIOD, KC_SLASH },
};

/* A space in a row means that the key has no character on that level. */
struct keyboard_layout {
    const char *name;
    bool has_alt_gr; /* otherwise the right Alt is an Alt like the left one */
    char keypad_point;
    uint16_t rows[LEVELS][ROWS][ROW_KEYS + 1];
};

/* German dead keys (^ ´ `) type their accent as a character of its own. */
static const struct keyboard_layout layouts[] = {
    {
        .name = "us",
        .keypad_point = '.',
        .rows[PLAIN] = {
            u"`1234567890-=",
            u"qwertyuiop[]",
            u"asdfghjkl;'\\",
            u"\\zxcvbnm,./",
        },
        .rows[SHIFT] = {
            u"~!@#$%^&*()_+",
            u"QWERTYUIOP{}",
            u"ASDFGHJKL:\"|",
            u"|ZXCVBNM<>?",
        },
    },
    {
        .name = "de",
        .has_alt_gr = true,
        .keypad_point = ',',
        .rows[PLAIN] = {
            u"^1234567890ß´",
            u"qwertzuiopü+",
            u"asdfghjklöä#",
            u"<yxcvbnm,.-",
        },
        .rows[SHIFT] = {
            u"°!\"§$%&/()=?`",
            u"QWERTZUIOPÜ*",
            u"ASDFGHJKLÖÄ'",
            u">YXCVBNM;:_",
        },
        .rows[ALT_GR] = {
            u"  ²³   {[]}\\ ",
            u"@ €        ~",
            u"            ",
            u"|      µ   ",
        },
    },
};

/* The same key in every layout, whatever the modifiers. */
static const uint32_t fixed_keys[] = {
    [KC_ENTER] = '\n',
    [KC_ESCAPE] = '\033',
    [KC_BACKSPACE] = '\b',
    [KC_TAB] = '\t',
    [KC_SPACE] = ' ',
    [KC_F1] = KEY_F1,
    [KC_F2] = KEY_F2,
    [KC_F3] = KEY_F3,
    [KC_F4] = KEY_F4,
    [KC_F5] = KEY_F5,
    [KC_F6] = KEY_F6,
    [KC_F7] = KEY_F7,
    [KC_F8] = KEY_F8,
    [KC_F9] = KEY_F9,
    [KC_F10] = KEY_F10,
    [KC_F11] = KEY_F11,
    [KC_F12] = KEY_F12,
    [KC_INSERT] = KEY_INSERT,
    [KC_HOME] = KEY_HOME,
    [KC_PAGE_UP] = KEY_PAGE_UP,
    [KC_DELETE] = KEY_DELETE,
    [KC_END] = KEY_END,
    [KC_PAGE_DOWN] = KEY_PAGE_DOWN,
    [KC_RIGHT] = KEY_RIGHT,
    [KC_LEFT] = KEY_LEFT,
    [KC_DOWN] = KEY_DOWN,
    [KC_UP] = KEY_UP,
    [KC_KP_SLASH] = '/',
    [KC_KP_ASTERISK] = '*',
    [KC_KP_MINUS] = '-',
    [KC_KP_PLUS] = '+',
    [KC_KP_ENTER] = '\n',
};

/* KC_KP_1 and up; the last is the point. */
static const uint8_t keypad_digits[] = "1234567890";
static const uint32_t keypad_moves[] = {
    KEY_END,  KEY_DOWN, KEY_PAGE_DOWN, KEY_LEFT,   KEY_NONE,   KEY_RIGHT,
    KEY_HOME, KEY_UP,   KEY_PAGE_UP,   KEY_INSERT, KEY_DELETE,
};

/* Modifiers */

static bool is_down(const struct keyboard *keyboard, uint8_t keycode)
{
    return keyboard->down[keycode / 32] >> keycode % 32 & 1;
}

static void set_down(struct keyboard *keyboard, uint8_t keycode, bool down)
{
    uint32_t bit = UINT32_C(1) << keycode % 32;

    if (down)
        keyboard->down[keycode / 32] |= bit;
    else
        keyboard->down[keycode / 32] &= ~bit;
}

static bool shift_is_down(const struct keyboard *keyboard)
{
    return is_down(keyboard, KC_LEFT_SHIFT) || is_down(keyboard, KC_RIGHT_SHIFT);
}

static bool ctrl_is_down(const struct keyboard *keyboard)
{
    return is_down(keyboard, KC_LEFT_CTRL) || is_down(keyboard, KC_RIGHT_CTRL);
}

static bool alt_is_down(const struct keyboard *keyboard)
{
    return is_down(keyboard, KC_LEFT_ALT) || is_down(keyboard, KC_RIGHT_ALT);
}

static bool alt_gr_is_down(const struct keyboard *keyboard)
{
    return keyboard->layout->has_alt_gr && is_down(keyboard, KC_RIGHT_ALT);
}

static uint8_t lock_led(uint8_t keycode)
{
    switch (keycode) {
    case KC_SCROLL_LOCK:
        return KEYBOARD_LED_SCROLL_LOCK;
    case KC_NUM_LOCK:
        return KEYBOARD_LED_NUM_LOCK;
    case KC_CAPS_LOCK:
        return KEYBOARD_LED_CAPS_LOCK;
    default:
        return 0;
    }
}

/* Keys */

/* The letters that Caps Lock turns into capitals: those of Latin-1 that have one. */
static bool is_small_letter(uint32_t character)
{
    bool is_accented = character >= 0xe0 && character <= 0xfe && character != 0xf7;

    return (character >= 'a' && character <= 'z') || is_accented;
}

static uint32_t fixed_key(const struct keyboard *keyboard, uint8_t keycode)
{
    uint32_t key = keycode < ARRAY_SIZE(fixed_keys) ? fixed_keys[keycode] : KEY_NONE;

    if (shift_is_down(keyboard) && key == KEY_PAGE_UP)
        return KEY_SCROLL_UP;
    if (shift_is_down(keyboard) && key == KEY_PAGE_DOWN)
        return KEY_SCROLL_DOWN;
    return key;
}

static uint32_t keypad_key(const struct keyboard *keyboard, uint8_t keycode)
{
    bool num_lock = keyboard->leds & KEYBOARD_LED_NUM_LOCK;

    if (keycode < KC_KP_1 || keycode > KC_KP_PERIOD)
        return KEY_NONE;
    if (num_lock == shift_is_down(keyboard))
        return keypad_moves[keycode - KC_KP_1];
    if (keycode == KC_KP_PERIOD)
        return (uint8_t)keyboard->layout->keypad_point;
    return keypad_digits[keycode - KC_KP_1];
}

/* The character that the layout has for a key on a level, or KEY_NONE. */
static uint32_t layout_character(const struct keyboard_layout *layout, uint8_t keycode,
                                 enum level level)
{
    if (keycode == KC_ISO_HASH)
        keycode = KC_BACKSLASH;
    for (size_t row = 0; row < ROWS; row++) {
        for (size_t i = 0; i < ROW_KEYS; i++) {
            if (row_keys[row][i] != keycode)
                continue;
            uint16_t character = layout->rows[level][row][i];
            return character == ' ' ? KEY_NONE : character;
        }
    }
    return KEY_NONE;
}

static uint32_t control_key(uint32_t character)
{
    bool has_control =
        (character >= 'a' && character <= 'z') || (character >= '@' && character <= '_');
    uint32_t control = KEY_CTRL(character);

    if (!has_control)
        return KEY_NONE;
    return control == '\r' ? '\n' : control;
}

static uint32_t character_key(const struct keyboard *keyboard, uint8_t keycode)
{
    const struct keyboard_layout *layout = keyboard->layout;
    bool shift = shift_is_down(keyboard);

    /* Ctrl does not count here: some hosts of virtual machines send AltGr as Ctrl with Alt. */
    if (alt_gr_is_down(keyboard))
        return layout_character(layout, keycode, ALT_GR);

    bool is_letter = is_small_letter(layout_character(layout, keycode, PLAIN));
    if (is_letter && keyboard->leds & KEYBOARD_LED_CAPS_LOCK)
        shift = !shift;
    uint32_t character = layout_character(layout, keycode, shift ? SHIFT : PLAIN);
    return ctrl_is_down(keyboard) ? control_key(character) : character;
}

static bool is_reboot(const struct keyboard *keyboard, uint8_t keycode)
{
    return (keycode == KC_DELETE || keycode == KC_KP_PERIOD) && ctrl_is_down(keyboard) &&
           alt_is_down(keyboard);
}

static uint32_t typed_key(const struct keyboard *keyboard, uint8_t keycode)
{
    if (is_reboot(keyboard, keycode))
        return KEY_REBOOT;

    uint32_t key = fixed_key(keyboard, keycode);
    if (key == KEY_NONE)
        key = keypad_key(keyboard, keycode);
    if (key == KEY_NONE)
        key = character_key(keyboard, keycode);
    return key;
}

uint32_t keyboard_event(struct keyboard *keyboard, struct key_event event)
{
    bool is_repeated = is_down(keyboard, event.keycode);

    set_down(keyboard, event.keycode, event.pressed);
    if (!event.pressed)
        return KEY_NONE;
    if (!is_repeated)
        keyboard->leds ^= lock_led(event.keycode);
    return typed_key(keyboard, event.keycode);
}

void keyboard_init(struct keyboard *keyboard)
{
    *keyboard = (struct keyboard){ .layout = &layouts[0], .leds = KEYBOARD_LED_NUM_LOCK };
}

void keyboard_release_all(struct keyboard *keyboard)
{
    memset(keyboard->down, 0, sizeof(keyboard->down));
}

uint8_t keyboard_leds(const struct keyboard *keyboard)
{
    return keyboard->leds;
}

void keyboard_set_layout(struct keyboard *keyboard, const struct keyboard_layout *layout)
{
    keyboard->layout = layout;
}

const struct keyboard_layout *keyboard_find_layout(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(layouts); i++) {
        if (strcmp(layouts[i].name, name) == 0)
            return &layouts[i];
    }
    return NULL;
}

const char *keyboard_layout(const struct keyboard *keyboard)
{
    return keyboard->layout->name;
}

const char *keyboard_layout_name(size_t index)
{
    return index < ARRAY_SIZE(layouts) ? layouts[index].name : NULL;
}
