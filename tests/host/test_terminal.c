/*
 * The terminal: what text and sequences leave on the grid, the rule that backspaces undo writing,
 * the scrollback and its view, and which rows count as changed. And the code page of VGA text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <drivers/cp437.h>
#include <drivers/terminal.h>
#include <lib/string.h>
#include <log.h>
#include <panic.h>

static struct terminal t;
static struct terminal_cell *cells;
static jmp_buf panicked;

_Noreturn void panic(const char *format, ...)
{
    (void)format;
    longjmp(panicked, 1);
}

/* On the heap, so that the sanitizer sees the ends of the storage. */
static void make(unsigned columns, unsigned rows, unsigned scrollback)
{
    size_t count = TERMINAL_CELLS(columns, rows, scrollback);

    free(cells);
    cells = calloc(count, sizeof(*cells));
    assert_non_null(cells);
    terminal_init(&t, cells, columns, rows, scrollback);
}

static int setup(void **state)
{
    (void)state;
    make(20, 5, 10);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(cells);
    cells = NULL;
    return 0;
}

static void write_text(const char *text)
{
    terminal_write(&t, text, strlen(text));
}

static void repeat(const char *text, unsigned times)
{
    while (times-- > 0)
        write_text(text);
}

/* A row without the blanks at its end; characters past ASCII as '?'. */
static const char *row_text(unsigned row)
{
    static char text[TERMINAL_COLUMNS_MAX + 1];
    size_t length = 0;

    for (unsigned column = 0; column < t.columns; column++) {
        uint16_t character = terminal_cell(&t, row, column).character;
        text[column] = character < 0x7f ? (char)character : '?';
        if (character != ' ')
            length = column + 1;
    }
    text[length] = '\0';
    return text;
}

static void assert_rows(const char *const expected[5])
{
    for (unsigned row = 0; row < 5; row++)
        assert_string_equal(row_text(row), expected[row]);
}

#define ASSERT_ROWS(...) assert_rows((const char *const[5]){ __VA_ARGS__ })

static void assert_cursor(unsigned row, unsigned column)
{
    unsigned r, c;

    assert_true(terminal_cursor(&t, &r, &c));
    assert_int_equal(r, row);
    assert_int_equal(c, column);
}

static void text_and_line_ends(void **state)
{
    (void)state;
    write_text("one\ntwo\r\nthree\rT\afour");
    ASSERT_ROWS("one", "two", "Tfour", "", "");
    assert_cursor(2, 5);
    write_text("\nab\tx\t\tyz"); /* the tabs end at the last column, and y stays there */
    assert_string_equal(row_text(3), "ab      x          y");
    ASSERT_ROWS("one", "two", "Tfour", "ab      x          y", "z");
}

static void utf8_and_its_errors(void **state)
{
    static const uint16_t expected[] = u"aü€\ufffd|\ufffd|\ufffd\ufffdx";

    (void)state;
    write_text("a\xc3");
    write_text("\xbc€");             /* a character in two pieces */
    write_text("\xf0\x9f\x98\x80|"); /* past the BMP */
    write_text("\xe2\x82|");         /* cut short */
    write_text("\xc0\xaf\xffx");     /* overlong, and no byte of UTF-8 */
    for (unsigned i = 0; expected[i] != 0; i++)
        assert_int_equal(terminal_cell(&t, 0, i).character, expected[i]);
}

/*
 *     |12345678901234567890|   the cursor waits on the last 0
 *     |x                   |
 */
static void the_wrap_is_deferred(void **state)
{
    (void)state;
    write_text("12345678901234567890");
    assert_cursor(0, 19);
    write_text("x");
    ASSERT_ROWS("12345678901234567890", "x", "", "", "");
    assert_cursor(1, 1);
    write_text("\r12345678901234567890\nnext"); /* a full row and its \n are one row */
    ASSERT_ROWS("12345678901234567890", "12345678901234567890", "next", "", "");
}

static void backspace_steps_over_the_edge(void **state)
{
    (void)state;
    write_text("1234567890123456789X\bY");
    assert_string_equal(row_text(0), "1234567890123456789Y");
    write_text("Z\b\bW");
    ASSERT_ROWS("1234567890123456789W", "Z", "", "", "");
    write_text("\033[H\b\b");
    assert_cursor(0, 0);
}

/*
 * From every column and row, pending wrap included: N characters and N backspaces, and then the
 * next character stands where the first of the N was, however far the screen scrolled.
 */
