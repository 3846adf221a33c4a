/*
 * Reports: lines of items, wrapped and cut.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <lib/report.h>
#include "support.h"

static struct report report;

static void test_lines(void **state)
{
    (void)state;
    report_begin(&report);
    report_line(&report, "cpu");
    report_item(&report, "%s", "the   vendor");
    report_item(&report, "%u bits", 36u);
    report_line(&report, "none");
    report_line(&report, "last");
    report_item(&report, "tab\t, umlaut \xc3\xa4, %c", '\x7f');
    report_end(&report);
    assert_string_equal(report.text, "cpu the vendor, 36 bits\nnone\nlast tab?, umlaut ??, ?\n");
    assert_int_equal(report.length, strlen(report.text));
    assert_int_equal(report_lines(&report), 3);
}

static void test_empty(void **state)
{
    (void)state;
    report_begin(&report);
    report_end(&report);
    assert_string_equal(report.text, "");
    assert_int_equal(report_lines(&report), 0);
}

/* An item goes to the next line as a whole; one longer than a line is broken. */
static void test_wrapping(void **state)
{
    char wide[REPORT_COLUMNS + 1];

    (void)state;
    memset(wide, 'x', sizeof(wide));
    wide[REPORT_COLUMNS - 5] = '\0'; /* with "k", two blanks' room and a comma just one line */
    report_begin(&report);
    report_line(&report, "k");
    report_item(&report, "%s", wide);
    report_item(&report, "next");
    report_end(&report);
    char *second = strchr(report.text, '\n') + 1;
    assert_in_range(second - report.text, 1, REPORT_COLUMNS + 1);
    assert_string_equal(second, " next\n");

    memset(wide, 'y', REPORT_COLUMNS);
    wide[REPORT_COLUMNS] = '\0';
    report_begin(&report);
    report_line(&report, "k");
    report_item(&report, "%s", wide);
    report_end(&report);
    assert_int_equal(report_lines(&report), 2);
    assert_int_equal(report.length, 2 + REPORT_COLUMNS + 3); /* "k ", and a break with its blank */
}

/* Any text keeps the promises, and says when it was cut. */
static void test_random(void **state)
{
    struct prng prng = { 31 };
    uint32_t cuts = 0;

    (void)state;
    for (uint32_t round = 0; round < 2000; round++) {
        uint32_t items = prng_below(&prng, 60), written = 0;

        report_begin(&report);
        report_line(&report, "a");
        for (uint32_t i = 0; i < items; i++) {
            char item[200];
            uint32_t length = prng_below(&prng, prng_once_in(&prng, 10) ? 200 : 30);
            for (uint32_t j = 0; j < length; j++)
                item[j] = (char)(prng_next(&prng) | 1); /* neither NUL nor a blank */
            item[length] = '\0';
            report_item(&report, "%s", item);
            written += (length < 159 ? length : 159) + 1;
            if (prng_once_in(&prng, 4))
                report_line(&report, "line");
        }
        report_end(&report);

        bool cut =
            strlen(report.text) >= 6 && strcmp(strrchr(report.text, '(') ?: "", "(cut)\n") == 0;
        cuts += cut;
        assert_true(cut || report.length > written);
        assert_int_equal(report.length, strlen(report.text));
        assert_in_range(report.length, 1, REPORT_MAX);
        uint32_t column = 0;
        for (uint32_t i = 0; i < report.length; i++) {
            char c = report.text[i];
            assert_true(c == '\n' || (c >= ' ' && c <= '~'));
            column = c == '\n' ? 0 : column + 1;
            assert_in_range(column, 0, REPORT_COLUMNS);
        }
        assert_int_equal(column, 0);
    }
    assert_in_range(cuts, 100, 1900);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_wrapping),
        cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
