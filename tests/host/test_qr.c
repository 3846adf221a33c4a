/*
 * The QR encoder, against examples from the standard and against a reader made here, which knows
 * nothing of the encoder but the standard: it has its own tables of the code's shape, and checks
 * the correction by evaluating polynomials instead of dividing them.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <lib/qr.h>
#include "support.h"

static struct qr qr;

/* ---- Examples ---- */

/* "Symbology example" in the standard's annex I: 01234567 in version 1-M. */
static void test_correction_of_the_standard(void **state)
{
    static const uint8_t data[] = { 0x10, 0x20, 0x0c, 0x56, 0x61, 0x80, 0xec, 0x11,
                                    0xec, 0x11, 0xec, 0x11, 0xec, 0x11, 0xec, 0x11 };
    static const uint8_t wanted[] = { 0xa5, 0x24, 0xd4, 0xc1, 0xed, 0x36, 0xc7, 0x87, 0x2c, 0x55 };
    uint8_t correction[10];

    (void)state;
    qr_correction(data, sizeof(data), correction, 10);
    assert_memory_equal(correction, wanted, 10);
}

/* "Valid format information bit sequences" for level L, all 32 bits of it in order of the mask. */
static void test_format_of_the_standard(void **state)
{
    static const uint16_t wanted[8] = { 0x77c4, 0x72f3, 0x7daa, 0x789d,
                                        0x662f, 0x6318, 0x6c41, 0x6976 };
    (void)state;
    for (uint32_t mask = 0; mask < 8; mask++)
        assert_int_equal(qr_format_bits(mask), wanted[mask]);
}

static void test_versions_of_the_standard(void **state)
{
    (void)state;
    assert_int_equal(qr_version_bits(7), 0x07c94);
    assert_int_equal(qr_version_bits(8), 0x085bc);
    assert_int_equal(qr_version_bits(15), 0x0f928);
    assert_int_equal(qr_version_bits(21), 0x15683);
    assert_int_equal(qr_version_bits(25), 0x191e1);
}

/* "Data capacity", level L, byte mode. */
static void test_capacities_of_the_standard(void **state)
{
    static const uint16_t wanted[QR_VERSION_MAX + 1] = { 0,   17,   32,   53,   78,  106, 134,
                                                         154, 192,  230,  271,  321, 367, 425,
                                                         458, 520,  586,  644,  718, 792, 858,
                                                         929, 1003, 1091, 1171, 1273 };
    (void)state;
    for (uint32_t version = 1; version <= QR_VERSION_MAX; version++)
        assert_int_equal(qr_capacity(version), wanted[version]);
}

/* ---- The reader ---- */

/* Level L: total codewords; blocks of a first kind and their data codewords; blocks with one more.
 */
static const struct shape {
    uint16_t total;
    uint8_t blocks, data, more;
    uint8_t lines[5]; /* of alignment patterns */
} shapes[QR_VERSION_MAX + 1] = {
    { 0, 0, 0, 0, { 0 } },
    { 26, 1, 19, 0, { 0 } },
    { 44, 1, 34, 0, { 6, 18 } },
    { 70, 1, 55, 0, { 6, 22 } },
    { 100, 1, 80, 0, { 6, 26 } },
    { 134, 1, 108, 0, { 6, 30 } },
    { 172, 2, 68, 0, { 6, 34 } },
    { 196, 2, 78, 0, { 6, 22, 38 } },
    { 242, 2, 97, 0, { 6, 24, 42 } },
    { 292, 2, 116, 0, { 6, 26, 46 } },
    { 346, 2, 68, 2, { 6, 28, 50 } },
    { 404, 4, 81, 0, { 6, 30, 54 } },
    { 466, 2, 92, 2, { 6, 32, 58 } },
    { 532, 4, 107, 0, { 6, 34, 62 } },
    { 581, 3, 115, 1, { 6, 26, 46, 66 } },
    { 655, 5, 87, 1, { 6, 26, 48, 70 } },
    { 733, 5, 98, 1, { 6, 26, 50, 74 } },
    { 815, 1, 107, 5, { 6, 30, 54, 78 } },
    { 901, 5, 120, 1, { 6, 30, 56, 82 } },
    { 991, 3, 113, 4, { 6, 30, 58, 86 } },
    { 1085, 3, 107, 5, { 6, 34, 62, 90 } },
    { 1156, 4, 116, 4, { 6, 28, 50, 72, 94 } },
    { 1258, 2, 111, 7, { 6, 26, 50, 74, 98 } },
    { 1364, 4, 121, 5, { 6, 30, 54, 78, 102 } },
    { 1474, 6, 117, 4, { 6, 28, 54, 80, 106 } },
    { 1588, 8, 106, 4, { 6, 32, 58, 84, 110 } },
};

