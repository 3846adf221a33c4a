/*
 * The screen: a terminal on whatever the loader left, VGA text or a framebuffer.
 *
 * What is printed appears at once, before paging and the heap too. A framebuffer that cannot be
 * reached until paging is up shows then what was printed until then.
 */
#ifndef DRIVERS_SCREEN_H
#define DRIVERS_SCREEN_H

#include <drivers/terminal.h>
#include <types.h>

/* As many cells as a screen may have; with larger ones part of the device stays unused. */
#define SCREEN_CELLS_MAX 24576u

/* A device made of cells. Functions that do not stand there: NULL. */
struct screen_device {
    const char *name;
    unsigned columns, rows; /* within TERMINAL_*_MIN and _MAX, at most SCREEN_CELLS_MAX together */

    /* The dots of Braille patterns are squares that fill the cell, two by four: for QR codes. */
    bool draws_braille;

    /* Makes the device reachable once paging is up. NULL on success, else what is wrong. */
    const char *(*map)(void);

    /* Whether it can be drawn on now. Without this function: always. */
    bool (*ready)(void);

    /* Draws one cell. Interrupts are off. */
    void (*draw)(unsigned row, unsigned column, struct terminal_cell cell);

    /* Shows the cursor or hides it. Without this function it is drawn as a cell in reverse. */
    void (*place_cursor)(bool shown, unsigned row, unsigned column);

    /* What it is, in a few words that follow its name. */
    void (*describe)(char *text, size_t size);
};

/* Takes what the loader handed over (boot_info()), if it is a screen, and registers a console. */
void screen_init(void);

/* Paging is up: from here on a framebuffer is written through a window. Before the next output. */
void screen_map(void);

/* From here on a thread draws, so that writers need not wait for the device. */
void screen_start_thread(void);

/* Cells in a row; 0 when there is no screen. */
unsigned screen_columns(void);

/* Says in one line what the screen is, or why there is none. */
void screen_report(void);

#endif