static void n_backspaces_undo_n_characters(void **state)
{
    (void)state;
    for (unsigned row = 0; row < 5; row++) {
        for (unsigned before = 0; before <= 20; before++) {
            for (unsigned n = 1; n < 100 - 20; n++) {
                make(20, 5, row % 2 ? 0 : 7);
                repeat("\n", row);
                repeat("-", before);
                repeat("x", n);
                repeat("\b", n);
                write_text("@");

                unsigned end = row * 20 + before + n;
                unsigned scrolled = end > 100 ? (end - 100 + 19) / 20 : 0;
                unsigned at = (row - scrolled) * 20 + before;
                struct terminal_cell cell = terminal_cell(&t, at / 20, at % 20);
                assert_int_equal(cell.character, '@');
                if (before > 0 && at > 0)
                    assert_int_equal(terminal_cell(&t, (at - 1) / 20, (at - 1) % 20).character,
                                     '-');
                if (n > 1)
                    assert_int_equal(terminal_cell(&t, (at + 1) / 20, (at + 1) % 20).character,
                                     'x');
            }
        }
    }
}

static void the_cursor_moves_and_stops_at_the_edges(void **state)
{
    (void)state;
    write_text("\033[3;4H");
    assert_cursor(2, 3);
    write_text("\033[A\033[2C");
    assert_cursor(1, 5);
    write_text("\033[2B\033[3D");
    assert_cursor(3, 2);
    write_text("\033[9G");
    assert_cursor(3, 8);
    write_text("\033[99;99f");
    assert_cursor(4, 19);
    write_text("\033[99A\033[99D");
    assert_cursor(0, 0);
    write_text("\033[99B\033[99C");
    assert_cursor(4, 19);
    write_text("\033[H\033[65538G\033[65538B"); /* not 2 in 16 bits */
    assert_cursor(4, 19);
    write_text("\033[0;0H");
    assert_cursor(0, 0);
    write_text("\033[2;3H\033[s\033[H\033[u");
    assert_cursor(1, 2);
    write_text("\r12345678901234567890\033[1Dx"); /* a move ends the pending wrap */
    assert_string_equal(row_text(1), "123456789012345678x0");
}

static void erasing(void **state)
{
    static const struct {
        const char *sequence;
        const char *rows[5];
    } cases[] = {
        { "\033[K", { "aaaa", "bbbb", "cc", "dddd", "eeee" } },
        { "\033[1K", { "aaaa", "bbbb", "   c", "dddd", "eeee" } },
        { "\033[2K", { "aaaa", "bbbb", "", "dddd", "eeee" } },
        { "\033[J", { "aaaa", "bbbb", "cc", "", "" } },
        { "\033[1J", { "", "", "   c", "dddd", "eeee" } },
        { "\033[2J", { "", "", "", "", "" } },
        { "\033[7K\033[9J", { "aaaa", "bbbb", "cccc", "dddd", "eeee" } },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        make(20, 5, 0);
        write_text("aaaa\nbbbb\ncccc\ndddd\neeee\033[3;3H");
        write_text(cases[i].sequence);
        assert_rows(cases[i].rows);
        assert_cursor(2, 2);
    }
}

/* What stands where after inserting and deleting in the third of five rows. */
static void text_is_moved_about(void **state)
{
    static const struct {
        const char *sequence;
        const char *rows[5];
    } cases[] = {
        { "\033[@", { "aaaa", "bbbb", "cd ef", "gggg", "hhhh" } },
        { "\033[2@x", { "aaaa", "bbbb", "cdx ef", "gggg", "hhhh" } },
        { "\033[99@", { "aaaa", "bbbb", "cd", "gggg", "hhhh" } },
        { "\033[P", { "aaaa", "bbbb", "cdf", "gggg", "hhhh" } },
        { "\033[99P", { "aaaa", "bbbb", "cd", "gggg", "hhhh" } },
        { "\033[X", { "aaaa", "bbbb", "cd f", "gggg", "hhhh" } },
        { "\033[9999X", { "aaaa", "bbbb", "cd", "gggg", "hhhh" } },
        { "\033[L", { "aaaa", "bbbb", "", "cdef", "gggg" } },
        { "\033[2L", { "aaaa", "bbbb", "", "", "cdef" } },
        { "\033[9L", { "aaaa", "bbbb", "", "", "" } },
        { "\033[M", { "aaaa", "bbbb", "gggg", "hhhh", "" } },
        { "\033[2M", { "aaaa", "bbbb", "hhhh", "", "" } },
        { "\033[9M", { "aaaa", "bbbb", "", "", "" } },
        { "\033[S", { "bbbb", "cdef", "gggg", "hhhh", "" } },
        { "\033[9999S", { "", "", "", "", "" } },
        { "\033[2T", { "", "", "aaaa", "bbbb", "cdef" } },
        { "\033[E-", { "aaaa", "bbbb", "cdef", "-ggg", "hhhh" } },
        { "\033[F-", { "aaaa", "-bbb", "cdef", "gggg", "hhhh" } },
        { "\033[5d-", { "aaaa", "bbbb", "cdef", "gggg", "hh-h" } },
        { "\033[`-", { "aaaa", "bbbb", "-def", "gggg", "hhhh" } },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        make(20, 5, 3);
        write_text("aaaa\nbbbb\ncdef\ngggg\nhhhh\033[3;3H");
        write_text(cases[i].sequence);
        assert_rows(cases[i].rows);
    }
}

