/*
 * Numbers that people type, and the arithmetic on numbers in bits.h.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <lib/bits.h>
#include <lib/number.h>

typedef bool parser(const char *text, uint32_t *value);

static void accepts(parser *parse, const char *text, uint32_t expected)
{
    uint32_t value = ~expected;

    if (!parse(text, &value) || value != expected)
        fail_msg("\"%s\" gave %u, not %u", text, (unsigned)value, (unsigned)expected);
}

/* Refused, and the value left as it was. */
static void refuses(parser *parse, const char *text)
{
    uint32_t value = 0x5eed;

    if (parse(text, &value) || value != 0x5eed)
        fail_msg("\"%s\" gave %u", text, (unsigned)value);
}

static void test_decimal(void **state)
{
    (void)state;
    accepts(parse_decimal, "0", 0);
    accepts(parse_decimal, "9", 9);
    accepts(parse_decimal, "1024", 1024);
    accepts(parse_decimal, "0777", 777);
    accepts(parse_decimal, "000000000000000000042", 42);
    accepts(parse_decimal, "4294967289", 4294967289);
    accepts(parse_decimal, "4294967295", UINT32_MAX);
    refuses(parse_decimal, "4294967296");
    refuses(parse_decimal, "4294967300");
    refuses(parse_decimal, "42949672950");
    refuses(parse_decimal, "18446744073709551617");
    refuses(parse_decimal, "12a");
    refuses(parse_decimal, "a");
    refuses(parse_decimal, "0x10");
}

static void test_hex(void **state)
{
    (void)state;
    accepts(parse_hex, "0", 0);
    accepts(parse_hex, "0x0", 0);
    accepts(parse_hex, "f", 15);
    accepts(parse_hex, "10", 16);
    accepts(parse_hex, "0x18000000", 0x18000000);
    accepts(parse_hex, "0XdeadBEEF", 0xdeadbeef);
    accepts(parse_hex, "abcdef", 0xabcdef);
    accepts(parse_hex, "ABCDEF", 0xabcdef);
    accepts(parse_hex, "0x000000000000000ffffffff", UINT32_MAX);
    accepts(parse_hex, "ffffffff", UINT32_MAX);
    refuses(parse_hex, "100000000");
    refuses(parse_hex, "0x1ffffffff");
    refuses(parse_hex, "0x");
    refuses(parse_hex, "x1");
    refuses(parse_hex, "0x0x1");
    refuses(parse_hex, "1x0");
    refuses(parse_hex, "g");
    refuses(parse_hex, "0xG");
}

static void test_either(void **state)
{
    (void)state;
    accepts(parse_number, "10", 10);
    accepts(parse_number, "0x10", 16);
    accepts(parse_number, "0X1f", 31);
    accepts(parse_number, "010", 10);
    accepts(parse_number, "4294967295", UINT32_MAX);
    accepts(parse_number, "0xffffffff", UINT32_MAX);
    refuses(parse_number, "4294967296");
    refuses(parse_number, "0x100000000");
    refuses(parse_number, "1f");
    refuses(parse_number, "0x");
    refuses(parse_number, "x10");
}

/* What no parser takes. */
static void test_refused_by_all(void **state)
{
    static parser *const parsers[] = { parse_decimal, parse_hex, parse_number };
    static const char *const texts[] = {
        "",
        " ",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1\n",
        "1\t",
        "1.0",
        "1,0",
        "1_0",
        "-",
        "--",
        "1-1",
        "\xe9"
        "1",
    };

    (void)state;
    for (size_t p = 0; p < ARRAY_SIZE(parsers); p++) {
        for (size_t t = 0; t < ARRAY_SIZE(texts); t++)
            refuses(parsers[p], texts[t]);
    }
}

/* Of all single characters only the digits are numbers. */
static void test_every_character(void **state)
{
    (void)state;
    for (int c = 1; c < 256; c++) {
        char text[2] = { (char)c, '\0' };
        char *end;
        unsigned long value = strtoul(text, &end, 16);
        bool hex = *end == '\0' && end != text;

        if (hex)
            accepts(parse_hex, text, (uint32_t)value);
        else
            refuses(parse_hex, text);
        if (hex && value < 10)
            accepts(parse_decimal, text, (uint32_t)value);
        else
            refuses(parse_decimal, text);
    }
}

