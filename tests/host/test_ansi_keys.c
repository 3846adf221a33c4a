/*
 * ansi_decode(): what terminals send, what lines do to it, and that no key is lost or made up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <drivers/ansi_keys.h>
#include <lib/string.h>
#include <panic.h>

#define MAX_KEYS 64

_Noreturn void panic(const char *format, ...)
{
    fail_msg("panic: %s", format);
    __builtin_unreachable();
}

static uint32_t keys[MAX_KEYS];
static size_t key_count;

static void feed(struct ansi_decoder *decoder, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        uint32_t key = ansi_decode(decoder, (uint8_t)bytes[i]);
        if (key != KEY_NONE && key_count < MAX_KEYS)
            keys[key_count++] = key;
    }
}

/* Decodes a string from the initial state into `keys`. */
static void decode(const char *bytes)
{
    struct ansi_decoder decoder = { 0 };

    key_count = 0;
    feed(&decoder, bytes, strlen(bytes));
}

/* The bytes give this key, and the character behind them is not lost. */
static void assert_key(const char *bytes, uint32_t key)
{
    char line[32];

    memcpy(line, bytes, strlen(bytes));
    memcpy(line + strlen(bytes), "x", 2);
    decode(line);
    if (key == KEY_NONE) {
        assert_int_equal(key_count, 1);
        assert_int_equal(keys[0], 'x');
        return;
    }
    assert_int_equal(key_count, 2);
    assert_int_equal(keys[0], key);
    assert_int_equal(keys[1], 'x');
}

/* The bytes give this ASCII text. */
static void assert_text(const char *bytes, const char *text)
{
    decode(bytes);
    assert_int_equal(key_count, strlen(text));
    for (size_t i = 0; i < key_count; i++)
        assert_int_equal(keys[i], text[i]);
}

static void cursor_keys(void **state)
{
    static const struct {
        const char *tail;
        uint32_t key;
    } finals[] = {
        { "A", KEY_UP },   { "B", KEY_DOWN }, { "C", KEY_RIGHT },
        { "D", KEY_LEFT }, { "H", KEY_HOME }, { "F", KEY_END },
    };
    static const char *const prefixes[] = { "\033[", "\033O", "\033[1;5", "\033[1;2", "\033O5" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(finals); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(prefixes); j++) {
            char bytes[16];
            memcpy(bytes, prefixes[j], strlen(prefixes[j]));
            memcpy(bytes + strlen(prefixes[j]), finals[i].tail, 2);
            assert_key(bytes, finals[i].key);
        }
    }
}

static void numbered_keys(void **state)
{
    (void)state;
    assert_key("\033[1~", KEY_HOME);
    assert_key("\033[7~", KEY_HOME);
    assert_key("\033[4~", KEY_END);
    assert_key("\033[8~", KEY_END);
    assert_key("\033[2~", KEY_INSERT);
    assert_key("\033[3~", KEY_DELETE);
    assert_key("\033[3;5~", KEY_DELETE);
    assert_key("\033[5~", KEY_PAGE_UP);
    assert_key("\033[6~", KEY_PAGE_DOWN);
    assert_key("\033[6;2~", KEY_PAGE_DOWN);
}

static void function_keys(void **state)
{
    static const char *const vt220[] = { "11", "12", "13", "14", "15", "17",
                                         "18", "19", "20", "21", "23", "24" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(vt220); i++) {
        char bytes[] = "\033[00~";
        memcpy(bytes + 2, vt220[i], 2);
        assert_key(bytes, KEY_F1 + i);
    }
    assert_key("\033OP", KEY_F1);
    assert_key("\033OS", KEY_F4);
    assert_key("\033[1;5Q", KEY_F2);
    assert_key("\033[[A", KEY_F1);
    assert_key("\033[[E", KEY_F5);
    assert_key("\033[16~", KEY_NONE);
    assert_key("\033[22~", KEY_NONE);
    assert_key("\033[25~", KEY_NONE);
}

static void every_line_end_is_one_enter(void **state)
{
    (void)state;
    assert_text("a\rb", "a\nb");
    assert_text("a\nb", "a\nb");
    assert_text("a\r\nb", "a\nb");
    assert_text("\r\r\n\n", "\n\n\n");
    assert_text("\n\r\n\r", "\n\n\n");
    assert_text("\rx\n", "\nx\n");
    assert_text("\r\033[99z\n", "\n\n");
}

static void control_characters_come_through(void **state)
{
    (void)state;
    assert_text("\x01\x03\t\x1a", "\x01\x03\t\x1a");
    assert_text("\b\x7f", "\b\b");

    struct ansi_decoder decoder = { 0 };
    key_count = 0;
    feed(&decoder, "\0x", 2);
    assert_int_equal(key_count, 1);
}

static void utf8_is_decoded(void **state)
{
    (void)state;
    assert_key("ü", 0xfc);
    assert_key("€", 0x20ac);
    assert_key("\xf0\x9f\x98\x80", 0x1f600);
    assert_key("\xf4\x8f\xbf\xbf", 0x10ffff);
}