static void the_cursor_is_saved_with_its_colours(void **state)
{
    static const char *const pairs[][2] = { { "\0337", "\0338" }, { "\033[s", "\033[u" } };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        make(20, 5, 0);
        write_text("\033[2;3H\033[1;31m");
        write_text(pairs[i][0]);
        write_text("\033[5;5H\033[0;44mx");
        write_text(pairs[i][1]);
        write_text("y");
        assert_int_equal(terminal_cell(&t, 1, 2).character, 'y');
        assert_int_equal(terminal_cell(&t, 1, 2).attribute, 0x0c);
    }
    make(20, 5, 0);
    write_text("ab\0338c"); /* nothing saved: the place and the colours of the start */
    ASSERT_ROWS("cb", "", "", "", "");
    assert_int_equal(terminal_cell(&t, 0, 0).attribute, 0x07);
}

static void a_reset_begins_anew(void **state)
{
    (void)state;
    write_text("one\ntwo\033[?25l\033[31;44m\033cx");
    ASSERT_ROWS("x", "", "", "", "");
    assert_cursor(0, 1);
    assert_int_equal(terminal_cell(&t, 0, 0).attribute, 0x07);
    assert_int_equal(terminal_cell(&t, 4, 0).attribute, 0x07);
}

/* The attribute of a character after these renditions. */
static unsigned attribute_after(const char *sequences)
{
    write_text("\033[0m\r");
    write_text(sequences);
    write_text("x");
    return terminal_cell(&t, 0, 0).attribute;
}

static void colours_are_those_of_vga(void **state)
{
    (void)state;
    assert_int_equal(attribute_after(""), 0x07);
    assert_int_equal(attribute_after("\033[31m"), 0x04);
    assert_int_equal(attribute_after("\033[34;43m"), 0x61);
    assert_int_equal(attribute_after("\033[1;32m"), 0x0a);
    assert_int_equal(attribute_after("\033[1;32;22m"), 0x02);
    assert_int_equal(attribute_after("\033[7m"), 0x70);
    assert_int_equal(attribute_after("\033[7;27m"), 0x07);
    assert_int_equal(attribute_after("\033[7;1;31m"), 0xc0);
    assert_int_equal(attribute_after("\033[96;105m"), 0xdb);
    assert_int_equal(attribute_after("\033[31;44;39;49m"), 0x07);
    assert_int_equal(attribute_after("\033[31;1;7m\033[m"), 0x07);
    assert_int_equal(attribute_after("\033[31;;1m"), 0x0f);
    assert_int_equal(attribute_after("\033[5;4;99;31m"), 0x04);

    /* Larger palettes: the nearest of the sixteen; their arguments are no codes. */
    assert_int_equal(attribute_after("\033[38;5;1m"), 0x04);
    assert_int_equal(attribute_after("\033[38;5;12;48;5;3m"), 0x69);
    assert_int_equal(attribute_after("\033[38;5;41m"), 0x03);
    assert_int_equal(attribute_after("\033[38;5;196m"), 0x04);
    assert_int_equal(attribute_after("\033[38;5;231m"), 0x0f);
    assert_int_equal(attribute_after("\033[38;5;232;48;5;255m"), 0xf0);
    assert_int_equal(attribute_after("\033[38;2;80;90;250m"), 0x09);
    assert_int_equal(attribute_after("\033[48;2;0;160;10;1;31m"), 0x2c);
    assert_int_equal(attribute_after("\033[38;2;255;255;255;48;2;0;0;160m"), 0x1f);
    assert_int_equal(attribute_after("\033[38;5m"), 0x07);
    assert_int_equal(attribute_after("\033[38;5;256m"), 0x07);
    assert_int_equal(attribute_after("\033[38;2;1;2m"), 0x07);
    assert_int_equal(attribute_after("\033[38m"), 0x07);
    assert_int_equal(attribute_after("\033[38;3;31m"), 0x07);

    write_text("\033[0;44m\033[2J"); /* erased cells take the background */
    assert_int_equal(terminal_cell(&t, 4, 19).attribute, 0x17);
}

