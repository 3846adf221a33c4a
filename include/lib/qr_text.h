/*
 * QR codes as text, for any console. Pure.
 *
 * A cell, twice as high as wide, is one module wide and two high (half blocks, which every font
 * has), so that modules are square. Light modules are what is written, in white on black.
 */
#ifndef LIB_QR_TEXT_H
#define LIB_QR_TEXT_H

#include <lib/qr.h>

/* Cells that a version needs with its quiet zone. */
#define QR_TEXT_COLUMNS(version) (QR_SIZE(version) + 2 * QR_QUIET_ZONE)
#define QR_TEXT_ROWS(version)    ((QR_TEXT_COLUMNS(version) + 1) / 2)

/* Bytes of a row at the most: three for a cell, and the colours. */
#define QR_TEXT_ROW_MAX          (3u * QR_TEXT_COLUMNS(QR_VERSION_MAX) + 16u)

/* The largest version that such a screen can show; 0: none. */
uint32_t qr_text_version(uint32_t columns, uint32_t rows);

/* Makes a row, 0 to QR_TEXT_ROWS - 1, with a \n at its end; returns its length. */
size_t qr_text_row(const struct qr *qr, uint32_t row, char text[QR_TEXT_ROW_MAX]);

#endif