static bool dark(uint32_t x, uint32_t y)
{
    return qr_is_dark(&qr, (int)x, (int)y);
}

static uint8_t reserved[QR_SIZE_MAX][QR_SIZE_MAX];

static void expect_pattern(uint32_t x, uint32_t y, const char *const *rows, uint32_t size)
{
    for (uint32_t j = 0; j < size; j++) {
        for (uint32_t i = 0; i < size; i++) {
            assert_int_equal(dark(x + i, y + j), rows[j][i] == '#');
            reserved[y + j][x + i] = 1;
        }
    }
}

static void expect_finders(void)
{
    static const char *const upper_left[] = { "#######.", "#.....#.", "#.###.#.", "#.###.#.",
                                              "#.###.#.", "#.....#.", "#######.", "........" };
    static const char *const upper_right[] = { ".#######", ".#.....#", ".#.###.#", ".#.###.#",
                                               ".#.###.#", ".#.....#", ".#######", "........" };
    static const char *const lower_left[] = { "........", "#######.", "#.....#.", "#.###.#.",
                                              "#.###.#.", "#.###.#.", "#.....#.", "#######." };

    expect_pattern(0, 0, upper_left, 8);
    expect_pattern(qr.size - 8, 0, upper_right, 8);
    expect_pattern(0, qr.size - 8, lower_left, 8);
}

static void expect_alignments(void)
{
    static const char *const pattern[] = { "#####", "#...#", "#.#.#", "#...#", "#####" };
    const uint8_t *lines = shapes[qr.version].lines;
    uint32_t count = 0;

    while (count < 5 && lines[count] != 0)
        count++;
    for (uint32_t i = 0; i < count * count; i++) {
        uint32_t x = lines[i % count], y = lines[i / count];
        if (!reserved[y][x]) /* nor on a finder pattern */
            expect_pattern(x - 2, y - 2, pattern, 5);
    }
}

static void expect_timing(void)
{
    for (uint32_t i = 8; i < qr.size - 8; i++) {
        assert_int_equal(dark(i, 6), i % 2 == 0);
        assert_int_equal(dark(6, i), i % 2 == 0);
        reserved[6][i] = reserved[i][6] = 1;
    }
}

static uint32_t take(uint32_t bits, uint32_t x, uint32_t y)
{
    reserved[y][x] = 1;
    return bits << 1 | dark(x, y);
}

/* Both copies, from the highest bit on. Returns the mask. */
static uint32_t read_format(void)
{
    static const uint8_t along[15] = { 0, 1, 2, 3, 4, 5, 7, 8, 8, 8, 8, 8, 8, 8, 8 };
    static const uint8_t across[15] = { 8, 8, 8, 8, 8, 8, 8, 8, 7, 5, 4, 3, 2, 1, 0 };
    uint32_t first = 0, second = 0;

    for (uint32_t i = 0; i < 15; i++)
        first = take(first, along[i], across[i]);
    for (uint32_t i = 0; i < 7; i++)
        second = take(second, 8, qr.size - 1 - i);
    for (uint32_t i = 0; i < 8; i++)
        second = take(second, qr.size - 8 + i, 8);
    assert_int_equal(take(0, 8, qr.size - 8), 1); /* the dark module */
    assert_int_equal(first, second);
    for (uint32_t mask = 0; mask < 8; mask++) {
        if (qr_format_bits(mask) == first)
            return mask;
    }
    fail_msg("no format of level L: %x", first);
    return 0;
}

