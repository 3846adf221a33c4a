/*
 * Formatted text, against the host's vsnprintf: a table of formats, then random conversions from a
 * fixed seed. Each text is formatted into blocks of every size from 0 up, so truncation is part of
 * every case, and AddressSanitizer sees any byte that is written too far.
 *
 * The helpers carry no format attribute: formats that the compiler would complain about are the
 * point of this test.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <lib/printf.h>

#pragma GCC diagnostic ignored "-Wformat-nonliteral"

#define TEXT_SIZE 512

/* The kernel's text is `expected`, and so is what is left of it in a buffer of any size. */
static void check_text(const char *expected, const char *format, va_list args)
{
    int length = (int)strlen(expected);

    for (int size = 0; size <= length + 2; size++) {
        size_t kept = size <= length ? (size_t)size : (size_t)length + 1;
        char *buffer = malloc((size_t)size);
        va_list copy;

        va_copy(copy, args);
        int result = kvsnprintf(size > 0 ? buffer : NULL, (size_t)size, format, copy);
        va_end(copy);
        if (result != length)
            fail_msg("\"%s\": length %d, not %d (\"%s\")", format, result, length, expected);
        if (size > 0 && (strncmp(buffer, expected, kept - 1) != 0 || buffer[kept - 1] != '\0'))
            fail_msg("\"%s\": \"%.*s\" in %d bytes, not \"%s\"", format, size, buffer, size,
                     expected);
        free(buffer);
    }
}

static void expect(const char *expected, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    check_text(expected, format, args);
    va_end(args);
}

static void same_as_host(const char *format, ...)
{
    char expected[TEXT_SIZE];
    va_list args;
    va_list copy;

    va_start(args, format);
    va_copy(copy, args);
    assert_in_range(vsnprintf(expected, sizeof(expected), format, copy), 0, TEXT_SIZE - 1);
    va_end(copy);
    check_text(expected, format, args);
    va_end(args);
}

static void test_plain_text(void **state)
{
    (void)state;
    expect("", "");
    expect("RoninOS", "RoninOS");
    expect("100%", "100%%");
    expect("%%", "%%%%");
    expect("a1b22c", "a%db%sc", 1, "22");
}

/* The variadic one is the same, up to the result of a text that was cut. */
static void test_ksnprintf(void **state)
{
    char buffer[8];

    (void)state;
    assert_int_equal(ksnprintf(buffer, sizeof(buffer), "%d-%s", 12, "abc"), 6);
    assert_string_equal(buffer, "12-abc");
    assert_int_equal(ksnprintf(buffer, sizeof(buffer), "%d-%s", 12, "abcdefgh"), 11);
    assert_string_equal(buffer, "12-abcd");
    assert_int_equal(ksnprintf(NULL, 0, "%d-%s", 12, "abc"), 6);
}

static void test_table(void **state)
{
    static const char *const formats[] = {
        "%d",     "%i",     "%u",      "%o",    "%x",     "%X",     "%c",       "%5d",
        "%-5d|",  "%05d",   "%+d",     "% d",   "%+ d",   "%-05d|", "%#o",      "%#x",
        "%#X",    "%#010x", "%-#10x|", "%.0d",  "%.d",    "%.5d",   "%8.5d",    "%-8.5d|",
        "%08.5d", "%+.3d",  "%#.3o",   "%#.0o", "%#.0x",  "%.0u",   "%5.0d",    "%12.10x",
        "%20d",   "%40u",   "%-40x|",  "%040o", "%.40d",  "%.40x",  "%#50.40x", "%+050d",
        "%hhd",   "%hhu",   "%hhx",    "%hho",  "%hd",    "%hu",    "%hX",      "%ho",
        "%ld",    "%lu",    "%lx",     "%zd",   "%zu",    "%zx",    "%td",      "%tx",
        "%-+8d|", "% 08d",  "%+-08d|", "%##x",  "%--5d|", "%3c",    "%-3c|",    "%00005d",
    };
    static const unsigned values[] = {
        0,   1,   7,     8,     9,      10,     42,          99,          100,         127,
        128, 255, 256,   999,   1000,   32767,  32768,       65535,       65536,       1000000000,
        -1u, -9u, -128u, -129u, -32768, -32769, 0x7fffffffu, 0x80000000u, 0xdeadbeefu, 0xcafeu,
    };

    (void)state;
    for (size_t f = 0; f < ARRAY_SIZE(formats); f++) {
        for (size_t v = 0; v < ARRAY_SIZE(values); v++) {
            /* As a string of bytes a %c of 0 cannot be compared; see test_characters. */
            if (strchr(formats[f], 'c') == NULL || (unsigned char)values[v] != 0)
                same_as_host(formats[f], values[v]);
        }
    }
}