static void test_round_trip(void **state)
{
    uint32_t value = 1;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        char text[16];
        uint32_t number = value >> (i % 32);

        snprintf(text, sizeof(text), "%u", (unsigned)number);
        accepts(parse_decimal, text, number);
        accepts(parse_number, text, number);
        snprintf(text, sizeof(text), "0x%x", (unsigned)number);
        accepts(parse_number, text, number);
        accepts(parse_hex, text + 2, number);
        value = value * 1664525u + 1013904223u;
    }
}

static void test_alignment(void **state)
{
    (void)state;
    for (uint32_t alignment = 1; alignment <= 16; alignment *= 2) {
        for (uint32_t value = 0; value < 100; value++) {
            uint32_t down = value / alignment * alignment;
            uint32_t up = (value + alignment - 1) / alignment * alignment;

            assert_int_equal(round_down(value, alignment), down);
            assert_int_equal(round_up(value, alignment), up);
            assert_true(round_down64(value, alignment) == down);
            assert_true(round_up64(value, alignment) == up);
            assert_int_equal(is_aligned(value, alignment), value == down);
            assert_int_equal(is_aligned64(value, alignment), value == down);
        }
    }
    assert_int_equal(round_down(UINT32_MAX, 4096), 0xfffff000);
    assert_int_equal(round_up(0xfffff000, 4096), 0xfffff000);
    assert_int_equal(round_up(0xfffff001, 4096), 0);
    assert_int_equal(round_down(UINT32_MAX, 0x80000000), 0x80000000);
}

/* The upper half of a 64-bit number survives a mask made for 32 bits. */
static void test_alignment_above_4_gib(void **state)
{
    (void)state;
    assert_true(round_down64(0x123456789u, 4096u) == 0x123456000u);
    assert_true(round_up64(0x123456789u, 4096u) == 0x123457000u);
    assert_true(round_up64(0xffffffffu, 4096u) == 0x100000000u);
    assert_false(is_aligned64(0x100000001u, 4096u));
    assert_true(is_aligned64(0x100000000u, 0x100000000u));
    assert_false(is_aligned64(0x180000000u, 0x100000000u));
}

static void test_bits(void **state)
{
    uint32_t value = 1;

    (void)state;
    assert_false(is_power_of_two(0));
    assert_int_equal(count_bits(0), 0);
    assert_int_equal(count_bits(UINT32_MAX), 32);
    for (unsigned bit = 0; bit < 32; bit++) {
        uint32_t power = 1u << bit;

        assert_true(is_power_of_two(power));
        assert_int_equal(is_power_of_two(power | 1), bit == 0);
        assert_int_equal(is_power_of_two(power | 0x80000000u), bit == 31);
        assert_int_equal(lowest_bit(power), bit);
        assert_int_equal(lowest_bit(power | 0x80000000u), bit);
        assert_int_equal(highest_bit(power), bit);
        assert_int_equal(highest_bit(power | 1), bit);
        assert_int_equal(count_bits(power - 1), bit);

        uint32_t words[3] = { 7, power | 0x80000000u, 7 };
        assert_int_equal(clear_lowest_bit(&words[1]), bit == 31);
        assert_int_equal(words[1], bit == 31 ? 0 : 0x80000000u);
        assert_true(bit == 31 || clear_lowest_bit(&words[1]));
        assert_true(words[0] == 7 && words[1] == 0 && words[2] == 7);

        uint32_t word = ~power;
        assert_false(test_and_set_bit(&word, bit));
        assert_int_equal(word, 0xffffffffu);
        word = power;
        assert_true(test_and_set_bit(&word, bit));
        assert_int_equal(word, power);

        assert_false(subtract_borrows(&word, power));
        assert_int_equal(word, 0);
        assert_true(subtract_borrows(&word, power));
        assert_int_equal(word, 0u - power);
    }
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(count_bits(value), __builtin_popcount(value));
        value = value * 1664525u + 1013904223u;
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decimal),
        cmocka_unit_test(test_hex),
        cmocka_unit_test(test_either),
        cmocka_unit_test(test_refused_by_all),
        cmocka_unit_test(test_every_character),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_alignment_above_4_gib),
        cmocka_unit_test(test_bits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