static void expect_version(void)
{
    uint32_t right = 0, below = 0;

    if (qr.version < 7)
        return;
    for (uint32_t i = 18; i-- > 0;) {
        right = take(right, qr.size - 11 + i % 3, i / 3);
        below = take(below, i / 3, qr.size - 11 + i % 3);
    }
    assert_int_equal(right, qr_version_bits(qr.version));
    assert_int_equal(below, right);
}

static bool inverted(uint32_t mask, uint32_t i, uint32_t j) /* row, column */
{
    const bool inverts[8] = {
        (i + j) % 2 == 0,
        i % 2 == 0,
        j % 3 == 0,
        (i + j) % 3 == 0,
        (i / 2 + j / 3) % 2 == 0,
        (i * j) % 2 + (i * j) % 3 == 0,
        ((i * j) % 2 + (i * j) % 3) % 2 == 0,
        ((i + j) % 2 + (i * j) % 3) % 2 == 0,
    };
    return inverts[mask];
}

static uint8_t codewords[QR_CODEWORDS_MAX];

/* Reads along the zigzag, one module after the other. */
static void read_codewords(uint32_t mask)
{
    uint32_t total = shapes[qr.version].total, bit = 0;
    int direction = -1;

    memset(codewords, 0, sizeof(codewords));
    for (int column = (int)qr.size - 1; column > 0; column -= 2, direction = -direction) {
        if (column == 6)
            column = 5;
        for (int n = 0; n < (int)qr.size; n++) {
            uint32_t y = (uint32_t)(direction < 0 ? (int)qr.size - 1 - n : n);
            for (uint32_t side = 0; side < 2; side++) {
                uint32_t x = (uint32_t)column - side;
                if (reserved[y][x])
                    continue;
                if (bit < 8 * total)
                    codewords[bit / 8] |=
                        (uint8_t)((dark(x, y) ^ inverted(mask, y, x)) << (7 - bit % 8));
                bit++;
            }
        }
    }
    /* What is left over are the remainder bits, at most 7. */
    assert_in_range(bit, 8 * total, 8 * total + 7);
}

static uint8_t powers[255], logarithms[256];

static void make_tables(void)
{
    uint32_t value = 1;

    for (uint32_t i = 0; i < 255; i++) {
        powers[i] = (uint8_t)value;
        logarithms[value] = (uint8_t)i;
        value = value << 1 ^ (value & 0x80 ? 0x11d : 0);
    }
}

/* A block is a polynomial that is 0 at the first powers of 2. */
static void expect_zero_at_roots(const uint8_t *block, uint32_t length, uint32_t degree)
{
    for (uint32_t root = 0; root < degree; root++) {
        uint8_t sum = 0;
        for (uint32_t i = 0; i < length; i++)
            sum = (uint8_t)((sum ? powers[(logarithms[sum] + root) % 255] : 0) ^ block[i]);
        assert_int_equal(sum, 0);
    }
}

/* Takes the blocks apart; returns the data of all in a row. */
static uint32_t read_blocks(uint8_t *data)
{
    const struct shape *s = &shapes[qr.version];
    uint32_t blocks = s->blocks + s->more, data_total = blocks * s->data + s->more, length = 0;
    uint32_t degree = (s->total - data_total) / blocks;

    for (uint32_t b = 0; b < blocks; b++) {
        uint8_t block[256];
        uint32_t count = 0;

        for (uint32_t i = 0; i < s->data; i++)
            block[count++] = codewords[i * blocks + b];
        if (b >= s->blocks)
            block[count++] = codewords[s->data * blocks + b - s->blocks];
        memcpy(data + length, block, count);
        length += count;
        for (uint32_t i = 0; i < degree; i++)
            block[count++] = codewords[data_total + i * blocks + b];
        expect_zero_at_roots(block, count, degree);
    }
    return length;
}

