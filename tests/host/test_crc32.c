/*
 * CRC-32 against published values and against the definition, one bit at a time.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include <lib/crc32.h>

static void test_known_values(void **state)
{
    static const struct {
        const char *text;
        uint32_t crc;
    } cases[] = {
        { "", 0x00000000 },
        { "a", 0xe8b7be43 },
        { "abc", 0x352441c2 },
        { "123456789", 0xcbf43926 },
        { "The quick brown fox jumps over the lazy dog", 0x414fa339 },
    };
    static const unsigned char zeros[32];
    unsigned char ones[32];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(crc32(0, cases[i].text, strlen(cases[i].text)), cases[i].crc);
    memset(ones, 0xff, sizeof(ones));
    assert_int_equal(crc32(0, zeros, sizeof(zeros)), 0x190a55ad);
    assert_int_equal(crc32(0, ones, sizeof(ones)), 0xff6cab0b);
}

static uint32_t crc_by_definition(const unsigned char *bytes, size_t length)
{
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < length; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
    }
    return ~crc;
}

static void test_every_byte(void **state)
{
    unsigned char bytes[256];

    (void)state;
    for (unsigned i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (unsigned char)i;
        assert_int_equal(crc32(0, &bytes[i], 1), crc_by_definition(&bytes[i], 1));
    }
    assert_int_equal(crc32(0, bytes, sizeof(bytes)), 0x29058c73);
    assert_int_equal(crc32(0, bytes, sizeof(bytes)), crc_by_definition(bytes, sizeof(bytes)));
}

/* In two pieces, cut anywhere, and byte by byte, it is the same as in one. */
static void test_pieces(void **state)
{
    static const char text[] = "RoninOS boots modules of any length";
    uint32_t whole = crc32(0, text, sizeof(text));
    uint32_t stepwise = 0;

    (void)state;
    for (size_t cut = 0; cut <= sizeof(text); cut++) {
        uint32_t first = crc32(0, text, cut);
        assert_int_equal(crc32(first, text + cut, sizeof(text) - cut), whole);
    }
    for (size_t i = 0; i < sizeof(text); i++)
        stepwise = crc32(stepwise, text + i, 1);
    assert_int_equal(stepwise, whole);
}

static void test_nothing(void **state)
{
    (void)state;
    assert_int_equal(crc32(0, NULL, 0), 0);
    assert_int_equal(crc32(0x12345678, NULL, 0), 0x12345678);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_values),
        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
