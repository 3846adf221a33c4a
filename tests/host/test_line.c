/*
 * The line editor on a terminal.
 *
 * Everything the editor writes goes into a real terminal. After each key the screen must show
 * prompt and line and nothing else below, with the cursor in its place, and what stood above must
 * be as it was. The strongest test does this for long random sequences of keys, at several widths,
 * against a model that knows nothing of screens.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <drivers/terminal.h>
#include <lib/string.h>
#include <panic.h>
#include <shell/line.h>

#define PROMPT       "ronin> "
#define PROMPT_WIDTH 7u
#define MAX_CELLS    (200 * 70)

_Noreturn void panic(const char *format, ...)
{
    fail_msg("panic: %s", format);
    __builtin_unreachable();
}

static struct line_editor editor;
static struct terminal screen;
static struct terminal_cell cells[MAX_CELLS];

static char written[16384]; /* what the last call wrote */
static size_t written_length;

static void write_to_screen(void *arg, const char *bytes, size_t length)
{
    assert_ptr_equal(arg, &screen);
    assert_true(length > 0 && length <= sizeof(written) - written_length);
    memcpy(written + written_length, bytes, length);
    written_length += length;
    terminal_write(&screen, bytes, length);
}

static void start(unsigned columns, unsigned rows, const char *prompt)
{
    assert_true(columns * rows <= MAX_CELLS);
    terminal_init(&screen, cells, columns, rows, 0);
    line_init(&editor, prompt, write_to_screen, &screen);
    editor.columns = columns;
    written_length = 0;
    line_start(&editor);
}

static int setup(void **state)
{
    (void)state;
    start(80, 25, PROMPT);
    return 0;
}

static enum line_result key(uint32_t k)
{
    written_length = 0;
    return line_key(&editor, k);
}

/* Types ASCII text; each key must leave the line open. */
static void type(const char *text)
{
    for (; *text != '\0'; text++)
        assert_int_equal(key((uint8_t)*text), LINE_MORE);
}

static void enter(const char *text)
{
    type(text);
    assert_int_equal(key('\n'), LINE_DONE);
    line_start(&editor);
}

static void assert_written(const char *bytes)
{
    assert_int_equal(written_length, strlen(bytes));
    assert_memory_equal(written, bytes, written_length);
}

/* Presses a key that must change nothing, not even for a moment. */
static void assert_silent(uint32_t k)
{
    assert_int_equal(key(k), LINE_MORE);
    assert_written("");
}

/* The screen */

static uint16_t character_at(size_t cell)
{
    return terminal_cell(&screen, cell / screen.columns, cell % screen.columns).character;
}

/* The lowest row that begins with the prompt. Texts here have no '>'. */
static unsigned prompt_row(void)
{
    for (unsigned row = screen.rows; row-- > 0;) {
        unsigned i = 0;
        while (i < PROMPT_WIDTH && character_at(row * screen.columns + i) == (uint8_t)PROMPT[i])
            i++;
        if (i == PROMPT_WIDTH)
            return row;
    }
    fail_msg("no prompt on the screen");
    return 0;
}

/* The cursor is on a cell; at the start of a row it may also still be on a pending wrap. */
static void assert_cursor_at(size_t cell)
{
    unsigned row, column;

    assert_true(terminal_cursor(&screen, &row, &column));
    size_t at = row * screen.columns + column;
    if (cell % screen.columns == 0 && cell > 0 && at == cell - 1)
        assert_true(screen.wrap_pending);
    else
        assert_int_equal(at, cell);
}

/* Prompt, then these characters, then blanks to the end of the screen. */
static void assert_screen(const uint32_t *text, size_t length, size_t cursor)
{
    size_t begin = prompt_row() * screen.columns + PROMPT_WIDTH;
    size_t end = screen.rows * screen.columns;

    assert_true(begin + length <= end);
    for (size_t i = 0; i < length; i++)
        assert_int_equal(character_at(begin + i), text[i]);
    for (size_t cell = begin + length; cell < end; cell++)
        assert_int_equal(character_at(cell), ' ');
    assert_cursor_at(begin + cursor);
}