/* Single bytes that stand for colours, and end what was set before; they take no cell. */
static void styles_set_colours(void **state)
{
    (void)state;
    assert_int_equal(attribute_after("\033[1;7;44m" STYLE_TITLE), 0x0e);
    assert_int_equal(attribute_after(STYLE_GOOD), 0x0a);
    assert_int_equal(attribute_after(STYLE_BAD), 0x0c);
    assert_int_equal(attribute_after(STYLE_BAD STYLE_PLAIN), 0x07);
    make(20, 5, 0);
    write_text("a" STYLE_GOOD "b\033[3" STYLE_BAD "c");
    ASSERT_ROWS("abc", "", "", "", "");
}

static void unknown_sequences_leave_no_trace(void **state)
{
    static const char *const sequences[] = {
        "\033[5z",
        "\033[?2004h",
        "\033[>c",
        "\033[1 q",
        "\033(B",
        "\033=",
        "\033[38:5:1m",
        "\033[1;2;3;4;5;6;7;8;9;10;11;12m\033[m",
        "\033[;;;;;;;;;;;;;;;;m",
        "\033[99999999999999999999z",
        "\x7f\x01\xc2\x85",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sequences); i++) {
        make(20, 5, 0);
        write_text("ab");
        write_text(sequences[i]);
        write_text("cd");
        ASSERT_ROWS("abcd", "", "", "", "");
        assert_int_equal(terminal_cell(&t, 0, 3).attribute, 0x07);
    }
}

static void parameters_stay_in_their_array(void **state)
{
    (void)state;
    write_text("\033[1;2;3;4;5;6;7;8;9;10;11;12;13;14;15;16;17;18;99999m");
    assert_int_equal(t.parameter_count, TERMINAL_PARAMETERS);
    assert_int_equal(t.utf8.value, 0); /* what follows the array */
}

static void a_broken_sequence_cannot_eat_a_line(void **state)
{
    (void)state;
    write_text("a\033[12;\nb\033\nc\033[\033[31md\033[ü");
    ASSERT_ROWS("a", "b", "cd?", "", "");
    assert_int_equal(terminal_cell(&t, 2, 1).attribute, 0x04);
}

static void the_screen_scrolls_into_the_scrollback(void **state)
{
    (void)state;
    write_text("1\n2\n3\n4\n5\n6\n7");
    ASSERT_ROWS("3", "4", "5", "6", "7");
    terminal_scroll_view(&t, 1);
    ASSERT_ROWS("2", "3", "4", "5", "6");
    terminal_scroll_view(&t, 100);
    ASSERT_ROWS("1", "2", "3", "4", "5");
    terminal_scroll_view(&t, -1);
    ASSERT_ROWS("2", "3", "4", "5", "6");
    write_text("!");
    ASSERT_ROWS("3", "4", "5", "6", "7!");
    terminal_scroll_view(&t, 2147483647);
    ASSERT_ROWS("1", "2", "3", "4", "5");
    terminal_scroll_view(&t, -2147483647 - 1);
    ASSERT_ROWS("3", "4", "5", "6", "7!");
}

static void the_scrollback_forgets_its_oldest(void **state)
{
    (void)state;
    for (char c = 'a'; c <= 'z'; c++)
        terminal_write(&t, (char[]){ '\n', c }, 2);
    ASSERT_ROWS("v", "w", "x", "y", "z");
    terminal_scroll_view(&t, 99);
    ASSERT_ROWS("l", "m", "n", "o", "p"); /* ten lines back */

    repeat("long ago and forgotten\n", 15); /* lines that are used again are blank */
    repeat("\n", 5);
    ASSERT_ROWS("", "", "", "", "");
    repeat("\n", 15);
    ASSERT_ROWS("", "", "", "", "");

    make(20, 5, 0); /* no scrollback at all */
    write_text("1\n2\n3\n4\n5\n6");
    terminal_scroll_view(&t, 1);
    ASSERT_ROWS("2", "3", "4", "5", "6");
}

