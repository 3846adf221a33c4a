/*
 * The QR encoder.
 *
 * Bytes become codewords, which are cut into blocks; each block gets codewords for correction;
 * the blocks are interleaved, and the bits placed in a zigzag around the function patterns. Of
 * eight masks that one is laid over them which gives the least regular picture.
 */
#include <lib/qr.h>
#include <lib/string.h>
#include <panic.h>

/* A module's bits. */
#define DARK              1u
#define FUNCTION          2u /* part of a pattern: neither data nor masked */

#define MODE_BYTES        4u
#define PAD_FIRST         0xecu
#define PAD_SECOND        0x11u

#define GF_POLYNOMIAL     0x11du
#define LEVEL_L           1u
#define FORMAT_GENERATOR  0x537u
#define FORMAT_MASK       0x5412u
#define VERSION_GENERATOR 0x1f25u
#define VERSION_INFO_FROM 7u  /* the smallest version that says which it is */
#define LONG_COUNT_FROM   10u /* the smallest version whose byte count has 16 bits */

#define MASKS             8u

/* "Error correction characteristics", level L: of a block, and how many there are. */
static const uint8_t correction_per_block[QR_VERSION_MAX + 1] = {
    0,  7,  10, 15, 20, 26, 18, 20, 24, 30, 18, 20, 24,
    26, 30, 22, 24, 28, 30, 28, 28, 28, 28, 30, 30, 26,
};
static const uint8_t block_counts[QR_VERSION_MAX + 1] = {
    0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 4, 6, 6, 6, 6, 7, 8, 8, 9, 9, 10, 12,
};

/* ---- Sizes ---- */

/* Alignment patterns stand at the crossings of this many lines. */
static uint32_t alignment_lines(uint32_t version)
{
    return version == 1 ? 0 : version / 7 + 2;
}

static uint32_t alignment_line(uint32_t version, uint32_t index)
{
    uint32_t lines = alignment_lines(version);
    uint32_t step = (4 * version + 2 * lines + 1) / (2 * lines - 2) * 2;

    return index == 0 ? 6 : QR_SIZE(version) - 7 - (lines - 1 - index) * step;
}

/* All modules, less the function patterns, by eight. */
static uint32_t codeword_count(uint32_t version)
{
    uint32_t size = QR_SIZE(version), lines = alignment_lines(version);
    uint32_t modules = size * size;

    modules -= 3 * 8 * 8;       /* finder patterns with their separators */
    modules -= 2 * 15 + 1;      /* format information, the dark module */
    modules -= 2 * (size - 16); /* timing patterns */
    if (lines > 0) {
        modules -= 25 * (lines * lines - 3); /* three would lie on finder patterns */
        modules += 2 * 5 * (lines - 2);      /* these lie on timing patterns */
    }
    if (version >= VERSION_INFO_FROM)
        modules -= 2 * 18;
    return modules / 8;
}

static uint32_t data_count(uint32_t version)
{
    return codeword_count(version) - correction_per_block[version] * block_counts[version];
}

uint32_t qr_capacity(uint32_t version)
{
    ASSERT(version >= 1 && version <= QR_VERSION_MAX);
    return data_count(version) - (version < LONG_COUNT_FROM ? 2 : 3); /* mode and count */
}

/* ---- Codewords ---- */

static void append_bits(struct qr *qr, uint32_t *at, uint32_t value, uint32_t count)
{
    for (uint32_t bit = count; bit-- > 0; (*at)++)
        qr->data[*at / 8] |= (uint8_t)((value >> bit & 1) << (7 - *at % 8));
}

static void fill_data(struct qr *qr, const uint8_t *bytes, uint32_t length)
{
    uint32_t at = 0, count = data_count(qr->version);

    memset(qr->data, 0, sizeof(qr->data));
    append_bits(qr, &at, MODE_BYTES, 4);
    append_bits(qr, &at, length, qr->version < LONG_COUNT_FROM ? 8 : 16);
    for (uint32_t i = 0; i < length; i++)
        append_bits(qr, &at, bytes[i], 8);
    at += 4; /* the terminator's zeros, which fill up a codeword */
    ASSERT(at % 8 == 0 && at / 8 <= count);
    for (uint32_t i = at / 8; i < count; i++)
        qr->data[i] = (i - at / 8) % 2 == 0 ? PAD_FIRST : PAD_SECOND;
}

