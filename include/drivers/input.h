/*
 * From keyboards and COM1 to one queue of keys.
 *
 * Interrupt handlers only put raw bytes and events into rings. The thread "input" decodes them,
 * acts on the few keys that mean something at once (Ctrl-C for a running command, scrolling,
 * Ctrl-Alt-Del) and queues the others.
 */
#ifndef DRIVERS_INPUT_H
#define DRIVERS_INPUT_H

#include <drivers/keyboard.h>
#include <types.h>

struct thread;

#define KEYBOARD_PLACE_SIZE 48u

/*
 * A keyboard of any kind: what the input thread must be able to tell it, and which keys it holds.
 * Several act as one: a key is down as long as one of them holds it.
 */
struct keyboard_device {
    const char *name;
    const char *place; /* where it is plugged in, shorter than KEYBOARD_PLACE_SIZE; NULL: nowhere */
    /* KEYBOARD_LED_ bits. Called by the input thread; must not wait for a keyboard to go. */
    void (*set_leds)(struct keyboard_device *device, uint8_t leds);
    void *arg; /* the driver's */

    /* Private. */
    uint8_t number;
    uint32_t down[256 / 32];
    struct keyboard_device *next;
};

/* Starts the thread. Panics when there is no memory for it. */
void input_init(void);

/* Adds a keyboard, and sets its LEDs soon. Threads only. */
void input_register_keyboard(struct keyboard_device *device);

/*
 * Takes it out again: what it holds is released, and set_leds() is not called any more. No event
 * of it may come meanwhile or later. Waits while LEDs are being set. Threads only.
 */
void input_unregister_keyboard(struct keyboard_device *device);

struct keyboard_info {
    const char *name;
    char place[KEYBOARD_PLACE_SIZE]; /* "": nowhere in particular */
    uint8_t number;                  /* 1 and up; free again when the keyboard is gone */
};

/* The keyboard with that index; false behind the last. Any context. */
bool input_keyboard(uint32_t index, struct keyboard_info *info);

/* Events and bytes as they arrive. May be called from interrupt handlers. */
void input_key_event(struct keyboard_device *device, struct key_event event);
void input_serial_byte(uint8_t byte);

/*
 * Watching, for diagnosis: while it is on, every event and key is reported, and none but Ctrl-C,
 * Ctrl-Alt-Del and those for scrolling does anything.
 */
struct input_report {
    uint8_t keyboard;       /* its number; 0: COM1, and `event` means nothing */
    struct key_event event; /* as it arrived */
    uint32_t key;           /* what it typed, or KEY_NONE */
};

void input_watch(bool on);

/* The next report. False when none came in time or the thread was asked to stop. */
bool input_watch_next(struct input_report *report, uint32_t timeout_ms);

/* The next key; waits for it. */
uint32_t input_get_key(void);

/*
 * The thread that runs a command: Ctrl-C asks it to stop, also one that was typed ahead. NULL: no
 * command runs, and Ctrl-C is a key like others.
 */
void input_set_foreground(struct thread *thread);

/* Changes the layout; false when there is none of that name. */
bool input_set_keymap(const char *name);

/* The layout's name. */
const char *input_keymap(void);

/* Bytes, events and keys that were lost because nobody read them. */
uint32_t input_lost(void);

#endif
