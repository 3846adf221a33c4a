/*
 * QR codes as text, for any console. Pure.
 *
 * A cell, twice as high as wide, is divided into squares, one for each module: one by two with the
 * half blocks that every font has, or two by four with Braille patterns, on screens that draw their
 * dots as squares. Light modules are what is written, in white on black.
 */
#ifndef LIB_QR_TEXT_H
#define LIB_QR_TEXT_H

#include <lib/qr.h>

enum qr_cells { QR_HALF_BLOCKS, QR_BRAILLE };

/* Bytes of a row at the most: three for a cell, and the colours. */
#define QR_TEXT_ROW_MAX (3u * (QR_SIZE_MAX + 2u * QR_QUIET_ZONE) + 16u)

/* How many cells a version needs with its quiet zone. */
uint32_t qr_text_columns(uint32_t version, enum qr_cells cells);
uint32_t qr_text_rows(uint32_t version, enum qr_cells cells);

/* The largest version that fits into so many cells; 0: none. */
uint32_t qr_text_version(uint32_t columns, uint32_t rows, enum qr_cells cells);

/* Makes a row, the first with index 0, with a \n at its end; returns its length. */
size_t qr_text_row(const struct qr *qr, uint32_t row, enum qr_cells cells,
                   char text[QR_TEXT_ROW_MAX]);

#endif
