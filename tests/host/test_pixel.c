/*
 * Pixels: formats, the division of screens into cells, and drawing, compared with a model that sets
 * one pixel after another. Surfaces lie in buffers of exactly their size.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <drivers/pixel.h>
#include <drivers/terminal.h>
#include "support.h"

/* ---- Formats ---- */

static void formats_that_can_be_drawn(void **state)
{
    static const struct pixel_format good[] = {
        { 32, { 16, 8 }, { 8, 8 }, { 0, 8 } },    { 32, { 0, 8 }, { 8, 8 }, { 16, 8 } },
        { 32, { 24, 8 }, { 16, 8 }, { 8, 8 } },   { 32, { 20, 10 }, { 10, 10 }, { 0, 10 } },
        { 24, { 16, 8 }, { 8, 8 }, { 0, 8 } },    { 16, { 11, 5 }, { 5, 6 }, { 0, 5 } },
        { 15, { 10, 5 }, { 5, 5 }, { 0, 5 } },    { 16, { 8, 4 }, { 4, 4 }, { 0, 4 } },
        { 32, { 16, 16 }, { 15, 1 }, { 0, 15 } },
    };
    static const struct pixel_format bad[] = {
        { 32, { 0, 0 }, { 0, 0 }, { 0, 0 } },     { 32, { 16, 0 }, { 8, 8 }, { 0, 8 } },
        { 32, { 16, 17 }, { 8, 8 }, { 0, 8 } },   { 32, { 25, 8 }, { 8, 8 }, { 0, 8 } },
        { 32, { 255, 255 }, { 8, 8 }, { 0, 8 } }, { 32, { 16, 8 }, { 9, 8 }, { 0, 8 } },
        { 32, { 16, 8 }, { 8, 8 }, { 16, 8 } },   { 32, { 16, 8 }, { 8, 8 }, { 1, 8 } },
        { 24, { 17, 8 }, { 8, 8 }, { 0, 8 } },    { 15, { 11, 5 }, { 5, 6 }, { 0, 5 } },
        { 8, { 5, 3 }, { 2, 3 }, { 0, 2 } },      { 0, { 16, 8 }, { 8, 8 }, { 0, 8 } },
        { 64, { 16, 8 }, { 8, 8 }, { 0, 8 } },    { 12, { 8, 4 }, { 4, 4 }, { 0, 4 } },
    };

    (void)state;
    for (uint32_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_true(pixel_format_valid(&good[i]));
    for (uint32_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(pixel_format_valid(&bad[i]));
}

static void colours_are_packed(void **state)
{
    static const struct {
        struct pixel_format format;
        struct rgb colour;
        uint32_t pixel;
    } known[] = {
        { { 32, { 16, 8 }, { 8, 8 }, { 0, 8 } }, { 0x12, 0x34, 0x56 }, 0x123456 },
        { { 32, { 0, 8 }, { 8, 8 }, { 16, 8 } }, { 0x12, 0x34, 0x56 }, 0x563412 },
        { { 24, { 8, 8 }, { 16, 8 }, { 0, 8 } }, { 0x12, 0x34, 0x56 }, 0x341256 },
        { { 16, { 11, 5 }, { 5, 6 }, { 0, 5 } }, { 255, 255, 255 }, 0xffff },
        { { 16, { 11, 5 }, { 5, 6 }, { 0, 5 } }, { 255, 128, 0 }, 31 << 11 | 32 << 5 },
        { { 15, { 10, 5 }, { 5, 5 }, { 0, 5 } }, { 4, 5, 255 }, 0 << 10 | 1 << 5 | 31 },
        { { 32, { 20, 10 }, { 10, 10 }, { 0, 10 } }, { 255, 0, 1 }, 1023u << 20 | 4 },
        { { 32, { 16, 16 }, { 15, 1 }, { 0, 15 } }, { 255, 128, 127 }, 0xffff8000 | 16319 },
    };

    (void)state;
    for (uint32_t i = 0; i < ARRAY_SIZE(known); i++)
        assert_int_equal(pixel_pack(&known[i].format, known[i].colour), known[i].pixel);
}

/* Whatever the format: each share is the nearest to what was asked for, at its place. */
static void shares_are_nearest(void **state)
{
    struct prng prng = { 88172645u };
    uint32_t tried = 0;

    (void)state;
    while (tried < 3000) {
        struct pixel_format f = {
            (uint8_t)(prng_once_in(&prng, 2) ? 32 : 16),
            { (uint8_t)prng_below(&prng, 32), (uint8_t)prng_below(&prng, 18) },
            { (uint8_t)prng_below(&prng, 32), (uint8_t)prng_below(&prng, 18) },
            { (uint8_t)prng_below(&prng, 32), (uint8_t)prng_below(&prng, 18) }
        };
        struct rgb colour = { (uint8_t)prng_next(&prng), (uint8_t)prng_next(&prng),
                              (uint8_t)prng_next(&prng) };
        const struct pixel_channel channels[] = { f.red, f.green, f.blue };
        const uint8_t values[] = { colour.red, colour.green, colour.blue };

        if (!pixel_format_valid(&f))
            continue;
        tried++;
        uint32_t pixel = pixel_pack(&f, colour);
        for (uint32_t i = 0; i < 3; i++) {
            int64_t most = (1ll << channels[i].size) - 1;
            int64_t is = pixel >> channels[i].position & most;
            int64_t off = is * 255 - values[i] * most;
            assert_true(2 * (off < 0 ? -off : off) <= 255); /* half a step at most */
            pixel &= ~(uint32_t)(most << channels[i].position);
        }
        assert_int_equal(pixel, 0);
    }
}

static void nearest_of_a_palette(void **state)
{
    static const struct rgb palette[] = {
        { 0, 0, 0 }, { 255, 0, 0 }, { 0, 255, 0 }, { 255, 0, 0 }, { 200, 200, 200 }
    };

    (void)state;
    assert_int_equal(pixel_nearest(palette, 5, (struct rgb){ 10, 20, 30 }), 0);
    assert_int_equal(pixel_nearest(palette, 5, (struct rgb){ 250, 10, 0 }), 1);
    assert_int_equal(pixel_nearest(palette, 5, (struct rgb){ 255, 255, 255 }), 4);
    assert_int_equal(pixel_nearest(palette, 1, (struct rgb){ 255, 255, 255 }), 0);
}

/* ---- Cells ---- */

static void known_screens(void **state)
{
    static const struct {
        uint32_t width, height;
        struct pixel_layout layout;
    } screens[] = {
        { 640, 480, { 1, 80, 30 } },    { 800, 600, { 1, 100, 37 } },
        { 1024, 768, { 1, 128, 48 } },  { 1366, 768, { 1, 170, 48 } },
        { 1599, 1200, { 1, 199, 75 } }, { 1600, 1200, { 2, 100, 37 } },
        { 1920, 1080, { 2, 120, 33 } }, { 2560, 1440, { 3, 106, 30 } },
        { 3840, 2160, { 3, 160, 45 } }, { 7680, 4320, { 4, 240, 67 } },
        { 160, 80, { 1, 20, 5 } },      { 320, 200, { 1, 40, 12 } },
    };

    (void)state;
    for (uint32_t i = 0; i < ARRAY_SIZE(screens); i++) {
        struct pixel_layout layout;
        assert_true(pixel_layout(&layout, screens[i].width, screens[i].height, 8, 16, 24576));
        assert_int_equal(layout.scale, screens[i].layout.scale);
        assert_int_equal(layout.columns, screens[i].layout.columns);
        assert_int_equal(layout.rows, screens[i].layout.rows);
    }
}

static void screens_that_are_too_small(void **state)
{
    struct pixel_layout layout;

    (void)state;
    assert_false(pixel_layout(&layout, 159, 1000, 8, 16, 24576));
    assert_false(pixel_layout(&layout, 1000, 79, 8, 16, 24576));
    assert_false(pixel_layout(&layout, 0, 0, 8, 16, 24576));
    assert_false(pixel_layout(&layout, 7, 0xffffffff, 8, 16, 24576));
}

static void any_layout_fits(void **state)
{
    struct prng prng = { 362436069u };

    (void)state;
    for (uint32_t round = 0; round < 20000; round++) {
        uint32_t width = prng_next(&prng) >> prng_below(&prng, 32);
        uint32_t height = prng_next(&prng) >> prng_below(&prng, 32);
        uint32_t glyph_width = 1 + prng_below(&prng, 32), glyph_height = 1 + prng_below(&prng, 128);
        struct pixel_layout l;

        if (!pixel_layout(&l, width, height, glyph_width, glyph_height, 24576))
            continue;
        assert_in_range(l.scale, 1, PIXEL_SCALE_MAX);
        assert_in_range(l.columns, TERMINAL_COLUMNS_MIN, TERMINAL_COLUMNS_MAX);
        assert_in_range(l.rows, TERMINAL_ROWS_MIN, TERMINAL_ROWS_MAX);
        assert_true(l.columns * l.rows <= 24576);
        assert_true(l.columns * l.scale * glyph_width <= width);
        assert_true(l.rows * l.scale * glyph_height <= height);
    }
}

/* ---- Drawing ---- */

/* The model: a copy of the surface's memory, one pixel at a time. */
static uint8_t *model;

static void set_pixel(const struct surface *s, uint32_t x, uint32_t y, uint32_t colour)
{
    for (uint32_t i = 0; i < s->bytes; i++)
        model[y * s->pitch + x * s->bytes + i] = (uint8_t)(colour >> 8 * i);
}

/* A surface of random measures and contents, in memory that ends where its last row does. */
static struct surface random_surface(struct prng *prng)
{
    struct surface s = { .width = 1 + prng_below(prng, 90),
                         .height = 1 + prng_below(prng, 60),
                         .bytes = 1 + prng_below(prng, 4) };
    s.pitch = s.width * s.bytes + (prng_once_in(prng, 2) ? prng_below(prng, 9) : 0);
    uint32_t size = s.pitch * (s.height - 1) + s.width * s.bytes;

    s.memory = malloc(size);
    model = malloc(size);
    for (uint32_t i = 0; i < size; i++)
        s.memory[i] = model[i] = (uint8_t)prng_next(prng);
    return s;
}

static void compare_and_free(const struct surface *s)
{
    assert_memory_equal(s->memory, model, s->pitch * (s->height - 1) + s->width * s->bytes);
    free(s->memory);
    free(model);
}

static void glyphs_are_drawn(void **state)
{
    struct prng prng = { 521288629u };
    uint32_t drawn = 0;

    (void)state;
    while (drawn < 4000) {
        struct surface s = random_surface(&prng);
        struct glyph g = { NULL, 1 + prng_below(&prng, PIXEL_GLYPH_WIDTH_MAX),
                           1 + prng_below(&prng, 20), 0 };
        uint32_t scale = 1 + prng_below(&prng, PIXEL_SCALE_MAX);
        uint32_t ink = prng_next(&prng), paper = prng_next(&prng);
        uint8_t rows[4 * 20];

        g.row_bytes = (g.width + 7) / 8;
        for (uint32_t i = 0; i < sizeof(rows); i++)
            rows[i] = (uint8_t)prng_next(&prng);
        g.rows = rows;
        if (g.width * scale <= s.width && g.height * scale <= s.height) {
            uint32_t left = prng_below(&prng, s.width - g.width * scale + 1);
            uint32_t top = prng_below(&prng, s.height - g.height * scale + 1);

            for (uint32_t y = 0; y < g.height * scale; y++)
                for (uint32_t x = 0; x < g.width * scale; x++) {
                    uint32_t column = x / scale;
                    bool set = rows[y / scale * g.row_bytes + column / 8] >> (7 - column % 8) & 1;
                    set_pixel(&s, left + x, top + y, set ? ink : paper);
                }
            pixel_draw_glyph(&s, left, top, &g, scale, ink, paper);
            drawn++;
        }
        compare_and_free(&s);
    }
}

static void rectangles_are_filled(void **state)
{
    struct prng prng = { 123456789u };

    (void)state;
    for (uint32_t round = 0; round < 2000; round++) {
        struct surface s = random_surface(&prng);
        uint32_t left = prng_below(&prng, s.width + 1), top = prng_below(&prng, s.height + 1);
        uint32_t width = prng_below(&prng, s.width - left + 1);
        uint32_t height = prng_below(&prng, s.height - top + 1);
        uint32_t colour = prng_next(&prng);

        for (uint32_t y = top; y < top + height; y++)
            for (uint32_t x = left; x < left + width; x++)
                set_pixel(&s, x, y, colour);
        pixel_fill(&s, left, top, width, height, colour);
        compare_and_free(&s);
    }
}

static void nothing_is_drawn_outside(void **state)
{
    static uint8_t memory[32 * 32];
    static const uint8_t rows[8];
    const struct surface s = { memory, 32, 32, 32, 1 };
    const struct glyph g = { rows, 8, 8, 1 };

    (void)state;
    EXPECT_PANIC("assertion", pixel_draw_glyph(&s, 25, 0, &g, 1, 1, 0));
    EXPECT_PANIC("assertion", pixel_draw_glyph(&s, 0, 25, &g, 1, 1, 0));
    EXPECT_PANIC("assertion", pixel_draw_glyph(&s, 0, 0, &g, 5, 1, 0));
    EXPECT_PANIC("assertion", pixel_draw_glyph(&s, 0xfffffff8, 0, &g, 1, 1, 0));
    EXPECT_PANIC("assertion", pixel_fill(&s, 1, 0, 32, 1, 1));
    EXPECT_PANIC("assertion", pixel_fill(&s, 0, 0xffffffff, 1, 2, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_that_can_be_drawn),
        cmocka_unit_test(colours_are_packed),
        cmocka_unit_test(shares_are_nearest),
        cmocka_unit_test(nearest_of_a_palette),
        cmocka_unit_test(known_screens),
        cmocka_unit_test(screens_that_are_too_small),
        cmocka_unit_test(any_layout_fits),
        cmocka_unit_test(glyphs_are_drawn),
        cmocka_unit_test(rectangles_are_filled),
        cmocka_unit_test(nothing_is_drawn_outside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
