/*
 * PC Screen Fonts. The header says what is promised.
 *
 * Version 1: magic (2 bytes), mode, height; 256 or 512 glyphs of 8 pixels' width; the table's
 * entries are 16-bit code points. Version 2: eight 32-bit numbers, glyphs of any size; the table
 * is UTF-8. In both, glyph after glyph has its list: code points, then perhaps sequences of them,
 * then a terminator.
 */
#include <drivers/psf.h>
#include <drivers/terminal.h>
#include <panic.h>

#define PSF1_MAGIC      0x0436u
#define PSF1_HEADER     4u
#define PSF1_512        0x01u /* mode: 512 glyphs, else 256 */
#define PSF1_TABLE      0x02u
#define PSF1_SEQUENCES  0x04u /* a table, with sequences in it */
#define PSF1_SEQUENCE   0xfffeu
#define PSF1_TERMINATOR 0xffffu

#define PSF2_MAGIC      0x864ab572u
#define PSF2_HEADER     32u
#define PSF2_TABLE      0x01u
#define PSF2_SEQUENCE   0xfeu
#define PSF2_TERMINATOR 0xffu

#define CODE_POINT_MAX  0x10ffffu

/* What the walk through a table comes upon, apart from code points. */
#define ITEM_SEQUENCE   0xfffffff0u
#define ITEM_TERMINATOR 0xfffffff1u
#define ITEM_NOTHING    0xfffffff2u /* bytes that mean nothing */

static uint32_t get16(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8;
}

static uint32_t get32(const uint8_t *bytes)
{
    return get16(bytes) | get16(bytes + 2) << 16;
}

/* Glyphs begin at `start`; with `table` a Unicode table follows them. The sizes are set. */
static bool open_glyphs(struct psf *font, const uint8_t *data, size_t size, uint32_t start,
                        bool table)
{
    if (font->width == 0 || font->width > PSF_WIDTH_MAX || font->height == 0 ||
        font->height > PSF_HEIGHT_MAX || font->count == 0 || font->count > PSF_GLYPHS_MAX)
        return false;
    font->row_bytes = (font->width + 7) / 8;

    /* At most 32 MiB: no overflow. */
    size_t glyph_bytes = (size_t)font->count * font->height * font->row_bytes;
    if (start > size || glyph_bytes > size - start)
        return false;
    font->glyphs = data + start;
    if (table) {
        font->table = font->glyphs + glyph_bytes;
        font->table_size = size - start - glyph_bytes;
    }
    return true;
}

static bool open_psf1(struct psf *font, const uint8_t *data, size_t size)
{
    uint8_t mode = data[2];

    font->width = 8;
    font->height = data[3];
    font->count = mode & PSF1_512 ? 512 : 256;
    return open_glyphs(font, data, size, PSF1_HEADER, mode & (PSF1_TABLE | PSF1_SEQUENCES));
}

static bool open_psf2(struct psf *font, const uint8_t *data, size_t size)
{
    uint32_t version = get32(data + 4), header = get32(data + 8), flags = get32(data + 12);
    uint32_t glyph_bytes = get32(data + 20);

    font->count = get32(data + 16);
    font->height = get32(data + 24);
    font->width = get32(data + 28);
    font->utf8 = true;
    return version == 0 && header >= PSF2_HEADER &&
           open_glyphs(font, data, size, header, flags & PSF2_TABLE) &&
           glyph_bytes == font->height * font->row_bytes;
}

bool psf_open(struct psf *font, const void *data, size_t size)
{
    const uint8_t *bytes = data;

    *font = (struct psf){ 0 };
    if (size >= PSF1_HEADER && get16(bytes) == PSF1_MAGIC)
        return open_psf1(font, bytes, size);
    if (size >= PSF2_HEADER && get32(bytes) == PSF2_MAGIC)
        return open_psf2(font, bytes, size);
    return false;
}

/* The item at *offset, which moves behind it. False at the table's end. */
static bool next_psf1(const struct psf *font, size_t *offset, uint32_t *item)
{
    if (font->table_size - *offset < 2)
        return false;
    uint32_t unit = get16(font->table + *offset);
    *offset += 2;
    *item = unit == PSF1_TERMINATOR ? ITEM_TERMINATOR
            : unit == PSF1_SEQUENCE ? ITEM_SEQUENCE
                                    : unit;
    return true;
}

static bool next_psf2(const struct psf *font, size_t *offset, uint32_t *item)
{
    struct utf8_decoder decoder = { 0 };

    *item = UTF8_MORE;
    while (*item == UTF8_MORE) {
        if (*offset == font->table_size)
            return false;
        uint8_t byte = font->table[*offset];
        bool separator = byte == PSF2_TERMINATOR || byte == PSF2_SEQUENCE;

        if (separator && decoder.missing > 0)
            break; /* a character cut short; the separator counts all the same */
        ++*offset;
        if (separator)
            *item = byte == PSF2_TERMINATOR ? ITEM_TERMINATOR : ITEM_SEQUENCE;
        else
            *item = utf8_decode(&decoder, byte);
    }
    if (*item == UTF8_BROKEN)
        --*offset; /* this byte begins something else */
    if (*item == UTF8_MORE || *item == UTF8_BROKEN || *item == UTF8_INVALID)
        *item = ITEM_NOTHING;
    return true;
}

bool psf_next(const struct psf *font, struct psf_walk *walk, uint32_t *code_point, uint32_t *glyph)
{
    uint32_t item;

    if (font->table == NULL) {
        *code_point = *glyph = walk->glyph++;
        return *glyph < font->count;
    }
    while (walk->glyph < font->count && (font->utf8 ? next_psf2(font, &walk->offset, &item)
                                                    : next_psf1(font, &walk->offset, &item))) {
        if (item == ITEM_TERMINATOR) {
            walk->glyph++;
            walk->in_sequence = false;
        } else if (item == ITEM_SEQUENCE) {
            walk->in_sequence = true;
        } else if (item <= CODE_POINT_MAX && !walk->in_sequence) {
            *code_point = item;
            *glyph = walk->glyph;
            return true;
        }
    }
    return false;
}

uint32_t psf_find(const struct psf *font, uint32_t code_point)
{
    struct psf_walk walk = { 0 };
    uint32_t shown, glyph;

    while (psf_next(font, &walk, &shown, &glyph)) {
        if (shown == code_point)
            return glyph;
    }
    return PSF_NONE;
}

const uint8_t *psf_glyph(const struct psf *font, uint32_t index)
{
    ASSERT(index < font->count);
    return font->glyphs + (size_t)index * font->height * font->row_bytes;
}
