/*
 * An ANSI text terminal on a grid of cells, without a device.
 *
 * Text goes in by terminal_write(); whoever owns a screen (VGA text, a framebuffer) then asks
 * which rows changed, draws their cells and puts the cursor where terminal_cursor() says.
 *
 *     terminal_write(t, bytes, length);
 *     for (row = 0; row < t->rows; row++)
 *         if (terminal_take_dirty(t, row))
 *             draw the cells terminal_cell(t, row, 0) to terminal_cell(t, row, t->columns - 1);
 *
 * Lines that scroll off the top stay in the scrollback, and terminal_scroll_view() shows them.
 *
 * Invariants that the line editor (shell/line.c) builds on:
 *   - Every character that is written takes one cell and moves the cursor one cell on. In the last
 *     column the cursor stays there and the wrap is pending until the next character.
 *   - '\b' is the exact reverse: on a pending wrap it cancels the wrap, which puts the cursor on
 *     the character just written; in column 0 it goes to the last column of the row above;
 *     anywhere else one column to the left. So after N characters and N backspaces the next
 *     character is written where the first of the N was, wherever that was and whatever scrolled,
 *     as long as that is still on the screen.
 *
 * Nothing here locks: the caller serialises what it does with one terminal.
 */
#ifndef DRIVERS_TERMINAL_H
#define DRIVERS_TERMINAL_H

#include <types.h>

#define TERMINAL_COLUMNS_MIN 20u
#define TERMINAL_COLUMNS_MAX 512u
#define TERMINAL_ROWS_MIN    5u
#define TERMINAL_ROWS_MAX    256u

#define TERMINAL_PARAMETERS  16u

/* How many cells terminal_init() needs for such a terminal. */
#define TERMINAL_CELLS(columns, rows, scrollback)                                                  \
    ((size_t)(columns) * ((size_t)(rows) + (size_t)(scrollback)))

/*
 * Attributes: the foreground in bits 0 to 3, the background in bits 4 to 7, both numbered as
 * VGA does: 0 black, 1 blue, 2 green, 3 cyan, 4 red, 5 magenta, 6 brown, 7 light grey, and 8 more
 * for the bright ones.
 */
#define TERMINAL_ATTRIBUTE_DEFAULT 0x07u

struct terminal_cell {
    uint16_t character; /* a code point of the BMP; ' ' where nothing was written */
    uint8_t attribute;
};

/* UTF-8, decoded byte by byte. All zero is the initial state. Private. */
struct utf8_decoder {
    uint32_t value;   /* bits so far */
    uint32_t minimum; /* the least value that needs a sequence this long */
    uint8_t missing;  /* continuation bytes still to come */
};

#define UTF8_MORE    0xffffffffu /* the character is not complete */
#define UTF8_INVALID 0xfffffffeu /* the byte was taken; what it completed is no character */
#define UTF8_BROKEN  0xfffffffdu /* a sequence was cut short; give the same byte again */

/*
 * Takes one byte. Returns a code point (no surrogate, at most 0x10ffff) or a UTF8_ value. After
 * UTF8_BROKEN the same byte gives something else, so no byte is lost and no loop is endless.
 */
uint32_t utf8_decode(struct utf8_decoder *decoder, uint8_t byte);

struct terminal {
    /* For the owner to read. */
    unsigned columns;
    unsigned rows;

    /* The rest is private. Screen row r is ring line (top + r) mod lines; history is above it. */
    struct terminal_cell *cells;
    unsigned lines;   /* in the ring: rows + scrollback */
    unsigned top;     /* ring line of the first screen row */
    unsigned history; /* lines in the scrollback, at most lines - rows */
    unsigned view;    /* how many lines the view is scrolled back, 0 to history */

    unsigned row, column; /* the cursor */
    bool wrap_pending;
    bool cursor_shown;

    struct terminal_pen {
        uint8_t foreground, background; /* VGA colours without bold and reverse */
        bool bold, reverse;
    } pen, saved_pen;
    unsigned saved_row, saved_column;

    uint8_t state;  /* of the escape sequence parser */
    uint8_t marker; /* of a private sequence: '<' to '?', or 0 */
    unsigned parameter_count;
    uint16_t parameters[TERMINAL_PARAMETERS];
    struct utf8_decoder utf8;

    bool dirty[TERMINAL_ROWS_MAX];
};

/*
 * Makes an empty terminal; every row is dirty. `cells` holds TERMINAL_CELLS(columns, rows,
 * scrollback) cells and must outlive the terminal. Panics on sizes outside of TERMINAL_*_MIN and
 * _MAX. `scrollback` may be 0.
 */
void terminal_init(struct terminal *terminal, struct terminal_cell *cells, unsigned columns,
                   unsigned rows, unsigned scrollback);

/*
 * Writes UTF-8 text; a character or an escape sequence may be split between calls. Invalid bytes
 * and characters past the BMP show as U+FFFD. The view snaps back to the bottom.
 *
 * Control characters: \n to column 0 of the next row (the kernel's lines end in a plain \n), \r,
 * \b as above, \t to the next multiple of 8, 0x1c to 0x1f for the styles of log.h; others do
 * nothing.
 * Sequences: CSI A B C D E F G H d f ` to move, J K X to erase, @ P L M to insert and delete, S T
 * to scroll, m for colours, s u and ESC 7 8 to save and restore the cursor with its colours, CSI
 * ?25h/l to show and hide it, ESC c for a new start; others are swallowed. Of larger palettes
 * (38;5;N, 38;2;R;G;B, and 48 likewise) the nearest of the sixteen colours is taken. A control
 * character ends any sequence, so that a broken one cannot eat a line.
 */
void terminal_write(struct terminal *terminal, const char *bytes, size_t length);

/* Moves the view `lines` into the scrollback, or back down if negative; stops at either end. */
void terminal_scroll_view(struct terminal *terminal, int lines);

/* The cell at a place of the view. row < rows, column < columns. */
struct terminal_cell terminal_cell(const struct terminal *terminal, unsigned row, unsigned column);

/* Whether a row of the view changed since it was last taken. The cursor's moves do not count. */
bool terminal_row_dirty(const struct terminal *terminal, unsigned row);

/* The same, and the row counts as drawn from now on. */
bool terminal_take_dirty(struct terminal *terminal, unsigned row);

/* Everything must be drawn again: for an owner whose screen was lost. */
void terminal_mark_all_dirty(struct terminal *terminal);

/*
 * Where the cursor is in the view. Returns false, with both set to 0, when it is hidden or the
 * view is scrolled so far back that it is below the screen.
 */
bool terminal_cursor(const struct terminal *terminal, unsigned *row, unsigned *column);

#endif
