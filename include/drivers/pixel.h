/*
 * Pixels: how a framebuffer stores colours, how many cells fit on it, and drawing a cell.
 *
 * Pure: pixels are written to memory that the caller names, and never read.
 */
#ifndef DRIVERS_PIXEL_H
#define DRIVERS_PIXEL_H

#include <types.h>

/* The place of a colour's share in a pixel: `size` bits from bit `position` on. */
struct pixel_channel {
    uint8_t position, size;
};

struct pixel_format {
    uint8_t bits; /* of a pixel: 15, 16, 24 or 32; 15 takes two bytes */
    struct pixel_channel red, green, blue;
};

struct rgb {
    uint8_t red, green, blue;
};

/*
 * Whether the format is one that can be drawn: its bits are as above, each channel has 1 to 16 of
 * them, inside of the pixel and apart from the others.
 */
bool pixel_format_valid(const struct pixel_format *format);

/* Bytes of a pixel, 1 to 4, for 8 to 32 bits. */
uint32_t pixel_bytes(uint32_t bits);

/* The pixel of a colour, right to the nearest shade. The format must be valid. */
uint32_t pixel_pack(const struct pixel_format *format, struct rgb colour);

/* The entry of a palette that is nearest to a colour; count > 0. */
uint32_t pixel_nearest(const struct rgb *palette, uint32_t count, struct rgb colour);

/* Cells on a screen of pixels: each is a glyph of `scale` times its size. */
struct pixel_layout {
    uint32_t scale, columns, rows;
};

/*
 * Divides a screen of width x height pixels into cells for glyphs of the given size. The scale is
 * the largest up to 3 that leaves 100 columns, and more where there would be more than max_cells;
 * columns and rows stay within a terminal's bounds. False when not even the smallest terminal fits.
 */
bool pixel_layout(struct pixel_layout *layout, uint32_t width, uint32_t height,
                  uint32_t glyph_width, uint32_t glyph_height, uint32_t max_cells);

/* Where pixels go. A row begins every `pitch` bytes. */
struct surface {
    uint8_t *memory;
    uint32_t width, height; /* in pixels */
    uint32_t pitch;         /* at least width * bytes */
    uint32_t bytes;         /* of a pixel, 1 to 4, lowest byte first */
};

/* A bitmap; the leftmost pixel of a row is the highest bit of its first byte. */
struct glyph {
    const uint8_t *rows;
    uint32_t width, height, row_bytes;
};

#define PIXEL_GLYPH_WIDTH_MAX 32u
#define PIXEL_SCALE_MAX       8u

/*
 * Draws a glyph with its top left corner at pixel (x, y), each of its pixels as a square of
 * scale x scale: packed colour `ink` where a bit is set, `paper` elsewhere. All of it must lie on
 * the surface. Device memory is written in rising order, row by row.
 */
void pixel_draw_glyph(const struct surface *surface, uint32_t x, uint32_t y,
                      const struct glyph *glyph, uint32_t scale, uint32_t ink, uint32_t paper);

/* Fills a rectangle, which must lie on the surface, with a packed colour. */
void pixel_fill(const struct surface *surface, uint32_t x, uint32_t y, uint32_t width,
                uint32_t height, uint32_t colour);

#endif
