/*
 * QR codes: bytes to a square of dark and light modules. Pure.
 *
 * Model 2, byte mode, error correction level L (about 7 % may be unreadable: a screen has no dirt
 * and no creases), versions 1 to QR_VERSION_MAX.
 *
 * Source: ISO/IEC 18004:2015, "Symbol description" and "Requirements for the encoding".
 */
#ifndef LIB_QR_H
#define LIB_QR_H

#include <types.h>

#define QR_VERSION_MAX    25u
#define QR_SIZE(version)  (17u + 4u * (version)) /* modules a side */
#define QR_SIZE_MAX       QR_SIZE(QR_VERSION_MAX)
#define QR_CODEWORDS_MAX  1588u /* of version 25, those for correction included */
#define QR_CORRECTION_MAX 30u   /* codewords for correction of one block */

/* Light modules that have to be around a code. */
#define QR_QUIET_ZONE     4u

struct qr {
    uint32_t version, size, mask;

    /* The rest is private. */
    uint8_t modules[QR_SIZE_MAX][QR_SIZE_MAX];
    uint8_t data[QR_CODEWORDS_MAX];      /* in the order of the bytes */
    uint8_t codewords[QR_CODEWORDS_MAX]; /* as they are placed: blocks interleaved */
};

/* How many bytes a version, 1 to QR_VERSION_MAX, can hold. */
uint32_t qr_capacity(uint32_t version);

/*
 * Makes the code of the smallest version that holds the bytes; it is large, so better static.
 * False if even version_max, 1 to QR_VERSION_MAX, holds too little.
 */
bool qr_encode(struct qr *qr, const void *bytes, uint32_t length, uint32_t version_max) MUST_CHECK;

/* Whether a module is dark; x from the left, y from the top. Those outside of the code are light.
 */
bool qr_is_dark(const struct qr *qr, int x, int y);

/*
 * The parts that the standard gives examples of. Remainder of Reed-Solomon: `degree` codewords, at
 * most QR_CORRECTION_MAX, that correct `length` data codewords. Format: 15 bits. Version: 18 bits.
 */
void qr_correction(const uint8_t *data, uint32_t length, uint8_t *correction, uint32_t degree);
uint32_t qr_format_bits(uint32_t mask);
uint32_t qr_version_bits(uint32_t version);

#endif
