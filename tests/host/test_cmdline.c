/*
 * The kernel command line: what each word does, and what hostile text does not.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <cmdline.h>

/* What was reported, each word with a '|' behind it. */
struct report {
    char words[512];
    size_t used;
    unsigned count;
};

static void note_unknown(void *arg, const char *word)
{
    struct report *report = arg;
    size_t length = strlen(word);

    assert_in_range(length, 1, CMDLINE_WORD_SIZE - 1);
    for (size_t i = 0; i < length; i++)
        assert_in_range(word[i], '!', '~');
    report->count++;
    if (report->used + length + 2 <= sizeof(report->words)) {
        memcpy(report->words + report->used, word, length);
        report->used += length;
        report->words[report->used++] = '|';
        report->words[report->used] = '\0';
    }
}

/* Parses a copy that ends where its heap block ends: AddressSanitizer sees a byte read beyond. */
static void parse(const char *text, struct cmdline *out, struct report *report)
{
    size_t size = strlen(text) + 1;
    char *block = malloc(size);

    assert_non_null(block);
    memcpy(block, text, size);
    memset(out, 0xa5, sizeof(*out));
    memset(report, 0, sizeof(*report));
    cmdline_parse(block, out, note_unknown, report);
    free(block);
}

static void expect(const char *text, bool selftest, bool serial_only, const char *keymap,
                   const char *unknown)
{
    struct cmdline cmdline;
    struct report report;

    parse(text, &cmdline, &report);
    assert_int_equal(cmdline.selftest, selftest);
    assert_int_equal(cmdline.serial_only, serial_only);
    assert_string_equal(cmdline.keymap, keymap);
    assert_string_equal(report.words, unknown);
}

static void test_defaults(void **state)
{
    struct cmdline cmdline;

    (void)state;
    expect("", false, false, "us", "");
    expect("   \t \r\n ", false, false, "us", "");
    memset(&cmdline, 0xa5, sizeof(cmdline));
    cmdline_parse(NULL, &cmdline, note_unknown, NULL);
    assert_false(cmdline.selftest);
    assert_false(cmdline.serial_only);
    assert_string_equal(cmdline.keymap, "us");
}

static void test_each_word(void **state)
{
    (void)state;
    expect("selftest", true, false, "us", "");
    expect("console=serial", false, true, "us", "");
    expect("keymap=us", false, false, "us", "");
    expect("keymap=de", false, false, "de", "");
}

static bool pit_off(const char *text)
{
    struct cmdline cmdline;
    struct report report;

    parse(text, &cmdline, &report);
    return cmdline.pit_off;
}

static void test_pit_off(void **state)
{
    (void)state;
    assert_true(pit_off("pit=off"));
    assert_true(pit_off("selftest pit=off keymap=de"));
    assert_false(pit_off(""));
    assert_false(pit_off("selftest"));
    assert_false(pit_off("pit pit= pit=of pit=offf pit=on PIT=off"));
    expect("pit=off pit=on selftest", true, false, "us", "pit=on|");
}

static bool small_off(const char *text)
{
    struct cmdline cmdline;
    struct report report;

    parse(text, &cmdline, &report);
    return cmdline.small_off;
}

static void test_small_off(void **state)
{
    (void)state;
    assert_true(small_off("small=off"));
    assert_true(small_off("pit=off small=off selftest"));
    assert_false(small_off(""));
    assert_false(small_off("pit=off"));
    assert_false(small_off("small small= small=of small=offf small=on SMALL=off"));
    assert_false(pit_off("small=off"));
    expect("small=off small=on selftest", true, false, "us", "small=on|");
}

static void expect_starve(const char *text, uint32_t at, bool all, const char *unknown)
{
    struct cmdline cmdline;
    struct report report;

    parse(text, &cmdline, &report);
    assert_int_equal(cmdline.starve, at);
    assert_int_equal(cmdline.starve_all, all);
    assert_string_equal(report.words, unknown);
}

static void test_starve(void **state)
{
    (void)state;
    expect_starve("", 0, false, "");
    expect_starve("starve=1", 1, false, "");
    expect_starve("selftest starve=9999999,forever small=off", 9999999, true, "");
    expect_starve("starve=7,forever starve=8", 8, false, "");
    expect_starve("starve=0", 0, false, "starve=0|");
    expect_starve("starve=5 starve=10000000", 5, false, "starve=10000000|");
    expect_starve("starve starve= starve=,forever", 0, false, "starve|starve=|starve=,forever|");
    expect_starve("starve=1,ever starve=1forever", 0, false, "starve=1,ever|starve=1forever|");
    expect_starve("starve=-1 starve=0x1 Starve=1", 0, false, "starve=-1|starve=0x1|Starve=1|");
    expect_starve("starve=123456789", 0, false, "starve=123456789|"); /* as long as 1,forever */
}

