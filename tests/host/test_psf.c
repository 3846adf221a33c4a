/*
 * Fonts: both versions as their tools write them, every way to cut them short, and bytes that no
 * tool writes. Fonts lie in buffers of exactly their size, so that a read beyond is seen.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <drivers/psf.h>
#include "support.h"

#define TABLE     1
#define SEQUENCES 4 /* PSF1's other word for a table */

static uint8_t file[64 * KIB];
static uint32_t size;
static struct psf font;

/* ---- Writing a font ---- */

static void put(uint32_t value, uint32_t bytes)
{
    for (; bytes > 0; bytes--, value >>= 8)
        file[size++] = (uint8_t)value;
}

/* Every glyph's bytes are its number, so that two glyphs differ in all of them. */
static void put_glyphs(uint32_t count, uint32_t bytes)
{
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < bytes; j++)
            put(i, 1);
}

static void begin_psf1(uint8_t mode, uint8_t height)
{
    size = 0;
    put(0x0436, 2);
    put(mode, 1);
    put(height, 1);
    put_glyphs(mode & 1 ? 512 : 256, height);
}

static void begin_psf2(uint32_t flags, uint32_t count, uint32_t width, uint32_t height)
{
    uint32_t bytes = (width + 7) / 8 * height;
    const uint32_t header[] = { 0x864ab572, 0, 40, flags, count, bytes, height, width, 0, 0 };

    size = 0;
    for (uint32_t i = 0; i < ARRAY_SIZE(header); i++)
        put(header[i], 4); /* the header is larger than it needs to be */
    put_glyphs(count, bytes);
}

static void put_units(const uint16_t *units, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        put(units[i], 2);
}

static void put_bytes(const char *bytes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        put((uint8_t)bytes[i], 1);
}

static bool open_font(void)
{
    return psf_open(&font, exact_copy(file, size, 0), size);
}

/* ---- What fonts say ---- */

static void psf1_without_a_table(void **state)
{
    (void)state;
    begin_psf1(0, 16);
    assert_true(open_font());
    assert_int_equal(font.width, 8);
    assert_int_equal(font.height, 16);
    assert_int_equal(font.count, 256);
    assert_int_equal(psf_find(&font, 'A'), 'A');
    assert_int_equal(psf_find(&font, 256), PSF_NONE);
    assert_int_equal(psf_glyph(&font, 200)[0], 200);
    assert_int_equal(psf_glyph(&font, 200)[15], 200);
}

static const uint16_t units[] = {
    'A',    0x391,  0xffff,                                /* 0: two letters that look alike */
    0xffff,                                                /* 1: nothing */
    'B',    0xfffe, 'C',    0x301, 0xfffe, 'D', 1, 0xffff, /* 2: B, and two sequences */
    'C',    'A',    0xffff,                                /* 3: C, and A once more */
};

static void expect_units_found(void)
{
    assert_int_equal(psf_find(&font, 'A'), 0); /* the first of two */
    assert_int_equal(psf_find(&font, 0x391), 0);
    assert_int_equal(psf_find(&font, 'B'), 2);
    assert_int_equal(psf_find(&font, 'C'), 3); /* not the sequence's */
    assert_int_equal(psf_find(&font, 'D'), PSF_NONE);
    assert_int_equal(psf_find(&font, 'E'), PSF_NONE);
}

static void psf1_with_a_table(void **state)
{
    (void)state;
    for (uint8_t mode = 2; mode < 8; mode++) {
        begin_psf1(mode, 8);
        put_units(units, ARRAY_SIZE(units));
        assert_true(open_font());
        assert_int_equal(font.count, mode & 1 ? 512 : 256);
        expect_units_found();
    }
}

static const char utf8[] = "A\xce\x91\xff"
                           "\xff"
                           "B\xfe"
                           "C\xcc\x81\xfe"
                           "D\x01\xff"
                           "CA\xff";

static void psf2_with_a_table(void **state)
{
    (void)state;
    for (uint32_t width = 1; width <= PSF_WIDTH_MAX; width++) {
        begin_psf2(TABLE, 300, width, 11);
        put_bytes(utf8, sizeof(utf8) - 1);
        assert_true(open_font());
        assert_int_equal(font.width, width);
        assert_int_equal(font.height, 11);
        assert_int_equal(font.row_bytes, (width + 7) / 8);
        assert_int_equal(psf_glyph(&font, 299)[11 * font.row_bytes - 1], 299 & 0xff);
        expect_units_found();
    }
}

