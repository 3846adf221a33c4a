/*
 * QR codes as text: read back cell by cell.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <lib/qr_text.h>
#include "support.h"

static struct qr qr;

/* Whether the square at (x, y) of a cell is light; *text moves behind the cell. */
static uint32_t take_cell(const char **text, enum qr_cells cells)
{
    static const char *const blocks[4] = { " ", "▀", "▄", "█" };

    if (cells == QR_BRAILLE) {
        const uint8_t *bytes = (const uint8_t *)*text;
        assert_int_equal(bytes[0], 0xe2);
        assert_in_range(bytes[1], 0xa0, 0xa3);
        assert_in_range(bytes[2], 0x80, 0xbf);
        *text += 3;
        return (uint32_t)((bytes[1] & 3) << 6 | (bytes[2] & 0x3f));
    }
    for (uint32_t i = 0; i < 4; i++) {
        if (strncmp(*text, blocks[i], strlen(blocks[i])) == 0) {
            *text += strlen(blocks[i]);
            return i;
        }
    }
    fail_msg("no block: %s", *text);
    return 0;
}

static bool is_light(uint32_t cell, enum qr_cells cells, uint32_t x, uint32_t y)
{
    /* Unicode numbers the dots 1 2 3 7 in the left column and 4 5 6 8 in the right one. */
    static const uint8_t dots[4][2] = { { 1, 4 }, { 2, 5 }, { 3, 6 }, { 7, 8 } };

    return cell >> (cells == QR_BRAILLE ? dots[y][x] - 1u : y) & 1;
}

static void expect_row(uint32_t row, enum qr_cells cells)
{
    static const char start[] = "\033[97;40m";
    uint32_t width = cells == QR_BRAILLE ? 2 : 1, height = cells == QR_BRAILLE ? 4 : 2;
    char text[QR_TEXT_ROW_MAX + 1];
    size_t length = qr_text_row(&qr, row, cells, text);
    const char *at = text + strlen(start);

    assert_in_range(length, 1, QR_TEXT_ROW_MAX);
    text[length] = '\0';
    assert_memory_equal(text, start, strlen(start));
    for (uint32_t column = 0; column < qr_text_columns(qr.version, cells); column++) {
        uint32_t cell = take_cell(&at, cells);
        for (uint32_t x = 0; x < width; x++) {
            for (uint32_t y = 0; y < height; y++)
                assert_int_equal(
                    is_light(cell, cells, x, y),
                    !qr_is_dark(&qr, (int)(column * width + x) - 4, (int)(row * height + y) - 4));
        }
    }
    assert_string_equal(at, "\033[0m\n");
}

static void test_every_version(void **state)
{
    (void)state;
    for (uint32_t version = 1; version <= QR_VERSION_MAX; version++) {
        uint8_t bytes[1300];
        memset(bytes, 'a', sizeof(bytes));
        assert_true(qr_encode(&qr, bytes, qr_capacity(version), version));
        for (enum qr_cells cells = QR_HALF_BLOCKS; cells <= QR_BRAILLE; cells++) {
            for (uint32_t row = 0; row < qr_text_rows(version, cells); row++)
                expect_row(row, cells);
        }
    }
}

/* What fits, counted by hand: 25 + 4 * version modules with the quiet zone. */
static void test_sizes(void **state)
{
    (void)state;
    assert_int_equal(qr_text_columns(5, QR_HALF_BLOCKS), 45);
    assert_int_equal(qr_text_rows(5, QR_HALF_BLOCKS), 23);
    assert_int_equal(qr_text_columns(17, QR_BRAILLE), 47);
    assert_int_equal(qr_text_rows(17, QR_BRAILLE), 24);
    assert_int_equal(qr_text_version(80, 24, QR_HALF_BLOCKS), 5);
    assert_int_equal(qr_text_version(44, 24, QR_HALF_BLOCKS), 4);
    assert_int_equal(qr_text_version(128, 47, QR_BRAILLE), 25);
    assert_int_equal(qr_text_version(128, 29, QR_BRAILLE), 22);
    assert_int_equal(qr_text_version(80, 14, QR_HALF_BLOCKS), 0);
    assert_int_equal(qr_text_version(0, 0, QR_BRAILLE), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_version),
        cmocka_unit_test(test_sizes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