/* The line and the screen are this ASCII text, in which '|' marks the cursor. */
static void assert_line(const char *marked)
{
    uint32_t text[256];
    char plain[256];
    size_t length = 0, cursor = 0;

    for (; *marked != '\0'; marked++) {
        if (*marked == '|') {
            cursor = length;
            continue;
        }
        plain[length] = *marked;
        text[length++] = (uint8_t)*marked;
    }
    plain[length] = '\0';
    assert_string_equal(line_text(&editor), plain);
    assert_screen(text, length, cursor);
}

/* Tests of single keys */

static void typing_at_the_end_echoes_just_that(void **state)
{
    (void)state;
    assert_written(PROMPT);
    key('l');
    assert_written("l");
    key(0xfc);
    assert_written("ü");
    key(0x20ac);
    assert_written("€");
    key(0x1f600);
    assert_written("\xf0\x9f\x98\x80");
    key('\b');
    assert_written("\b \b");
    assert_string_equal(line_text(&editor), "lü€");
    assert_int_equal(key('\n'), LINE_DONE);
    assert_written("\n");
}

static void keys_without_meaning_do_nothing(void **state)
{
    static const uint32_t ignored[] = {
        0,
        KEY_CTRL('g'),
        KEY_CTRL('o'),
        KEY_CTRL('q'),
        KEY_CTRL('z'),
        0x1b,
        0x1f,
        0x7f,
        0x85,
        '\r',
        '\t',
        0xd800,
        KEY_INSERT,
        KEY_PAGE_UP,
        KEY_F1,
        KEY_F12,
        KEY_SCROLL_UP,
        KEY_REBOOT,
        0xffffffff,
        /* nothing to do at the end of a line, and without a history */
        KEY_RIGHT,
        KEY_END,
        KEY_DELETE,
        KEY_CTRL('d'),
        KEY_CTRL('k'),
        KEY_UP,
        KEY_DOWN,
    };
    static const uint32_t ignored_at_start[] = {
        KEY_LEFT, KEY_HOME, '\b', KEY_CTRL('u'), KEY_CTRL('w'),
    };

    (void)state;
    type("ab");
    for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
        assert_silent(ignored[i]);
    assert_line("ab|");
    key(KEY_HOME);
    for (size_t i = 0; i < ARRAY_SIZE(ignored_at_start); i++)
        assert_silent(ignored_at_start[i]);
    assert_line("|ab");
}

static void moving_and_changing(void **state)
{
    (void)state;
    type("peek 10");
    key(KEY_LEFT);
    key(KEY_CTRL('b'));
    type("0x");
    assert_line("peek 0x|10");
    key(KEY_CTRL('a'));
    key(KEY_CTRL('d'));
    key(KEY_DELETE);
    assert_line("|ek 0x10");
    key(KEY_RIGHT);
    key(KEY_CTRL('f'));
    key('\b');
    assert_line("e| 0x10");
    key(KEY_END);
    key(KEY_HOME);
    key(KEY_CTRL('e'));
    type(" a bc  ");
    key(KEY_CTRL('w'));
    assert_line("e 0x10 a |");
    key(KEY_LEFT);
    key(KEY_LEFT);
    key(KEY_CTRL('k'));
    assert_line("e 0x10 |");
    key(KEY_LEFT);
    key(KEY_CTRL('u'));
    assert_line("| ");
}

static void ctrl_c_gives_up_the_line(void **state)
{
    (void)state;
    type("abc");
    key(KEY_LEFT);
    assert_int_equal(key(KEY_CTRL('c')), LINE_CANCELLED);
    assert_written("c^C\n");
    assert_silent('x'); /* the line is closed */
    line_start(&editor);
    key(KEY_UP); /* nor is it in the history */
    assert_line("|");
}

static void ctrl_l_clears_the_screen(void **state)
{
    (void)state;
    enter("help");
    type("abc");
    key(KEY_LEFT);
    key(KEY_CTRL('l'));
    assert_int_equal(prompt_row(), 0);
    assert_line("ab|c");
}

/* The capacity */

static void a_line_holds_its_capacity_of_any_characters(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LINE_CHARACTERS; i++)
        assert_int_equal(key(0x1f600), LINE_MORE);
    assert_int_equal(strlen(line_text(&editor)), LINE_BYTES);
    assert_int_equal(key('\n'), LINE_DONE);
    line_start(&editor);
    key(KEY_UP);
    assert_int_equal(strlen(line_text(&editor)), LINE_BYTES);
}