static uint32_t get_bits(const uint8_t *data, uint32_t *at, uint32_t count)
{
    uint32_t value = 0;

    for (; count > 0; count--, (*at)++)
        value = value << 1 | (data[*at / 8] >> (7 - *at % 8) & 1);
    return value;
}

static void expect_code_of(const uint8_t *bytes, uint32_t length)
{
    static uint8_t data[QR_CODEWORDS_MAX];
    uint32_t at = 0;

    assert_int_equal(qr.size, 17 + 4 * qr.version);
    memset(reserved, 0, sizeof(reserved));
    expect_finders();
    expect_alignments();
    expect_timing();
    expect_version();
    uint32_t mask = read_format();
    assert_int_equal(mask, qr.mask);
    read_codewords(mask);
    uint32_t count = read_blocks(data);

    assert_int_equal(get_bits(data, &at, 4), 4); /* byte mode */
    assert_int_equal(get_bits(data, &at, qr.version < 10 ? 8 : 16), length);
    for (uint32_t i = 0; i < length; i++)
        assert_int_equal(get_bits(data, &at, 8), bytes[i]);
    if (8 * count - at >= 4)
        assert_int_equal(get_bits(data, &at, 4), 0);
    for (bool first = true; at < 8 * count; first = !first)
        assert_int_equal(get_bits(data, &at, 8), first ? 0xec : 0x11);
}

/* ---- Codes ---- */

static void fill_random(struct prng *prng, uint8_t *bytes, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)prng_next(prng);
}

/* Each version, full and with one byte more than the one before holds. */
static void test_every_version(void **state)
{
    struct prng prng = { 4711 };
    uint8_t bytes[1300];

    (void)state;
    make_tables();
    for (uint32_t version = 1; version <= QR_VERSION_MAX; version++) {
        uint32_t most = qr_capacity(version);
        uint32_t least = version > 1 ? qr_capacity(version - 1) + 1 : 0;

        fill_random(&prng, bytes, most);
        assert_true(qr_encode(&qr, bytes, most, version));
        assert_int_equal(qr.version, version);
        expect_code_of(bytes, most);
        assert_true(qr_encode(&qr, bytes, least, QR_VERSION_MAX));
        assert_int_equal(qr.version, version);
        expect_code_of(bytes, least);
        assert_false(qr_encode(&qr, bytes, most + 1, version));
    }
}

static void test_random_texts(void **state)
{
    struct prng prng = { 815 };
    uint8_t bytes[1300];
    uint32_t masks = 0;

    (void)state;
    make_tables();
    for (uint32_t round = 0; round < 60; round++) {
        uint32_t length = prng_below(&prng, prng_once_in(&prng, 2) ? 100 : 1274);

        fill_random(&prng, bytes, length);
        assert_true(qr_encode(&qr, bytes, length, QR_VERSION_MAX));
        expect_code_of(bytes, length);
        masks |= 1u << qr.mask;
    }
    assert_int_equal(masks, 0xff); /* each was the best once */
}

/* ---- The mask ---- */

static uint32_t runs_and_finders(bool down)
{
    uint32_t penalty = 0;

    for (uint32_t line = 0; line < qr.size; line++) {
        char text[QR_SIZE_MAX + 1] = { 0 };
        for (uint32_t i = 0; i < qr.size; i++)
            text[i] = (down ? dark(line, i) : dark(i, line)) ? '#' : '.';
        for (uint32_t i = 0; i < qr.size;) {
            uint32_t run = (uint32_t)strspn(text + i, text[i] == '#' ? "#" : ".");
            penalty += run >= 5 ? run - 2 : 0;
            i += run;
        }
        for (uint32_t i = 0; i < qr.size; i++)
            penalty += strncmp(text + i, "#.###.#....", 11) == 0 ||
                               strncmp(text + i, "....#.###.#", 11) == 0
                           ? 40
                           : 0;
    }
    return penalty;
}