static void the_cursor_is_seen_through_the_view(void **state)
{
    unsigned row, column;

    (void)state;
    write_text("1\n2\n3\n4\n5\n6\n7\n8\033[2Aab");
    assert_cursor(2, 3);
    terminal_scroll_view(&t, 2);
    assert_cursor(4, 3);
    terminal_scroll_view(&t, 1);
    assert_false(terminal_cursor(&t, &row, &column));
    write_text("\033[?25l");
    assert_false(terminal_cursor(&t, &row, &column));
    write_text("\033[?25h");
    assert_cursor(2, 3);
}

/* Which rows changed, as a mask with row 0 in bit 0; they count as drawn afterwards. */
static unsigned take_dirty(void)
{
    unsigned mask = 0;

    for (unsigned row = 0; row < t.rows; row++) {
        bool expected = terminal_row_dirty(&t, row);
        assert_int_equal(terminal_take_dirty(&t, row), expected);
        assert_false(terminal_row_dirty(&t, row));
        mask |= (unsigned)expected << row;
    }
    return mask;
}

static void only_rows_that_changed_are_dirty(void **state)
{
    (void)state;
    assert_int_equal(take_dirty(), 0x1f);
    write_text("x");
    assert_int_equal(take_dirty(), 0x01);
    write_text("\n\b\033[H\033[31m\r\033[3;1H");
    assert_int_equal(take_dirty(), 0);
    write_text("\033[K\ny");
    assert_int_equal(take_dirty(), 0x0c);
    write_text("\033[J");
    assert_int_equal(take_dirty(), 0x18);
    write_text("\n\n");
    assert_int_equal(take_dirty(), 0x1f);
    terminal_scroll_view(&t, 1);
    assert_int_equal(take_dirty(), 0x1f);
    terminal_scroll_view(&t, 5);
    assert_int_equal(take_dirty(), 0);
    terminal_write(&t, "\a", 1); /* snaps back */
    assert_int_equal(take_dirty(), 0x1f);
    terminal_mark_all_dirty(&t);
    assert_int_equal(take_dirty(), 0x1f);
}

/* What an owner sees who only draws dirty rows is the screen, whatever was written. */
static void drawing_dirty_rows_is_enough(void **state)
{
    static const char *const pieces[] = {
        "hello ",
        "\n",
        "\r",
        "\b",
        "\t",
        "\033[A",
        "\033[3D",
        "\033[2;5H",
        "\033[J",
        "\033[1K",
        "\033[7m",
        "\033[0m",
        "ü€",
        "\033[s",
        "\033[u",
        "\033[1J",
        "12345678901234567890123",
        "\xc3",
        "\033[",
        "9",
    };
    static struct terminal_cell drawn[7][33];
    uint32_t seed = 3;

    (void)state;
    make(33, 7, 9);
    for (int step = 0; step < 20000; step++) {
        seed = seed * 1664525 + 1013904223;
        write_text(pieces[(seed >> 16) % ARRAY_SIZE(pieces)]);
        if (seed >> 28 == 0)
            terminal_scroll_view(&t, (int)(seed >> 20 & 31) - 15);
        for (unsigned row = 0; row < 7; row++) {
            bool dirty = terminal_take_dirty(&t, row);
            for (unsigned column = 0; column < 33; column++) {
                struct terminal_cell cell = terminal_cell(&t, row, column);
                if (dirty)
                    drawn[row][column] = cell;
                assert_int_equal(cell.character, drawn[row][column].character);
                assert_int_equal(cell.attribute, drawn[row][column].attribute);
            }
        }
        assert_true(t.row < 7 && t.column < 33 && t.history <= 9 && t.view <= t.history);
        assert_true(!t.wrap_pending || t.column == 32);
    }
}

/* Calls f and tells whether it panicked. */
#define PANICS(call) (setjmp(panicked) == 0 ? ((void)(call), false) : true)

static void wrong_sizes_and_places_panic(void **state)
{
    (void)state;
    assert_true(PANICS(terminal_init(&t, cells, 19, 5, 0)));
    assert_true(PANICS(terminal_init(&t, cells, 513, 5, 0)));
    assert_true(PANICS(terminal_init(&t, cells, 20, 4, 0)));
    assert_true(PANICS(terminal_init(&t, cells, 20, 257, 0)));
    assert_true(PANICS(terminal_cell(&t, 5, 0)));
    assert_true(PANICS(terminal_cell(&t, 0, 20)));
    assert_true(PANICS(terminal_row_dirty(&t, 5)));
    make(512, 256, 1);
    repeat("\n", 300);
    assert_cursor(255, 0);
}