static void a_longer_line_is_refused(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LINE_CHARACTERS; i++)
        key('a');
    for (unsigned i = 0; i < 5000; i++)
        assert_silent('b');
    assert_int_equal(key('\n'), LINE_TOO_LONG);
    line_start(&editor);
    key(KEY_UP); /* not in the history */
    assert_line("|");
}

static void backspace_first_undoes_what_was_not_stored(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LINE_CHARACTERS + 3; i++)
        key('a');
    key(KEY_LEFT);
    for (unsigned i = 0; i < 3; i++)
        assert_silent('\b');
    assert_int_equal(key('\n'), LINE_DONE);
    assert_int_equal(strlen(line_text(&editor)), LINE_CHARACTERS);

    /* Room that appears does not make a line whole that has lost something... */
    line_start(&editor);
    for (unsigned i = 0; i < LINE_CHARACTERS + 1; i++)
        key('a');
    key(KEY_HOME);
    key(KEY_DELETE);
    assert_silent('x');
    assert_int_equal(key('\n'), LINE_TOO_LONG);

    /* ...nor does a look at the history, or Ctrl-U where there is nothing to delete... */
    line_start(&editor);
    for (unsigned i = 0; i < LINE_CHARACTERS + 1; i++)
        key('a');
    key(KEY_UP);
    key(KEY_DOWN);
    key(KEY_HOME);
    key(KEY_CTRL('u'));
    assert_int_equal(key('\n'), LINE_TOO_LONG);

    /* ...but deleting all of it does. */
    line_start(&editor);
    for (unsigned i = 0; i < LINE_CHARACTERS + 9; i++)
        key('a');
    key(KEY_HOME);
    key(KEY_CTRL('k'));
    type("fine");
    assert_line("fine|");
    assert_int_equal(key('\n'), LINE_DONE);
    line_start(&editor);
    for (unsigned i = 0; i < LINE_CHARACTERS + 9; i++)
        key('a');
    key(KEY_CTRL('u'));
    type("ok");
    assert_line("ok|");
    assert_int_equal(key('\n'), LINE_DONE);
}

/* History */

static void the_history_goes_up_and_down(void **state)
{
    (void)state;
    enter("one");
    enter("two");
    enter("two");
    enter("");
    enter("three");
    type("draft");
    key(KEY_LEFT);
    key(KEY_UP);
    assert_line("three|");
    key(KEY_CTRL('p'));
    assert_line("two|");
    key(KEY_UP);
    key(KEY_UP);
    assert_line("one|");
    key(KEY_DOWN);
    key(KEY_CTRL('n'));
    type("!");
    assert_line("three!|");
    key(KEY_DOWN);
    assert_line("draft|");
    key(KEY_DOWN);
    assert_line("draft|");
}

static void a_line_from_the_history_replaces_one_too_long(void **state)
{
    (void)state;
    enter("ok");
    for (unsigned i = 0; i < LINE_CHARACTERS + 9; i++)
        key('a');
    key(KEY_UP);
    assert_line("ok|");
    assert_int_equal(key('\n'), LINE_DONE);
}

static void the_history_forgets_its_oldest(void **state)
{
    char line[8];

    (void)state;
    for (unsigned i = 0; i < 3000; i++) { /* 5 bytes each with the NUL: 1638 of them fit */
        for (unsigned j = 0, n = i; j < 4; j++, n /= 10)
            line[3 - j] = (char)('0' + n % 10);
        line[4] = '\0';
        enter(line);
    }
    for (unsigned i = 0; i < 2000; i++)
        key(KEY_UP);
    assert_line("1362|");
}

/* Completion */

static const char *const words[] = {
    "heap", "heap_test", "help", "übung", "übel", "map", "zä", "zö"
};

static const char *complete(void *arg, const char *line, size_t length, size_t index, size_t *word)
{
    assert_null(arg);
    for (*word = length; *word > 0 && line[*word - 1] != ' ';)
        --*word;
    return index < ARRAY_SIZE(words) ? words[index] : NULL;
}