static void broken_utf8_is_dropped_alone(void **state)
{
    (void)state;
    assert_text("\xc3x", "x");                 /* cut short by ASCII */
    assert_text("\xe2\x82\r\n", "\n");         /* cut short by Enter */
    assert_text("\xf0\x9f\x98x", "x");         /* cut short late */
    assert_text("\x80\xbfx", "x");             /* continuation bytes alone */
    assert_text("\xc0\xafx", "x");             /* overlong '/' */
    assert_text("\xe0\x80\xafx", "x");         /* the same, longer */
    assert_text("\xf0\x80\x80\xafx", "x");     /* and longer */
    assert_text("\xed\xa0\x80x", "x");         /* a surrogate */
    assert_text("\xf4\x90\x80\x80x", "x");     /* past the last code point */
    assert_text("\xf8\x88\x80\x80\x80x", "x"); /* five bytes */
    assert_text("\xff\xfex", "x");
    assert_key("\xc3\xc3\xbc", 0xfc);     /* cut short by another character */
    assert_key("\xc3\033[A\xbc", KEY_UP); /* not put together around a sequence */
    assert_key("\xc3\033[A", KEY_UP);     /* cut short by a sequence */
}

static void a_sequence_forgets_the_one_before(void **state)
{
    (void)state;
    decode("\033[5~\033[A\033[3;5~\033[~");
    assert_int_equal(key_count, 3);
    assert_int_equal(keys[0], KEY_PAGE_UP);
    assert_int_equal(keys[1], KEY_UP);
    assert_int_equal(keys[2], KEY_DELETE);
}

static void unknown_sequences_are_swallowed(void **state)
{
    (void)state;
    assert_key("\033[Z", KEY_NONE);
    assert_key("\033[200~", KEY_NONE);
    assert_key("\033[?25h", KEY_NONE);
    assert_key("\033[?A", KEY_NONE);
    assert_key("\033[>0;1;2c", KEY_NONE);
    assert_key("\033[1 q", KEY_NONE);
    assert_key("\033[24;80R", KEY_NONE); /* a cursor report, not F3 */
    assert_key("\033Oz", KEY_NONE);
    assert_key("\033[[z", KEY_NONE);
    assert_key("\033[;;;;;;;;;;;;;;;;A", KEY_UP);
}

static void a_lone_escape_costs_nothing(void **state)
{
    (void)state;
    assert_text("\033q", "q");
    assert_text("\033\033q", "q");
    assert_text("\033\r", "\n");
    assert_text("\033\x03", "\x03");
    assert_text("\033\x7f", "\b");
    assert_key("\033\033[A", KEY_UP); /* Alt with a cursor key */
    assert_key("\033ü", 0xfc);
}

static void an_unfinished_sequence_loses_nothing(void **state)
{
    (void)state;
    assert_text("\033[\rls", "\nls");
    assert_text("\033[12;3\x03ls", "\x03ls");
    assert_text("\033O\nls", "\nls");
    assert_text("\033[[\bls", "\bls");
    assert_key("\033[1;\033[B", KEY_DOWN);
    assert_key("\033[ü", 0xfc);
}

static void an_endless_number_does_no_harm(void **state)
{
    struct ansi_decoder decoder = { 0 };

    (void)state;
    key_count = 0;
    feed(&decoder, "\033[", 2);
    for (int i = 0; i < 100000; i++)
        feed(&decoder, "1", 1);
    feed(&decoder, "~ok", 3);
    assert_int_equal(key_count, 2);
    assert_key("\033[65537~", KEY_NONE); /* not 1 in 16 bits */
    assert_key("\033[4294967299~", KEY_NONE);
    assert_key("\033[1;99999999999999999999A", KEY_UP);
}

/* After any garbage one Enter brings the decoder back, and keys stay in range. */
static void garbage_never_jams_the_decoder(void **state)
{
    static const char likely[] = "\033[O~;19A\r\n\xc3\xe2\x82";
    struct ansi_decoder decoder = { 0 };
    uint32_t seed = 1;

    (void)state;
    for (int i = 0; i < 200000; i++) {
        seed = seed * 1664525 + 1013904223;
        uint32_t pick = seed >> 16;
        uint8_t byte = pick & 1 ? (uint8_t)likely[pick / 2 % (sizeof(likely) - 1)] : pick >> 8;
        uint32_t key = ansi_decode(&decoder, byte);
        assert_true(key <= KEY_F12);
        assert_true(key != 0x7f && key != '\r' && key != 0x1b);
        if (i % 64 == 0) {
            ansi_decode(&decoder, '\r');
            assert_int_equal(ansi_decode(&decoder, 'k'), 'k');
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cursor_keys),
        cmocka_unit_test(numbered_keys),
        cmocka_unit_test(function_keys),
        cmocka_unit_test(every_line_end_is_one_enter),
        cmocka_unit_test(control_characters_come_through),
        cmocka_unit_test(utf8_is_decoded),
        cmocka_unit_test(broken_utf8_is_dropped_alone),
        cmocka_unit_test(a_sequence_forgets_the_one_before),
        cmocka_unit_test(unknown_sequences_are_swallowed),
        cmocka_unit_test(a_lone_escape_costs_nothing),
        cmocka_unit_test(an_unfinished_sequence_loses_nothing),
        cmocka_unit_test(an_endless_number_does_no_harm),
        cmocka_unit_test(garbage_never_jams_the_decoder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