static void code_page_437(void **state)
{
    static const struct {
        uint32_t code_point;
        uint8_t byte;
    } known[] = {
        { 0xc7, 0x80 },
        { 0xfc, 0x81 },
        { 0xe4, 0x84 },
        { 0xc4, 0x8e },
        { 0xf6, 0x94 },
        { 0xd6, 0x99 },
        { 0xdc, 0x9a },
        { 0xdf, 0xe1 },
        { 0xe9, 0x82 },
        { 0xf1, 0xa4 },
        { 0xa7, 0x15 },
        { 0xb0, 0xf8 },
        { 0xb2, 0xfd },
        { 0xb5, 0xe6 },
        { 0xb7, 0xfa },
        { 0x2500, 0xc4 },
        { 0x2502, 0xb3 },
        { 0x250c, 0xda },
        { 0x2518, 0xd9 },
        { 0x253c, 0xc5 },
        { 0x2550, 0xcd },
        { 0x2554, 0xc9 },
        { 0x255d, 0xbc },
        { 0x256c, 0xce },
        { 0x2568, 0xd0 },
        { 0x2564, 0xd1 },
        { 0x2591, 0xb0 },
        { 0x2588, 0xdb },
        { 0x2580, 0xdf },
        { 0x25a0, 0xfe },
        { 0xa0, 0xff },
        { 0x263a, 0x01 },
        { 0x25bc, 0x1f },
        { 0x2302, 0x7f },
        { 0x2192, 0x1a },
        { 0x3c0, 0xe3 },
        { 0x221e, 0xec },
        /* look-alikes */
        { 0xc0, 'A' },
        { 0x2013, '-' },
        { 0x201c, '"' },
        { 0xb4, '\'' },
        { 0xb3, '3' },
        { 0x256d, 0xda },
        { 0x2501, 0xc4 },
        /* nothing alike */
        { 0x20ac, '?' },
        { 0x4e00, '?' },
        { 0xfffd, '?' },
        { 0, '?' },
        { 7, '?' },
        { 0x7f, '?' },
        { 0x85, '?' },
        { 0x10ffff, '?' },
    };
    bool seen[256] = { false };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        assert_int_equal(cp437_from_unicode(known[i].code_point), known[i].byte);
    for (uint32_t c = ' '; c < 0x7f; c++)
        assert_int_equal(cp437_from_unicode(c), c);
    for (uint32_t c = 0; c < 0x10000; c++)
        seen[cp437_from_unicode(c)] = true;
    for (unsigned byte = 1; byte < 256; byte++)
        assert_true(seen[byte]); /* every glyph can be reached */
    assert_false(seen[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(text_and_line_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(utf8_and_its_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(the_wrap_is_deferred, setup, teardown),
        cmocka_unit_test_setup_teardown(backspace_steps_over_the_edge, setup, teardown),
        cmocka_unit_test_setup_teardown(n_backspaces_undo_n_characters, setup, teardown),
        cmocka_unit_test_setup_teardown(the_cursor_moves_and_stops_at_the_edges, setup, teardown),
        cmocka_unit_test_setup_teardown(erasing, setup, teardown),
        cmocka_unit_test_setup_teardown(text_is_moved_about, setup, teardown),
        cmocka_unit_test_setup_teardown(the_cursor_is_saved_with_its_colours, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reset_begins_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(colours_are_those_of_vga, setup, teardown),
        cmocka_unit_test_setup_teardown(styles_set_colours, setup, teardown),
        cmocka_unit_test_setup_teardown(unknown_sequences_leave_no_trace, setup, teardown),
        cmocka_unit_test_setup_teardown(parameters_stay_in_their_array, setup, teardown),
        cmocka_unit_test_setup_teardown(a_broken_sequence_cannot_eat_a_line, setup, teardown),
        cmocka_unit_test_setup_teardown(the_screen_scrolls_into_the_scrollback, setup, teardown),
        cmocka_unit_test_setup_teardown(the_scrollback_forgets_its_oldest, setup, teardown),
        cmocka_unit_test_setup_teardown(the_cursor_is_seen_through_the_view, setup, teardown),
        cmocka_unit_test_setup_teardown(only_rows_that_changed_are_dirty, setup, teardown),
        cmocka_unit_test_setup_teardown(drawing_dirty_rows_is_enough, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_sizes_and_places_panic, setup, teardown),
        cmocka_unit_test_setup_teardown(code_page_437, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