static uint8_t gf_multiply(uint8_t a, uint8_t b)
{
    uint32_t product = 0;

    for (uint32_t bit = 8; bit-- > 0;) {
        product = product << 1 ^ (product >> 7) * GF_POLYNOMIAL;
        product ^= (b >> bit & 1u) * a;
    }
    return (uint8_t)product;
}

/* (x - 1)(x - 2)(x - 4)... without its leading coefficient, which is 1. */
static void make_generator(uint8_t *generator, uint32_t degree)
{
    uint8_t root = 1;

    memset(generator, 0, degree);
    generator[degree - 1] = 1;
    for (uint32_t i = 0; i < degree; i++) {
        for (uint32_t j = 0; j < degree; j++) {
            generator[j] = gf_multiply(generator[j], root);
            if (j + 1 < degree)
                generator[j] ^= generator[j + 1];
        }
        root = gf_multiply(root, 2);
    }
}

void qr_correction(const uint8_t *data, uint32_t length, uint8_t *correction, uint32_t degree)
{
    uint8_t generator[QR_CORRECTION_MAX];

    ASSERT(degree >= 1 && degree <= QR_CORRECTION_MAX);
    make_generator(generator, degree);
    memset(correction, 0, degree);
    for (uint32_t i = 0; i < length; i++) { /* a polynomial division */
        uint8_t factor = data[i] ^ correction[0];
        memmove(correction, correction + 1, degree - 1);
        correction[degree - 1] = 0;
        for (uint32_t j = 0; j < degree; j++)
            correction[j] ^= gf_multiply(generator[j], factor);
    }
}

/*
 * Block by block: its codewords go to every `blocks`-th place. The last blocks may have one data
 * codeword more; those stand together behind the others' last ones.
 */
static void interleave(struct qr *qr)
{
    uint32_t blocks = block_counts[qr->version], degree = correction_per_block[qr->version];
    uint32_t count = data_count(qr->version);
    uint32_t shorter = count / blocks, longer_blocks = count % blocks;
    const uint8_t *block = qr->data;

    for (uint32_t b = 0; b < blocks; b++) {
        bool longer = b >= blocks - longer_blocks;
        uint32_t length = shorter + longer;
        uint8_t correction[QR_CORRECTION_MAX];

        for (uint32_t i = 0; i < shorter; i++)
            qr->codewords[i * blocks + b] = block[i];
        if (longer)
            qr->codewords[shorter * blocks + b - (blocks - longer_blocks)] = block[shorter];
        qr_correction(block, length, correction, degree);
        for (uint32_t i = 0; i < degree; i++)
            qr->codewords[count + i * blocks + b] = correction[i];
        block += length;
    }
}

/* ---- Function patterns ---- */

static void set_function(struct qr *qr, uint32_t x, uint32_t y, bool dark)
{
    qr->modules[y][x] = (uint8_t)(FUNCTION | (dark ? DARK : 0));
}

/* Squares around a centre, by their distance from it: bit N of `rings` is a dark one. */
static void draw_rings(struct qr *qr, int centre_x, int centre_y, int radius, uint32_t rings)
{
    for (int dy = -radius; dy <= radius; dy++) {
        for (int dx = -radius; dx <= radius; dx++) {
            int x = centre_x + dx, y = centre_y + dy;
            int far_x = dx < 0 ? -dx : dx, far_y = dy < 0 ? -dy : dy;
            if (x >= 0 && x < (int)qr->size && y >= 0 && y < (int)qr->size)
                set_function(qr, (uint32_t)x, (uint32_t)y,
                             rings >> (far_x > far_y ? far_x : far_y) & 1);
        }
    }
}

static void draw_finders(struct qr *qr)
{
    int last = (int)qr->size - 4;

    draw_rings(qr, 3, 3, 4, 0xb); /* the light ring outside is the separator */
    draw_rings(qr, last, 3, 4, 0xb);
    draw_rings(qr, 3, last, 4, 0xb);
}

