/*
 * tokenize(): words, quotes, comments and errors; and that no input makes it leave its line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <shell/tokenize.h>
#include <lib/string.h>

#define MAX_WORDS 4

/* Splits a copy of `text` and joins the words by '|', or gives the error as "-1" or "-2". */
static const char *split(const char *text)
{
    static char joined[128];
    char line[64];
    char *words[MAX_WORDS];

    memcpy(line, text, strlen(text) + 1);
    int count = tokenize(line, words, MAX_WORDS);
    if (count < 0)
        return count == TOKENIZE_TOO_MANY ? "-1" : "-2";
    joined[0] = '\0';
    for (int i = 0; i < count; i++) {
        size_t length = strlen(joined);
        size_t size = strlen(words[i]);
        memcpy(joined + length, words[i], size);
        joined[length + size] = '|';
        joined[length + size + 1] = '\0';
    }
    return joined;
}

static void words_are_split_at_blanks(void **state)
{
    (void)state;
    assert_string_equal(split(""), "");
    assert_string_equal(split(" \t "), "");
    assert_string_equal(split("help"), "help|");
    assert_string_equal(split("  map 0x1000\t2000  ro "), "map|0x1000|2000|ro|");
    assert_string_equal(split("größe ü"), "größe|ü|");
}

static void quotes_group(void **state)
{
    (void)state;
    assert_string_equal(split("echo 'a  b' \"c d\""), "echo|a  b|c d|");
    assert_string_equal(split("a'b c'd\"e f\"g"), "ab cde fg|");
    assert_string_equal(split("'' \"\" x"), "|"
                                            "|"
                                            "x|");
    assert_string_equal(split("'a\"b' \"c'd\""), "a\"b|c'd|");
    assert_string_equal(split("''"), "|");
}

static void backslash_escapes_outside_and_in_double_quotes(void **state)
{
    (void)state;
    assert_string_equal(split("a\\ b \\'c \\\\"), "a b|'c|\\|");
    assert_string_equal(split("\"a\\\"b\\\\\" '\\n'"), "a\"b\\|\\n|");
    assert_string_equal(split("\\#x"), "#x|");
}

static void a_comment_begins_at_a_word(void **state)
{
    (void)state;
    assert_string_equal(split("# all of it"), "");
    assert_string_equal(split("a #b c 'd"), "a|");
    assert_string_equal(split("a#b '#c'"), "a#b|#c|");
}

static void errors_have_numbers(void **state)
{
    (void)state;
    assert_string_equal(split("1 2 3 4"), "1|2|3|4|");
    assert_string_equal(split("1 2 3 4 # 5"), "1|2|3|4|");
    assert_string_equal(split("1 2 3 4 5"), "-1");
    assert_string_equal(split("a 'b"), "-2");
    assert_string_equal(split("a \"b"), "-2");
    assert_string_equal(split("a \"b\\"), "-2");
    assert_string_equal(split("a\\"), "-2");

    char line[] = "a";
    assert_int_equal(tokenize(line, NULL, 0), TOKENIZE_TOO_MANY);
    char empty[] = "";
    assert_int_equal(tokenize(empty, NULL, 0), 0);
}

/* Every line of up to six of the characters that matter; the sanitizer watches the edges. */
static void every_short_line_stays_in_bounds(void **state)
{
    static const char alphabet[] = "a '\"\\#";

    (void)state;
    for (size_t length = 0; length <= 6; length++) {
        size_t lines = 1;
        for (size_t i = 0; i < length; i++)
            lines *= 6;
        for (size_t n = 0; n < lines; n++) {
            char *line = test_malloc(length + 1);
            char *words[8];
            size_t rest = n;
            for (size_t i = 0; i < length; i++, rest /= 6)
                line[i] = alphabet[rest % 6];
            line[length] = '\0';
            int count = tokenize(line, words, 8);
            assert_in_range(count + 2, 0, 2 + (length + 1) / 2);
            for (int i = 0; i < count; i++)
                assert_true(words[i] >= line && words[i] + strlen(words[i]) <= line + length);
            test_free(line);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_split_at_blanks),
        cmocka_unit_test(quotes_group),
        cmocka_unit_test(backslash_escapes_outside_and_in_double_quotes),
        cmocka_unit_test(a_comment_begins_at_a_word),
        cmocka_unit_test(errors_have_numbers),
        cmocka_unit_test(every_short_line_stays_in_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