static void test_64_bit(void **state)
{
    static const char *const formats[] = {
        "%lld", "%llu", "%llx", "%llX", "%llo", "%jd", "%ju", "%jx", "%#llo", "%#25llx", "%025lld",
    };
    static const uint64_t values[] = {
        0,
        1,
        UINT32_MAX,
        (uint64_t)UINT32_MAX + 1,
        4294967295999999999u,
        9999999999,
        10000000000,
        0x0000ffff00000000u,
        0x00010000ffffffffu,
        0x7fffffffffffffffu,
        0x8000000000000000u,
        0x123456789abcdef0u,
        UINT64_MAX,
        UINT64_MAX - 5,
        (uint64_t)-4294967296,
    };
    uint64_t power = 1;

    (void)state;
    for (size_t f = 0; f < ARRAY_SIZE(formats); f++) {
        for (size_t v = 0; v < ARRAY_SIZE(values); v++)
            same_as_host(formats[f], values[v]);
    }
    for (int digits = 1; digits < 20; digits++, power *= 10) {
        same_as_host("%llu %llu %lld", power, power - 1, -power);
        same_as_host("%d %llu %d", digits, power + 1, digits);
    }
}

static void test_stars(void **state)
{
    static const int numbers[] = { 0, 1, 4, 9, 33, -1, -4, -9, -33 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        same_as_host("%*d|", numbers[i], 1234);
        same_as_host("%-*d|", numbers[i], 1234);
        same_as_host("%0*d|", numbers[i], 1234);
        same_as_host("%.*d|", numbers[i], 1234);
        same_as_host("%.*s|", numbers[i], "text");
        for (size_t j = 0; j < ARRAY_SIZE(numbers); j++) {
            same_as_host("%*.*x|", numbers[i], numbers[j], 0xbeef);
            same_as_host("%0*.*d|", numbers[i], numbers[j], -17);
            same_as_host("%*.*s|", numbers[i], numbers[j], "text");
        }
    }
    expect("7", "%.*d", INT_MIN, 7);
}

static void test_strings(void **state)
{
    static const char *const texts[] = { "", "a", "heap", "a longer text of many words" };
    static const char bare[3] = { 'a', 'b', 'c' };
    char *block = malloc(sizeof(bare));

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        same_as_host("%s", texts[i]);
        same_as_host("[%10s][%-10s]", texts[i], texts[i]);
        same_as_host("[%.0s][%.s][%.3s][%8.2s][%-8.2s]", texts[i], texts[i], texts[i], texts[i],
                     texts[i]);
    }

    /* A precision keeps it from looking for a terminator. */
    assert_non_null(block);
    memcpy(block, bare, sizeof(bare));
    expect("abc", "%.3s", block);
    expect("   ab", "%5.2s", block);
    free(block);

    expect("(null)", "%s", NULL);
    expect("  (null)", "%8s", NULL);
    expect("(nu", "%.3s", NULL);
}

static void test_characters(void **state)
{
    char text[4];

    (void)state;
    for (int c = 1; c < 256; c++)
        same_as_host("%c", c);
    assert_int_equal(ksnprintf(text, sizeof(text), "a%cb", '\0'), 3);
    assert_memory_equal(text, "a\0b", 4);
}

static void test_pointers(void **state)
{
    (void)state;
    expect("0x00000000", "%p", NULL);
    expect("0x18000000", "%p", (void *)0x18000000);
    expect("0xdeadbeef", "%p", (void *)0xdeadbeef);
    expect("  0x0000beef", "%12p", (void *)0xbeef);
    expect("0x0000beef  |", "%-12p|", (void *)0xbeef);
    expect("  0x0000beef", "%#+012.3p", (void *)0xbeef);
    expect("0x00000001 2", "%p %d", (void *)1, 2);
}

static void test_unknown_is_copied(void **state)
{
    int written = 4711;

    (void)state;
    expect("%", "%");
    expect("50%", "50%");
    expect("%-08.3l", "%-08.3l");
    expect("%hh", "%hh");
    expect("%y 5", "%y %d", 5);
    expect("%-5.2lq 5", "%-5.2lq %d", 5);
    expect("%*k 5", "%*k %d", 3, 5);
    expect("%.-3d", "%.-3d", 5);
    expect("%f %e %a", "%f %e %a");
    expect("%n 4711", "%n %d", written);
    expect("%\n5", "%\n%d", 5);
    expect("%\xe9 5", "%\xe9 %d", 5);
    expect("%", "%5%");
}

/* What c, s and p make of lengths: nothing. */
static void test_ignored_lengths(void **state)
{
    (void)state;
    expect("x yy 0x00000003 4", "%lc %ls %hhp %d", 'x', "yy", (void *)3, 4);
}

struct pieces {
    char text[TEXT_SIZE];
    size_t used;
};