static void draw_alignments(struct qr *qr)
{
    uint32_t lines = alignment_lines(qr->version);

    for (uint32_t i = 0; i < lines; i++) {
        for (uint32_t j = 0; j < lines; j++) {
            bool on_finder =
                (i == 0 && j == 0) || (i == 0 && j == lines - 1) || (i == lines - 1 && j == 0);
            if (!on_finder)
                draw_rings(qr, (int)alignment_line(qr->version, j),
                           (int)alignment_line(qr->version, i), 2, 0x5);
        }
    }
}

/* The remainder of value * 2^degree by a generator of that degree, behind the value itself. */
static uint32_t bch(uint32_t value, uint32_t generator, uint32_t degree)
{
    uint32_t rest = value << degree;

    for (uint32_t bit = 31; bit >= degree; bit--) {
        if (rest >> bit & 1)
            rest ^= generator << (bit - degree);
    }
    return value << degree | rest;
}

uint32_t qr_format_bits(uint32_t mask)
{
    return bch(LEVEL_L << 3 | mask, FORMAT_GENERATOR, 10) ^ FORMAT_MASK;
}

uint32_t qr_version_bits(uint32_t version)
{
    return bch(version, VERSION_GENERATOR, 12);
}

/* Twice: around the upper left finder, and half each at the two others. */
static void draw_format(struct qr *qr)
{
    /* Where bit N stands in column 8, and mirrored in row 8: the timing patterns are left out. */
    static const uint8_t places[8] = { 0, 1, 2, 3, 4, 5, 7, 8 };
    uint32_t bits = qr_format_bits(qr->mask);

    for (uint32_t i = 0; i < 8; i++) {
        set_function(qr, 8, places[i], bits >> i & 1);
        set_function(qr, qr->size - 1 - i, 8, bits >> i & 1);
    }
    for (uint32_t i = 8; i < 15; i++) {
        set_function(qr, i == 8 ? 7 : 14 - i, 8, bits >> i & 1);
        set_function(qr, 8, qr->size - 15 + i, bits >> i & 1);
    }
    set_function(qr, 8, qr->size - 8, true);
}

static void draw_version(struct qr *qr)
{
    uint32_t bits = qr_version_bits(qr->version);

    for (uint32_t i = 0; i < 18 && qr->version >= VERSION_INFO_FROM; i++) {
        set_function(qr, qr->size - 11 + i % 3, i / 3, bits >> i & 1);
        set_function(qr, i / 3, qr->size - 11 + i % 3, bits >> i & 1);
    }
}

static void draw_patterns(struct qr *qr)
{
    memset(qr->modules, 0, sizeof(qr->modules));
    for (uint32_t i = 0; i < qr->size; i++) {
        set_function(qr, i, 6, i % 2 == 0);
        set_function(qr, 6, i, i % 2 == 0);
    }
    draw_finders(qr);
    draw_alignments(qr);
    draw_format(qr);
    draw_version(qr);
}

/* ---- Data ---- */

/* Upwards and downwards in columns two wide, from the right; the timing column is skipped. */
static void place_codewords(struct qr *qr)
{
    uint32_t bits = 8 * codeword_count(qr->version), at = 0;

    for (uint32_t pair = 0; pair < qr->size / 2; pair++) {
        uint32_t right = qr->size - 1 - 2 * pair;
        if (right <= 6)
            right--;
        for (uint32_t i = 0; i < 2 * qr->size; i++) {
            uint32_t y = pair % 2 == 0 ? qr->size - 1 - i / 2 : i / 2;
            uint8_t *module = &qr->modules[y][right - i % 2];

            if (*module & FUNCTION || at == bits)
                continue;
            *module = qr->codewords[at / 8] >> (7 - at % 8) & 1 ? DARK : 0;
            at++;
        }
    }
    ASSERT(at == bits);
}

static bool mask_inverts(uint32_t mask, uint32_t x, uint32_t y)
{
    switch (mask) {
    case 0:
        return (x + y) % 2 == 0;
    case 1:
        return y % 2 == 0;
    case 2:
        return x % 3 == 0;
    case 3:
        return (x + y) % 3 == 0;
    case 4:
        return (x / 3 + y / 2) % 2 == 0;
    case 5:
        return x * y % 2 + x * y % 3 == 0;
    case 6:
        return (x * y % 2 + x * y % 3) % 2 == 0;
    default:
        return ((x + y) % 2 + x * y % 3) % 2 == 0;
    }
}

