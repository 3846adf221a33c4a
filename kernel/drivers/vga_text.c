/*
 * VGA text mode: cells are pairs of character (code page 437) and attribute in video memory, which
 * lies in identity-mapped low memory.
 *
 * Source: IBM VGA, "CRT controller registers".
 */
#include <drivers/vga_text.h>
#include "mem/layout.h"
#include <drivers/cp437.h>
#include <x86/io.h>

#define CRTC_INDEX    0x3d4
#define CRTC_DATA     0x3d5
#define CURSOR_START  0x0a
#define CURSOR_HIGH   0x0e
#define CURSOR_LOW    0x0f
#define CURSOR_HIDDEN 0x20
#define CURSOR_SHAPE  0x0e /* an underline: scan lines 14 and 15 */

#define COLUMNS       80u
#define ROWS          25u

static volatile uint16_t *video;

static void write_crtc(uint8_t index, uint8_t value)
{
    outb(CRTC_INDEX, index);
    outb(CRTC_DATA, value);
}

static void place_cursor(bool shown, unsigned row, unsigned column)
{
    unsigned position = row * COLUMNS + column;

    write_crtc(CURSOR_START, shown ? CURSOR_SHAPE : CURSOR_HIDDEN);
    write_crtc(CURSOR_HIGH, (uint8_t)(position >> 8));
    write_crtc(CURSOR_LOW, (uint8_t)position);
}

static void draw(unsigned row, unsigned column, struct terminal_cell cell)
{
    video[row * COLUMNS + column] =
        (uint16_t)(cell.attribute << 8 | cp437_from_unicode(cell.character));
}

const struct screen_device *vga_text_open(paddr64_t phys, uint32_t columns, uint32_t rows,
                                          const char **problem)
{
    static const struct screen_device device = {
        .name = "VGA text",
        .columns = COLUMNS,
        .rows = ROWS,
        .draw = draw,
        .place_cursor = place_cursor,
    };

    if (phys < VGA_MEMORY_START || phys > VGA_MEMORY_END - 2 * COLUMNS * ROWS ||
        columns != COLUMNS || rows != ROWS) {
        *problem = "text other than VGA's 80x25";
        return NULL;
    }
    video = (volatile uint16_t *)(uintptr_t)phys;
    return &device;
}
