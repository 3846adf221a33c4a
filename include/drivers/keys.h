/*
 * Keys, as the shell reads them from every keyboard and from COM1.
 *
 * A key is a uint32_t: a Unicode code point, control characters included, or one of the KEY_
 * constants, which begin past the last code point. Every source delivers the same few control
 * characters: Enter is '\n' (never '\r'), Backspace is '\b' (never DEL), Tab is '\t', Ctrl with a
 * letter is 1 to 26.
 */
#ifndef DRIVERS_KEYS_H
#define DRIVERS_KEYS_H

#define KEY_NONE         0u /* no key; U+0000 is not a key */

/* Ctrl with a letter, written in lower case: KEY_CTRL('c'). */
#define KEY_CTRL(letter) ((uint32_t)(letter)&0x1fu)

enum key {
    KEY_UP = 0x110000,
    KEY_DOWN,
    KEY_LEFT,
    KEY_RIGHT,
    KEY_HOME,
    KEY_END,
    KEY_PAGE_UP,
    KEY_PAGE_DOWN,
    KEY_INSERT,
    KEY_DELETE,
    KEY_F1, /* the function keys follow each other */
    KEY_F2,
    KEY_F3,
    KEY_F4,
    KEY_F5,
    KEY_F6,
    KEY_F7,
    KEY_F8,
    KEY_F9,
    KEY_F10,
    KEY_F11,
    KEY_F12,
    KEY_SCROLL_UP,   /* Shift-PageUp: look at what has scrolled off the screen */
    KEY_SCROLL_DOWN, /* Shift-PageDown */
    KEY_REBOOT,      /* Ctrl-Alt-Del */
};

#endif