/* Laid over twice, a mask is gone. */
static void apply_mask(struct qr *qr)
{
    for (uint32_t y = 0; y < qr->size; y++) {
        for (uint32_t x = 0; x < qr->size; x++) {
            if (!(qr->modules[y][x] & FUNCTION) && mask_inverts(qr->mask, x, y))
                qr->modules[y][x] ^= DARK;
        }
    }
}

/* ---- The choice of the mask: "Evaluation of data masking results" ---- */

static bool dark_at(const struct qr *qr, uint32_t line, uint32_t at, bool down)
{
    return (down ? qr->modules[at][line] : qr->modules[line][at]) & DARK;
}

/* Runs of five and more of one colour; what looks like a finder pattern with light beside it. */
static uint32_t line_penalty(const struct qr *qr, uint32_t line, bool down)
{
    uint32_t penalty = 0, run = 0, last = 0;

    for (uint32_t i = 0; i < qr->size; i++) {
        bool dark = dark_at(qr, line, i, down);

        run = i > 0 && dark == (last & 1) ? run + 1 : 1;
        if (run >= 5)
            penalty += run == 5 ? 3 : 1;
        last = (last << 1 | dark) & 0x7ff;
        if (i >= 10 && (last == 0x5d0 || last == 0x05d))
            penalty += 40;
    }
    return penalty;
}

/* Squares of two by two of one colour. */
static uint32_t square_penalty(const struct qr *qr)
{
    uint32_t penalty = 0;

    for (uint32_t y = 0; y + 1 < qr->size; y++) {
        for (uint32_t x = 0; x + 1 < qr->size; x++) {
            uint32_t dark = (qr->modules[y][x] & DARK) + (qr->modules[y][x + 1] & DARK) +
                            (qr->modules[y + 1][x] & DARK) + (qr->modules[y + 1][x + 1] & DARK);
            penalty += dark % 4 == 0 ? 3 : 0;
        }
    }
    return penalty;
}

/* Each 5 % that the dark modules are away from one half. */
static uint32_t balance_penalty(const struct qr *qr)
{
    uint32_t all = qr->size * qr->size, dark = 0;

    for (uint32_t y = 0; y < qr->size; y++) {
        for (uint32_t x = 0; x < qr->size; x++)
            dark += qr->modules[y][x] & DARK;
    }
    uint32_t away = 2 * dark > all ? 2 * dark - all : all - 2 * dark;
    return away * 10 / all * 10;
}

static uint32_t penalty_of(const struct qr *qr)
{
    uint32_t penalty = square_penalty(qr) + balance_penalty(qr);

    for (uint32_t line = 0; line < qr->size; line++)
        penalty += line_penalty(qr, line, false) + line_penalty(qr, line, true);
    return penalty;
}

static void set_mask(struct qr *qr, uint32_t mask)
{
    qr->mask = mask;
    apply_mask(qr);
    draw_format(qr);
}

static void choose_mask(struct qr *qr)
{
    uint32_t best = 0, least = UINT32_MAX;

    for (uint32_t mask = 0; mask < MASKS; mask++) {
        set_mask(qr, mask);
        uint32_t penalty = penalty_of(qr);
        if (penalty < least) {
            least = penalty;
            best = mask;
        }
        apply_mask(qr);
    }
    set_mask(qr, best);
}

/* ---- */

bool qr_encode(struct qr *qr, const void *bytes, uint32_t length, uint32_t version_max)
{
    ASSERT(version_max >= 1 && version_max <= QR_VERSION_MAX);
    qr->version = 1;
    while (qr->version < version_max && qr_capacity(qr->version) < length)
        qr->version++;
    if (qr_capacity(qr->version) < length)
        return false;

    qr->size = QR_SIZE(qr->version);
    qr->mask = 0;
    fill_data(qr, bytes, length);
    interleave(qr);
    draw_patterns(qr);
    place_codewords(qr);
    choose_mask(qr);
    return true;
}

bool qr_is_dark(const struct qr *qr, int x, int y)
{
    return x >= 0 && y >= 0 && x < (int)qr->size && y < (int)qr->size && (qr->modules[y][x] & DARK);
}
