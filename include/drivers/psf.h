/*
 * PC Screen Fonts, versions 1 and 2: bitmaps of equal size, and which code points each shows.
 *
 * Pure, and nothing outside of [data, data + size) is read, whatever the bytes say. A Unicode
 * table that is broken ends where it breaks.
 *
 * Sources: Linux kbd project, "psf.h" (magic numbers, header, separators of both tables).
 */
#ifndef DRIVERS_PSF_H
#define DRIVERS_PSF_H

#include <types.h>

/* Larger glyphs are refused. */
#define PSF_WIDTH_MAX  32u
#define PSF_HEIGHT_MAX 128u
#define PSF_GLYPHS_MAX 65535u

#define PSF_NONE       0xffffffffu

/* An opened font. Only the sizes are for others to read. */
struct psf {
    uint32_t width, height; /* of every glyph, in pixels */
    uint32_t row_bytes;     /* a row of a glyph; the leftmost pixel is the highest bit */
    uint32_t count;         /* glyphs */

    const uint8_t *glyphs;
    const uint8_t *table; /* the Unicode table; NULL: glyph N shows code point N */
    size_t table_size;
    bool utf8; /* the table is PSF2's */
};

/* Opens a font, which must stay where it is. False when it is none or one that is refused. */
bool psf_open(struct psf *font, const void *data, size_t size) MUST_CHECK;

/* Where a walk through the Unicode table is; { 0 } at first. */
struct psf_walk {
    size_t offset;
    uint32_t glyph;
    bool in_sequence;
};

/*
 * The next code point that a glyph shows by itself, and that glyph; glyphs come in ascending order.
 * Sequences of code points are passed over. False at the end.
 */
bool psf_next(const struct psf *font, struct psf_walk *walk, uint32_t *code_point,
              uint32_t *glyph) MUST_CHECK;

/* The first glyph that shows this code point by itself, or PSF_NONE. Walks the table. */
uint32_t psf_find(const struct psf *font, uint32_t code_point);

/* The bitmap of a glyph, height * row_bytes bytes from the top row down. index < count. */
const uint8_t *psf_glyph(const struct psf *font, uint32_t index);

#endif