static void test_any_order_and_blanks(void **state)
{
    (void)state;
    expect("selftest keymap=de console=serial", true, true, "de", "");
    expect("console=serial selftest keymap=de", true, true, "de", "");
    expect("  keymap=de\tconsole=serial   selftest\n", true, true, "de", "");
    expect("selftest selftest", true, false, "us", "");
}

static void test_last_keymap_wins(void **state)
{
    (void)state;
    expect("keymap=de keymap=us", false, false, "us", "");
    expect("keymap=us keymap=de", false, false, "de", "");
    expect("keymap=de keymap=fr", false, false, "de", "keymap=fr|");
}

static void test_unknown_words(void **state)
{
    (void)state;
    expect("quiet", false, false, "us", "quiet|");
    expect("quiet selftest splash", true, false, "us", "quiet|splash|");
    expect("keymap= keymap keymap=d keymap=dee keymap=DE", false, false, "us",
           "keymap=|keymap|keymap=d|keymap=dee|keymap=DE|");
    expect("selftes selftestx Selftest =selftest selftest=1", false, false, "us",
           "selftes|selftestx|Selftest|=selftest|selftest=1|");
    expect("console=vga console=serial,selftest console=", false, false, "us",
           "console=vga|console=serial,selftest|console=|");
}

static void test_nobody_listens(void **state)
{
    struct cmdline cmdline;

    (void)state;
    cmdline_parse("nonsense selftest more", &cmdline, NULL, NULL);
    assert_true(cmdline.selftest);
}

static void test_control_bytes_are_replaced(void **state)
{
    (void)state;
    expect("\x1b[2Jevil", false, false, "us", "?[2Jevil|");
    expect("a\x01\x7f\x80\xffz", false, false, "us", "a????z|");
    expect("selftest\x07", false, false, "us", "selftest?|");
    expect("}~ !", false, false, "us", "}~|!|");
    expect("a\vb\fc", false, false, "us", "a?b?c|");
}

/* Every length around the limit: whole up to CMDLINE_WORD_SIZE - 1, else cut with "...". */
static void test_long_words_are_cut(void **state)
{
    struct cmdline cmdline;
    struct report report;

    (void)state;
    for (size_t length = 1; length < 3 * CMDLINE_WORD_SIZE; length++) {
        char text[3 * CMDLINE_WORD_SIZE + 16] = { 0 };
        char expected[CMDLINE_WORD_SIZE + 2] = { 0 };

        memset(text, 'w', length);
        strcat(text, " keymap=de");
        if (length < CMDLINE_WORD_SIZE) {
            memset(expected, 'w', length);
        } else {
            memset(expected, 'w', CMDLINE_WORD_SIZE - 4);
            strcat(expected, "...");
        }
        strcat(expected, "|");
        parse(text, &cmdline, &report);
        assert_string_equal(report.words, expected);
        assert_string_equal(cmdline.keymap, "de");
    }
}

static void test_huge_word(void **state)
{
    size_t length = 1 << 20;
    char *text = malloc(length + 1);
    struct cmdline cmdline;
    struct report report;

    (void)state;
    assert_non_null(text);
    memset(text, '=', length);
    text[length] = '\0';
    parse(text, &cmdline, &report);
    assert_int_equal(report.count, 1);
    free(text);
}

/* Random bytes and pieces of real words: nothing but the sanitizers and note_unknown to judge. */
static void test_random_text(void **state)
{
    static const char *const pieces[] = { "selftest",       "keymap=", "us",        "de",
                                          "console=serial", "pit=off", "small=off", " " };
    struct cmdline cmdline;
    struct report report;
    uint32_t random = 1;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        char text[200] = "";

        for (int i = 0; i < 12; i++) {
            random = random * 1664525u + 1013904223u;
            char byte[2] = { (char)(random >> 16), '\0' };
            strcat(text, random >> 31 ? pieces[(random >> 8) % ARRAY_SIZE(pieces)] : byte);
        }
        parse(text, &cmdline, &report);
        assert_true(strcmp(cmdline.keymap, "us") == 0 || strcmp(cmdline.keymap, "de") == 0);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_each_word),
        cmocka_unit_test(test_pit_off),
        cmocka_unit_test(test_small_off),
        cmocka_unit_test(test_starve),
        cmocka_unit_test(test_any_order_and_blanks),
        cmocka_unit_test(test_last_keymap_wins),
        cmocka_unit_test(test_unknown_words),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_control_bytes_are_replaced),
        cmocka_unit_test(test_long_words_are_cut),
        cmocka_unit_test(test_huge_word),
        cmocka_unit_test(test_random_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