/* A character cut short by a separator is none, and the separator counts. */
static void broken_utf8_in_a_table(void **state)
{
    static const char broken[] = "\xe2\x94\xff"
                                 "\x80X\xff"
                                 "\xe2Y\xff"
                                 "\xc3\xfeZ\xff"
                                 "Z\xff";

    (void)state;
    begin_psf2(TABLE, 10, 8, 8);
    put_bytes(broken, sizeof(broken) - 1);
    assert_true(open_font());
    assert_int_equal(psf_find(&font, 'X'), 1);
    assert_int_equal(psf_find(&font, 'Y'), 2);
    assert_int_equal(psf_find(&font, 'Z'), 4);
    assert_int_equal(psf_find(&font, 0xfffffff0), PSF_NONE); /* no marker of the parser's own */
    assert_int_equal(psf_find(&font, 0xfffffff2), PSF_NONE);
    assert_int_equal(psf_find(&font, PSF_NONE), PSF_NONE);
}

/* More lists than glyphs: those beyond belong to none. */
static void a_table_longer_than_the_font(void **state)
{
    (void)state;
    begin_psf2(TABLE, 2, 8, 8);
    put_bytes("a\xff"
              "b\xff"
              "c\xff",
              6);
    assert_true(open_font());
    assert_int_equal(psf_find(&font, 'b'), 1);
    assert_int_equal(psf_find(&font, 'c'), PSF_NONE);
}

/* ---- What is refused ---- */

static void refused(void **state)
{
    static const struct {
        uint32_t offset, value;
    } wrong[] = {
        { 0, 0x864ab573 }, { 4, 1 },        { 8, 31 },          { 8, 0xffffffff },
        { 16, 0 },         { 16, 0x10000 }, { 16, 0xffffffff }, { 20, 17 },
        { 20, 0 },         { 24, 0 },       { 24, 17 },         { 24, 0x80000000 },
        { 28, 0 },         { 28, 9 },       { 28, 0xffffffff }, { 28, PSF_WIDTH_MAX + 1 },
    };

    (void)state;
    for (uint32_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        begin_psf2(0, 256, 8, 16);
        memcpy(file + wrong[i].offset, &wrong[i].value, 4);
        assert_false(open_font());
    }
    begin_psf1(0, 0);
    assert_false(open_font());
    begin_psf1(0, PSF_HEIGHT_MAX + 1);
    assert_false(open_font());
}

static void no_glyph_beyond_the_last(void **state)
{
    (void)state;
    begin_psf1(0, 8);
    assert_true(open_font());
    EXPECT_PANIC("assertion", psf_glyph(&font, 256));
}

static void cut_short_anywhere(void **state)
{
    uint32_t whole, glyphs;

    (void)state;
    for (uint32_t kind = 0; kind < 2; kind++) {
        if (kind == 0)
            begin_psf1(TABLE << 1, 4);
        else
            begin_psf2(TABLE, 256, 8, 4);
        glyphs = size;
        if (kind == 0)
            put_units(units, ARRAY_SIZE(units));
        else
            put_bytes(utf8, sizeof(utf8) - 1);
        whole = size;
        for (size = 0; size <= whole; size++) {
            assert_int_equal(open_font(), size >= glyphs);
            if (size >= glyphs)
                assert_int_equal(psf_find(&font, 'E'), PSF_NONE);
        }
    }
}

/* Random damage: nothing is read outside of the file, and what is found is a glyph. */
static void damaged_anywhere(void **state)
{
    struct prng prng = { 2463534242u };
    uint32_t opened = 0;

    (void)state;
    for (uint32_t round = 0; round < 20000; round++) {
        if (round % 2 == 0) {
            begin_psf1((uint8_t)(TABLE << 1 | SEQUENCES), 1);
            put_units(units, ARRAY_SIZE(units));
        } else {
            begin_psf2(TABLE, 8, 8, 2);
            put_bytes(utf8, sizeof(utf8) - 1);
        }
        for (uint32_t i = prng_below(&prng, 4); i > 0; i--)
            file[prng_below(&prng, prng_once_in(&prng, 2) ? 40 : size)] = (uint8_t)prng_next(&prng);
        size -= prng_below(&prng, 20);
        if (!open_font())
            continue;
        opened++;
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t glyph = psf_find(&font, prng_below(&prng, 0x400));
            if (glyph != PSF_NONE)
                assert_in_range(psf_glyph(&font, glyph)[font.height * font.row_bytes - 1], 0, 255);
        }
    }
    assert_in_range(opened, 1000, 19999);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(psf1_without_a_table),
        cmocka_unit_test(psf1_with_a_table),
        cmocka_unit_test(psf2_with_a_table),
        cmocka_unit_test(broken_utf8_in_a_table),
        cmocka_unit_test(a_table_longer_than_the_font),
        cmocka_unit_test(refused),
        cmocka_unit_test(no_glyph_beyond_the_last),
        cmocka_unit_test(cut_short_anywhere),
        cmocka_unit_test(damaged_anywhere),
    };

    return cmocka_run_group_tests(tests, parser_setup, parser_teardown);
}