static void tab_completes(void **state)
{
    (void)state;
    line_set_completer(&editor, complete, NULL);
    type("x m\t");
    assert_written("ap ");
    assert_line("x map |");
    type("h\t");
    assert_written("e");
    type("a\t");
    assert_line("x map heap|");
    type("zz\t");
    assert_written("");
    key(KEY_CTRL('u'));
    key('z');
    assert_silent('\t'); /* half a character in common is nothing in common */
    key(KEY_CTRL('u'));
    key(0xfc);
    type("\t");
    assert_written("b");
    key('u');
    type("\t");
    assert_string_equal(line_text(&editor), "übung ");
    key(KEY_HOME);
    type("hel\t");
    assert_string_equal(line_text(&editor), "help übung ");
}

static void the_second_tab_lists(void **state)
{
    (void)state;
    line_set_completer(&editor, complete, NULL);
    type("he x");
    key(KEY_LEFT);
    key(KEY_LEFT);
    assert_silent('\t');
    key('\t');
    assert_written(" x\nheap       heap_test  help\n" PROMPT "he x\b\b");
    assert_line("he| x");
    key(KEY_LEFT);
    key(KEY_RIGHT);
    assert_silent('\t'); /* a first one again */

    editor.columns = 24; /* two columns of eleven */
    key('\t');
    assert_written(" x\nheap       heap_test\nhelp\n" PROMPT "he x\b\b");
    editor.columns = 5; /* not even one */
    key('\t');
    assert_written(" x\nheap\nheap_test\nhelp\n" PROMPT "he x\b\b");
}

static void tab_respects_the_capacity(void **state)
{
    (void)state;
    line_set_completer(&editor, complete, NULL);
    for (unsigned i = 0; i < LINE_CHARACTERS - 3; i++)
        key(' ');
    type("m\t"); /* "ap " does not fit */
    assert_written("");
    for (unsigned i = 0; i < 3; i++)
        key('x'); /* one more than fit: the line will be refused, and is not worth completing */
    key(KEY_HOME);
    key(KEY_DELETE);
    assert_silent('\t');
    assert_silent('\t');
    key(KEY_END);
    key(KEY_CTRL('w'));
    assert_int_equal(key('\n'), LINE_DONE);
}

/* Hiding */

static void hide_and_show_make_room_for_a_message(void **state)
{
    (void)state;
    type("abcd");
    key(KEY_LEFT);
    written_length = 0;
    line_hide(&editor);
    assert_written("\r\033[J");
    line_hide(&editor); /* once is enough */
    assert_written("\r\033[J");
    terminal_write(&screen, "message\n", 8);
    written_length = 0;
    line_show(&editor);
    line_show(&editor);
    assert_written(PROMPT "abcd\b");
    assert_line("abc|d");
    assert_int_equal(prompt_row(), 1);

    static struct line_editor unused;
    line_hide(&unused);
    line_show(&unused);
    key('\n');
    written_length = 0;
    line_hide(&editor); /* no line is open */
    line_show(&editor);
    assert_written("");
}

static void colours_of_the_prompt_take_no_room(void **state)
{
    (void)state;
    start(20, 10, "\033[1;32mronin>\033[0m ");
    type("1234567890123"); /* fills the row: a wrap is pending */
    written_length = 0;
    line_hide(&editor);
    assert_written("\b\r\033[J");
    assert_cursor_at(0);
    line_show(&editor);
    type("4");
    written_length = 0;
    line_hide(&editor);
    assert_written("\r\033[A\033[J");
    assert_cursor_at(0);
}

/* The model: what keys do to a line, without a screen */

#define MODEL_LINES 2048
#define MODEL_MAX   400

struct model_line {
    uint32_t text[MODEL_MAX];
    size_t length;
};

static struct model_line line, draft, history[MODEL_LINES];
static size_t cursor, history_count, browsed; /* browsed: history_count if not */

static void model_start(void)
{
    line.length = cursor = 0;
    browsed = history_count;
}

static void model_insert(uint32_t k)
{
    for (size_t i = line.length++; i > cursor; i--)
        line.text[i] = line.text[i - 1];
    line.text[cursor++] = k;
}

static void model_remove(size_t from, size_t to)
{
    for (size_t i = to; i < line.length; i++)
        line.text[i - (to - from)] = line.text[i];
    line.length -= to - from;
    cursor = from;
}

static void model_browse(size_t to)
{
    if (to > history_count) /* also one before the first */
        return;
    if (browsed == history_count)
        draft = line;
    browsed = to;
    line = to == history_count ? draft : history[to];
    cursor = line.length;
}

