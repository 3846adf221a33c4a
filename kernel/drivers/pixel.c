/*
 * Pixels. The header says what is promised.
 *
 * A row of a glyph is put together in a buffer on the stack and copied to the screen `scale`
 * times, so that the device sees whole words in rising order, which write-combining makes bursts.
 */
#include <drivers/pixel.h>
#include <drivers/terminal.h>
#include <lib/string.h>
#include <panic.h>

#define SCALE_BY_CHOICE 3u   /* more only where there would be too many cells */
#define COLUMNS_WANTED  100u /* what a larger scale must leave */

/* Pixels of two and four bytes at any address. */
typedef uint16_t __attribute__((may_alias, aligned(1))) loose16;
typedef uint32_t __attribute__((may_alias, aligned(1))) loose32;

/* ---- Formats ---- */

static uint64_t mask_of(struct pixel_channel channel)
{
    return ((1ull << channel.size) - 1) << channel.position;
}

static bool channel_valid(struct pixel_channel channel, uint32_t bits)
{
    return channel.size >= 1 && channel.size <= 16 && channel.position < bits &&
           channel.size <= bits - channel.position;
}

bool pixel_format_valid(const struct pixel_format *f)
{
    bool known = f->bits == 15 || f->bits == 16 || f->bits == 24 || f->bits == 32;

    return known && channel_valid(f->red, f->bits) && channel_valid(f->green, f->bits) &&
           channel_valid(f->blue, f->bits) && (mask_of(f->red) & mask_of(f->green)) == 0 &&
           ((mask_of(f->red) | mask_of(f->green)) & mask_of(f->blue)) == 0;
}

uint32_t pixel_bytes(uint32_t bits)
{
    return (bits + 7) / 8;
}

static uint32_t share(struct pixel_channel channel, uint8_t value)
{
    uint32_t most = (1u << channel.size) - 1;

    return (value * most + 127) / 255 << channel.position;
}

uint32_t pixel_pack(const struct pixel_format *format, struct rgb colour)
{
    return share(format->red, colour.red) | share(format->green, colour.green) |
           share(format->blue, colour.blue);
}

static uint32_t square(int32_t difference)
{
    return (uint32_t)(difference * difference);
}

uint32_t pixel_nearest(const struct rgb *palette, uint32_t count, struct rgb colour)
{
    uint32_t best = 0, least = UINT32_MAX;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t distance = square(palette[i].red - colour.red) +
                            square(palette[i].green - colour.green) +
                            square(palette[i].blue - colour.blue);
        if (distance < least) {
            best = i;
            least = distance;
        }
    }
    return best;
}

/* ---- Layout ---- */

static uint32_t at_most(uint32_t value, uint32_t limit)
{
    return value < limit ? value : limit;
}

static struct pixel_layout layout_of(uint32_t scale, uint32_t width, uint32_t height,
                                     uint32_t glyph_width, uint32_t glyph_height)
{
    return (struct pixel_layout){
        .scale = scale,
        .columns = at_most(width / (glyph_width * scale), TERMINAL_COLUMNS_MAX),
        .rows = at_most(height / (glyph_height * scale), TERMINAL_ROWS_MAX),
    };
}

bool pixel_layout(struct pixel_layout *layout, uint32_t width, uint32_t height,
                  uint32_t glyph_width, uint32_t glyph_height, uint32_t max_cells)
{
    uint32_t scale = at_most(width / (glyph_width * COLUMNS_WANTED), SCALE_BY_CHOICE);

    if (scale == 0)
        scale = 1;
    *layout = layout_of(scale, width, height, glyph_width, glyph_height);
    while (layout->columns * layout->rows > max_cells && scale < PIXEL_SCALE_MAX)
        *layout = layout_of(++scale, width, height, glyph_width, glyph_height);
    if (layout->columns * layout->rows > max_cells)
        layout->rows = max_cells / layout->columns;
    return layout->columns >= TERMINAL_COLUMNS_MIN && layout->rows >= TERMINAL_ROWS_MIN;
}

/* ---- Drawing ---- */

static bool lies_on(const struct surface *s, uint32_t x, uint32_t y, uint32_t width,
                    uint32_t height)
{
    return x <= s->width && width <= s->width - x && y <= s->height && height <= s->height - y;
}

/* The first byte of a pixel. A framebuffer is below 4 GiB in size. */
static uint8_t *place(const struct surface *s, uint32_t x, uint32_t y)
{
    return s->memory + (size_t)y * s->pitch + (size_t)x * s->bytes;
}

/*
 * Stores `count` pixels of one colour and returns the place behind them. Inline, so that a size
 * that is a constant is not asked for at each pixel.
 */
static inline __attribute__((always_inline)) uint8_t *put(uint8_t *at, uint32_t bytes,
                                                          uint32_t colour, uint32_t count)
{
    for (; count > 0; count--, at += bytes) {
        switch (bytes) {
        case 4:
            *(loose32 *)at = colour;
            break;
        case 2:
            *(loose16 *)at = (uint16_t)colour;
            break;
        default:
            for (uint32_t i = 0; i < bytes; i++)
                at[i] = (uint8_t)(colour >> (8 * i));
        }
    }
    return at;
}

/* Puts a row of a glyph together, each of its pixels `scale` wide. */
static inline __attribute__((always_inline)) void put_row(uint8_t *at, uint32_t bytes,
                                                          const uint8_t *row, uint32_t width,
                                                          uint32_t scale, const uint32_t colours[2])
{
    for (uint32_t i = 0, bits = 0; i < width; i++, bits <<= 1) {
        if (i % 8 == 0)
            bits = *row++;
        at = put(at, bytes, colours[bits >> 7 & 1], scale);
    }
}

void pixel_draw_glyph(const struct surface *surface, uint32_t x, uint32_t y,
                      const struct glyph *glyph, uint32_t scale, uint32_t ink, uint32_t paper)
{
    uint32_t line[PIXEL_GLYPH_WIDTH_MAX * PIXEL_SCALE_MAX];
    const uint32_t colours[2] = { paper, ink };
    const uint8_t *row = glyph->rows;

    ASSERT(glyph->width <= PIXEL_GLYPH_WIDTH_MAX && scale <= PIXEL_SCALE_MAX);
    ASSERT(lies_on(surface, x, y, glyph->width * scale, glyph->height * scale));
    uint8_t *to = place(surface, x, y);
    size_t length = (size_t)glyph->width * scale * surface->bytes;

    for (uint32_t i = 0; i < glyph->height; i++, row += glyph->row_bytes) {
        if (surface->bytes == 4 && scale == 1)
            put_row((uint8_t *)line, 4, row, glyph->width, 1, colours);
        else
            put_row((uint8_t *)line, surface->bytes, row, glyph->width, scale, colours);
        for (uint32_t k = 0; k < scale; k++, to += surface->pitch)
            memcpy(to, line, length);
    }
}

void pixel_fill(const struct surface *surface, uint32_t x, uint32_t y, uint32_t width,
                uint32_t height, uint32_t colour)
{
    ASSERT(lies_on(surface, x, y, width, height));
    for (uint32_t i = 0; i < height; i++)
        put(place(surface, x, y + i), surface->bytes, colour, width);
}
