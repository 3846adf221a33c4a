/*
 * VGA text mode: a terminal whose cells are copied into video memory.
 *
 * Source: IBM VGA, "CRT controller registers"; text mode memory is pairs of character (code page
 * 437) and attribute.
 */
#include <drivers/vga_text.h>
#include <drivers/console.h>
#include <drivers/cp437.h>
#include <drivers/terminal.h>
#include <x86/io.h>

#define CRTC_INDEX    0x3d4
#define CRTC_DATA     0x3d5
#define CURSOR_START  0x0a
#define CURSOR_HIGH   0x0e
#define CURSOR_LOW    0x0f
#define CURSOR_HIDDEN 0x20
#define CURSOR_SHAPE  0x0e /* an underline: scan lines 14 and 15 */

/* The mode that GRUB and every BIOS leave. */
#define COLUMNS       80u
#define ROWS          25u
#define SCROLLBACK    200u

static struct terminal terminal;
static struct terminal_cell cells[TERMINAL_CELLS(COLUMNS, ROWS, SCROLLBACK)];
static volatile uint16_t *video;

static void write_crtc(uint8_t index, uint8_t value)
{
    outb(CRTC_INDEX, index);
    outb(CRTC_DATA, value);
}

static void draw_cursor(void)
{
    unsigned row, column;

    if (!terminal_cursor(&terminal, &row, &column)) {
        write_crtc(CURSOR_START, CURSOR_HIDDEN);
        return;
    }
    unsigned position = row * terminal.columns + column;
    write_crtc(CURSOR_START, CURSOR_SHAPE);
    write_crtc(CURSOR_HIGH, (uint8_t)(position >> 8));
    write_crtc(CURSOR_LOW, (uint8_t)position);
}

static void draw_row(unsigned row)
{
    for (unsigned column = 0; column < terminal.columns; column++) {
        struct terminal_cell cell = terminal_cell(&terminal, row, column);
        video[row * terminal.columns + column] =
            (uint16_t)(cell.attribute << 8 | cp437_from_unicode(cell.character));
    }
}

/* Interrupts are off for a row at a time: video memory is slow, and COM1 must not overrun. */
static void draw(void)
{
    for (unsigned row = 0; row < terminal.rows; row++) {
        uint32_t flags = interrupts_save();
        if (terminal_take_dirty(&terminal, row))
            draw_row(row);
        interrupts_restore(flags);
    }

    uint32_t flags = interrupts_save();
    draw_cursor();
    interrupts_restore(flags);
}

static void vga_write(const char *bytes, size_t length)
{
    uint32_t flags = interrupts_save();
    terminal_write(&terminal, bytes, length);
    interrupts_restore(flags);
    draw();
}

static void vga_scroll(int lines)
{
    uint32_t flags = interrupts_save();
    terminal_scroll_view(&terminal, lines);
    interrupts_restore(flags);
    draw();
}

static struct console vga_console = { .name = "VGA text",
                                      .write = vga_write,
                                      .scroll = vga_scroll };

bool vga_text_init(paddr_t phys, uint32_t columns, uint32_t rows)
{
    if (columns != COLUMNS || rows != ROWS)
        return false;
    video = (volatile uint16_t *)(uintptr_t)phys;
    terminal_init(&terminal, cells, columns, rows, SCROLLBACK);
    draw();
    console_register(&vga_console);
    return true;
}