static void collect(void *arg, const char *text, size_t length)
{
    struct pieces *pieces = arg;

    assert_true(length > 0);
    assert_true(length < sizeof(pieces->text) - pieces->used);
    memcpy(pieces->text + pieces->used, text, length);
    pieces->used += length;
}

static void count_only(void *arg, const char *text, size_t length)
{
    uint64_t *total = arg;

    (void)text;
    *total += length;
}

static int print_to(print_sink *sink, void *arg, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int result = kvprintf_to(sink, arg, format, args);
    va_end(args);
    return result;
}

static void test_sink(void **state)
{
    struct pieces pieces = { .used = 0 };

    (void)state;
    assert_int_equal(print_to(collect, &pieces, "<%s|%5d|%-5x|%%|%p|%s>", "", 7, 7, NULL, "end"),
                     31);
    assert_string_equal(pieces.text, "<|    7|7    |%|0x00000000|end>");
}

/* Widths that no buffer holds: numbers are clamped, the length stays at INT_MAX. */
static void test_huge_width(void **state)
{
    uint64_t total = 0;

    (void)state;
    assert_int_equal(print_to(count_only, &total, "%99999999999999999999d%s", 1, "more"), INT_MAX);
    assert_true(total == (uint64_t)INT_MAX + 4);
    total = 0;
    assert_int_equal(print_to(count_only, &total, "%*d", INT_MIN, 1), INT_MAX);
    assert_true(total == INT_MAX);
    total = 0;
    assert_int_equal(print_to(count_only, &total, "%#.*x", INT_MAX, 1), INT_MAX);
    assert_true(total == (uint64_t)INT_MAX + 2);
}

static uint32_t random_state = 20240229;

/* xorshift32: the same sequence on every machine. */
static uint32_t random_number(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

static uint32_t random_below(uint32_t limit)
{
    return random_number() % limit;
}

/* Values of every magnitude, not only huge ones. */
static uint64_t random_value(void)
{
    uint64_t value = (uint64_t)random_number() << 32 | random_number();

    value >>= random_below(64);
    return random_below(3) == 0 ? -value : value;
}

/*
 * Appends a width or a precision: none, a number or a star, whose argument goes to `star`. Returns
 * how many arguments it takes.
 */
static int random_field(char *format, const char *before, int *star)
{
    switch (random_below(3)) {
    case 0:
        return 0;
    case 1:
        sprintf(format + strlen(format), "%s%u", before, 1 + random_below(30));
        return 0;
    default:
        *star = (int)random_below(61) - 30;
        strcat(strcat(format, before), "*");
        return 1;
    }
}

/* Calls same_as_host with the stars' arguments before the value. */
#define WITH_STARS(format, count, stars, value)                                                    \
    do {                                                                                           \
        if ((count) == 0)                                                                          \
            same_as_host((format), (value));                                                       \
        else if ((count) == 1)                                                                     \
            same_as_host((format), (stars)[0], (value));                                           \
        else                                                                                       \
            same_as_host((format), (stars)[0], (stars)[1], (value));                               \
    } while (0)

static void random_conversion(void)
{
    static const char *const lengths[] = { "hh", "h", "", "l", "z", "t", "ll", "j" };
    static const char *const texts[] = { "", "a", "kernel", "0123456789012345678901234567890123" };
    char format[64] = "<%";
    char conversion = "diuoxXs"[random_below(7)];
    uint32_t length = random_below(ARRAY_SIZE(lengths));
    int stars[2] = { 0, 0 };
    int count;

    /* What the flags 0 and # do to %s C99 leaves open. */
    for (uint32_t flags = random_below(4); flags > 0; flags--)
        strncat(format, &"-+ 0#"[random_below(conversion == 's' ? 3 : 5)], 1);
    count = random_field(format, "", &stars[0]);
    count += random_field(format, ".", &stars[count]);
    if (conversion != 's')
        strcat(format, lengths[length]);
    sprintf(format + strlen(format), "%c>", conversion);

    uint64_t value = random_value();
    if (conversion == 's')
        WITH_STARS(format, count, stars, texts[random_below(ARRAY_SIZE(texts))]);
    else if (length >= 6)
        WITH_STARS(format, count, stars, value);
    else
        WITH_STARS(format, count, stars, (uint32_t)value);
}

static void test_random(void **state)
{
    (void)state;
    for (int i = 0; i < 50000; i++)
        random_conversion();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_text),
        cmocka_unit_test(test_ksnprintf),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_64_bit),
        cmocka_unit_test(test_stars),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_characters),
        cmocka_unit_test(test_pointers),
        cmocka_unit_test(test_unknown_is_copied),
        cmocka_unit_test(test_ignored_lengths),
        cmocka_unit_test(test_sink),
        cmocka_unit_test(test_huge_width),
        cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
