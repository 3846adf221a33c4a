/*
 * The console: everything printed goes to every output that registered.
 *
 * Text is appended to a ring and written to the outputs from there by whoever finds the console
 * free, so that it may be printed from any context, interrupt handlers included, and interrupts
 * stay on while slow devices work. While a line is being edited, what others print appears above
 * it, and prompt and line follow again.
 */
#ifndef DRIVERS_CONSOLE_H
#define DRIVERS_CONSOLE_H

#include <types.h>

struct console {
    const char *name;
    void (*write)(const char *bytes, size_t length); /* plain \n ends a line */
    void (*scroll)(int lines);                       /* show what scrolled off; NULL: cannot */
    unsigned columns, rows;                          /* of a screen; 0: not known */
    bool draws_braille;                              /* as squares, see screen_device */
    bool broken;                                     /* it faulted: leave it alone */
    struct console *next;
};

/* Adds an output. */
void console_register(struct console *console);

/* Takes one away that proved to be none. Only while the kernel comes up: nothing locks. */
void console_unregister(struct console *console);

/* Names of the outputs, for messages: the first with index 0, NULL behind the last. */
const char *console_name(uint32_t index);

struct console_screen {
    unsigned columns, rows;
    bool draws_braille;
};

/* What all screens can show; false if there is none. */
bool console_screen(struct console_screen *screen);

/*
 * Prints text. If a line is open, it goes above that line, followed by a line break if it has
 * none. Any context.
 */
void console_print(const char *bytes, size_t length);

/*
 * The line that is being edited. show() and hide() write by console_edit_write(); both are called
 * between console_edit_begin() and _end(), or by console_print() with the same exclusion.
 */
struct console_line {
    void (*hide)(void *arg);
    void (*show)(void *arg);
    void *arg;
};

/* From here on `line` is open; NULL: none is. */
void console_set_line(const struct console_line *line);

/* Keeps others from printing: interrupts are off between the two. Not nested. */
uint32_t console_edit_begin(void);
void console_edit_end(uint32_t flags);

/* The open line's own output. Only between begin and end. */
void console_edit_write(const char *bytes, size_t length);

/* Moves every screen's view by `lines` into what scrolled off, or back. */
void console_scroll(int lines);

/* Bytes that found no room in the ring. */
uint32_t console_dropped(void);

/*
 * Leaves the output alone from here on whose write() is running, because it has faulted. False if
 * none is.
 */
bool console_give_up_writing(void);

/*
 * From here on text is written to the outputs at once, without locks, after what was waiting:
 * for panics.
 */
void console_take_over(void);

/* Whether console_take_over() was called: what is written then must be seen at once. */
bool console_taken_over(void);

#endif
