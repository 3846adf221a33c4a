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

/* A keyboard of any kind: what the input thread must be able to tell it. */
struct keyboard_device {
    const char *name;
    void (*set_leds)(uint8_t leds); /* KEYBOARD_LED_ bits; called by the input thread */
    struct keyboard_device *next;
};

/* Starts the thread. Panics when there is no memory for it. */
void input_init(void);

/* Adds a keyboard, for good, and sets its LEDs soon. */
void input_register_keyboard(struct keyboard_device *device);

/* The keyboard with that index, or NULL behind the last. */
const struct keyboard_device *input_keyboard(uint32_t index);

/* Events and bytes as they arrive. May be called from interrupt handlers. */
void input_key_event(struct key_event event);
void input_serial_byte(uint8_t byte);

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