static void model_enter(void)
{
    size_t size = line.length * sizeof(line.text[0]);

    if (line.length > 0) {
        struct model_line *last = &history[history_count - (history_count > 0)];
        if (history_count == 0 || last->length != line.length ||
            memcmp(last->text, line.text, size) != 0)
            history[history_count++] = line;
    }
    model_start();
}

static void model_key(uint32_t k)
{
    size_t word = cursor;

    switch (k) {
    case KEY_LEFT:
        cursor -= cursor > 0;
        break;
    case KEY_RIGHT:
        cursor += cursor < line.length;
        break;
    case KEY_HOME:
        cursor = 0;
        break;
    case KEY_END:
        cursor = line.length;
        break;
    case '\b':
        model_remove(cursor - (cursor > 0), cursor);
        break;
    case KEY_DELETE:
        model_remove(cursor, cursor + (cursor < line.length));
        break;
    case KEY_CTRL('k'):
        line.length = cursor;
        break;
    case KEY_CTRL('u'):
        model_remove(0, cursor);
        break;
    case KEY_CTRL('w'):
        while (word > 0 && line.text[word - 1] == ' ')
            word--;
        while (word > 0 && line.text[word - 1] != ' ')
            word--;
        model_remove(word, cursor);
        break;
    case KEY_UP:
        model_browse(browsed - 1);
        break;
    case KEY_DOWN:
        if (browsed < history_count)
            model_browse(browsed + 1);
        break;
    case '\n':
        model_enter();
        break;
    case KEY_CTRL('c'):
        model_start();
        break;
    case KEY_CTRL('l'):
        break;
    default:
        model_insert(k);
        break;
    }
}

static uint32_t random_below(uint32_t limit)
{
    static uint32_t seed = 12345;

    seed = seed * 1664525 + 1013904223;
    return (uint32_t)((uint64_t)seed * limit >> 32);
}

/* Mostly characters, so that lines grow; a line of more than `limit` characters is cut. */
static uint32_t random_key(size_t limit)
{
    static const uint32_t characters[] = { 'a', 'b', 'Z', '9', '.', ' ', ' ', 0xfc, 0x20ac, '~' };
    static const uint32_t frequent[] = {
        KEY_LEFT, KEY_LEFT,   KEY_LEFT, KEY_RIGHT, KEY_RIGHT,     '\b',
        '\b',     KEY_DELETE, KEY_HOME, KEY_END,   KEY_CTRL('w'),
    };
    static const uint32_t rare[] = {
        KEY_CTRL('k'), KEY_CTRL('u'), KEY_UP, KEY_UP,        KEY_UP,        KEY_DOWN,
        KEY_DOWN,      '\n',          '\n',   KEY_CTRL('c'), KEY_CTRL('l'),
    };

    if (line.length >= limit)
        return random_below(2) ? KEY_CTRL('u') : KEY_CTRL('k');
    switch (random_below(40)) {
    case 0:
        return rare[random_below(ARRAY_SIZE(rare))];
    case 1 ... 13:
        return frequent[random_below(ARRAY_SIZE(frequent))];
    default:
        return characters[random_below(ARRAY_SIZE(characters))];
    }
}

static bool closes(uint32_t k)
{
    return k == '\n' || k == KEY_CTRL('c');
}

static uint16_t above[MAX_CELLS]; /* the screen before the key */

/* What stood above the prompt still does, up to what scrolled off the top. */
static void assert_above_unchanged(unsigned row_before)
{
    unsigned row = prompt_row();

    assert_true(row <= row_before);
    for (size_t i = 0; i < row * screen.columns; i++)
        assert_int_equal(character_at(i), above[i + (row_before - row) * screen.columns]);
}

static void random_step(size_t limit)
{
    uint32_t k = random_key(limit);
    unsigned row_before = prompt_row();
    bool at_end = cursor == line.length;

    for (size_t i = 0; i < screen.columns * screen.rows; i++)
        above[i] = character_at(i);
    enum line_result result = key(k);
    model_key(k);
    if (closes(k)) {
        assert_int_equal(result, k == '\n' ? LINE_DONE : LINE_CANCELLED);
        line_start(&editor);
    } else {
        assert_int_equal(result, LINE_MORE);
        if (k != KEY_CTRL('l'))
            assert_above_unchanged(row_before);
        if (at_end && k >= ' ' && k < KEY_UP)
            assert_int_equal(written_length, k < 0x80 ? 1 : k < 0x800 ? 2 : 3);
    }
    assert_screen(line.text, line.length, cursor);
}