static uint32_t model_penalty(void)
{
    uint32_t penalty = runs_and_finders(false) + runs_and_finders(true), count = 0;

    for (uint32_t y = 0; y < qr.size; y++) {
        for (uint32_t x = 0; x < qr.size; x++) {
            bool d = dark(x, y);
            count += d;
            if (x + 1 < qr.size && y + 1 < qr.size && dark(x + 1, y) == d && dark(x, y + 1) == d &&
                dark(x + 1, y + 1) == d)
                penalty += 3;
        }
    }
    double percent = 100.0 * count / (qr.size * qr.size);
    double away = percent > 50 ? percent - 50 : 50 - percent;
    return penalty + 10 * (uint32_t)(away / 5);
}

/* Lays another mask over the finished code, as the standard has it. */
static void change_mask(uint32_t mask)
{
    uint32_t bits = qr_format_bits(mask);

    memset(reserved, 0, sizeof(reserved));
    expect_finders();
    expect_alignments();
    expect_timing();
    expect_version();
    uint32_t old = read_format();
    for (uint32_t y = 0; y < qr.size; y++) {
        for (uint32_t x = 0; x < qr.size; x++)
            qr.modules[y][x] ^= !reserved[y][x] && inverted(old, y, x) != inverted(mask, y, x);
    }
    for (uint32_t i = 0; i < 15; i++) {
        static const uint8_t along[15] = { 0, 1, 2, 3, 4, 5, 7, 8, 8, 8, 8, 8, 8, 8, 8 };
        static const uint8_t across[15] = { 8, 8, 8, 8, 8, 8, 8, 8, 7, 5, 4, 3, 2, 1, 0 };
        uint32_t bit = bits >> (14 - i) & 1;
        qr.modules[across[i]][along[i]] = (uint8_t)(2 | bit);
        if (i < 7)
            qr.modules[qr.size - 1 - i][8] = (uint8_t)(2 | bit);
        else
            qr.modules[8][qr.size - 15 + i] = (uint8_t)(2 | bit);
    }
}

static void test_best_mask(void **state)
{
    struct prng prng = { 99 };
    uint8_t bytes[300];

    (void)state;
    for (uint32_t round = 0; round < 20; round++) {
        uint32_t length = prng_below(&prng, sizeof(bytes));
        fill_random(&prng, bytes, length);
        assert_true(qr_encode(&qr, bytes, length, QR_VERSION_MAX));
        uint32_t chosen = qr.mask, least = model_penalty();
        for (uint32_t mask = 0; mask < 8; mask++) {
            change_mask(mask);
            assert_true(mask < chosen ? model_penalty() > least : model_penalty() >= least);
        }
    }
}

static void test_outside_is_light(void **state)
{
    (void)state;
    assert_true(qr_encode(&qr, "x", 1, 1));
    assert_true(qr_is_dark(&qr, 0, 0));
    assert_false(qr_is_dark(&qr, -1, 0));
    assert_false(qr_is_dark(&qr, 0, -1));
    assert_false(qr_is_dark(&qr, 21, 0));
    assert_false(qr_is_dark(&qr, 0, 21));
    EXPECT_PANIC("version", (void)qr_capacity(0));
    EXPECT_PANIC("version", (void)qr_capacity(QR_VERSION_MAX + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_correction_of_the_standard),
        cmocka_unit_test(test_format_of_the_standard),
        cmocka_unit_test(test_versions_of_the_standard),
        cmocka_unit_test(test_capacities_of_the_standard),
        cmocka_unit_test(test_every_version),
        cmocka_unit_test(test_random_texts),
        cmocka_unit_test(test_best_mask),
        cmocka_unit_test(test_outside_is_light),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