/* A kernel message while the line is open: it takes the prompt's place, and both come back. */
static void random_message(unsigned step)
{
    unsigned row = prompt_row();
    char message[] = "log 0000\n";

    for (unsigned i = 7; i > 3; i--, step /= 10)
        message[i] = (char)('0' + step % 10);
    line_hide(&editor);
    assert_cursor_at(row * screen.columns);
    for (size_t i = row * screen.columns; i < screen.rows * screen.columns; i++)
        assert_int_equal(character_at(i), ' ');
    terminal_write(&screen, message, 9);
    written_length = 0;
    line_show(&editor);
    assert_screen(line.text, line.length, cursor);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(character_at((prompt_row() - 1) * screen.columns + i), message[i]);
}

static void random_keys_on(unsigned columns, unsigned rows, unsigned steps)
{
    size_t limit = columns * (rows - 3);

    start(columns, rows, PROMPT);
    history_count = 0;
    model_start();
    if (limit > 300)
        limit = 300;
    for (unsigned step = 0; step < steps; step++) {
        random_step(limit);
        if (random_below(20) == 0)
            random_message(step);
    }
    assert_true(history_count > 10 && history_count < MODEL_LINES);
}

/* Short enough that the editor's history drops nothing; that has its own test. */
static void the_screen_is_right_after_any_keys(void **state)
{
    (void)state;
    random_keys_on(20, 30, 3000);
    random_keys_on(21, 7, 3000); /* lines reach over most of the screen */
    random_keys_on(37, 12, 3000);
    random_keys_on(80, 25, 3000);
    random_keys_on(132, 5, 3000);
}

/* Capacity and screen together: the longest line, edited at both ends. */
static void the_longest_line_can_be_edited(void **state)
{
    static uint32_t text[LINE_CHARACTERS];

    (void)state;
    for (unsigned columns = 20; columns <= 200; columns += 45) {
        start(columns, columns == 20 ? 60 : 25, PROMPT);
        for (unsigned i = 0; i < LINE_CHARACTERS - 1; i++)
            key(text[i] = 'a' + i % 26);
        key(KEY_HOME);
        key('X');
        memmove(text + 1, text, (LINE_CHARACTERS - 1) * sizeof(text[0]));
        text[0] = 'X';
        assert_screen(text, LINE_CHARACTERS, 1);
        assert_silent('Y'); /* one too many */
        key(KEY_END);
        assert_screen(text, LINE_CHARACTERS, LINE_CHARACTERS);
        key('\b');
        key('\b');
        assert_screen(text, LINE_CHARACTERS - 1, LINE_CHARACTERS - 1);
        key(KEY_CTRL('u'));
        assert_screen(text, 0, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(typing_at_the_end_echoes_just_that, setup),
        cmocka_unit_test_setup(keys_without_meaning_do_nothing, setup),
        cmocka_unit_test_setup(moving_and_changing, setup),
        cmocka_unit_test_setup(ctrl_c_gives_up_the_line, setup),
        cmocka_unit_test_setup(ctrl_l_clears_the_screen, setup),
        cmocka_unit_test_setup(a_line_holds_its_capacity_of_any_characters, setup),
        cmocka_unit_test_setup(a_longer_line_is_refused, setup),
        cmocka_unit_test_setup(backspace_first_undoes_what_was_not_stored, setup),
        cmocka_unit_test_setup(the_history_goes_up_and_down, setup),
        cmocka_unit_test_setup(a_line_from_the_history_replaces_one_too_long, setup),
        cmocka_unit_test_setup(the_history_forgets_its_oldest, setup),
        cmocka_unit_test_setup(tab_completes, setup),
        cmocka_unit_test_setup(the_second_tab_lists, setup),
        cmocka_unit_test_setup(tab_respects_the_capacity, setup),
        cmocka_unit_test_setup(hide_and_show_make_room_for_a_message, setup),
        cmocka_unit_test_setup(colours_of_the_prompt_take_no_room, setup),
        cmocka_unit_test_setup(the_screen_is_right_after_any_keys, setup),
        cmocka_unit_test_setup(the_longest_line_can_be_edited, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
