/*
 * The line editor. The header says what it does.
 *
 * What it writes rests on one rule of the terminal: every character goes one cell on and every
 * '\b' one cell back, over the edge of the screen too. So the cursor goes left by '\b', right by
 * writing again what stands there, and text is erased by writing spaces over it. None of this
 * needs to know where on the screen the line stands or how wide the screen is, and so one stream
 * of output is right for consoles of different widths. ESC[K would not do: it stops at the edge.
 *
 * Invariants while a line is open:
 *   - text[0 .. length) is valid UTF-8 without control characters, text[length] is NUL, and
 *     `count` is the number of its characters, at most LINE_CHARACTERS
 *   - cursor <= length is the start of a character
 *   - unless hidden, the screen shows prompt and text, and the terminal's cursor is at `cursor`
 *   - history is strings with their NULs, oldest first, none empty, no two neighbours alike
 */
#include <shell/line.h>
#include <lib/string.h>
#include <panic.h>

#define DEFAULT_COLUMNS 80u
#define COLUMN_GAP      2u /* blanks between the columns of a list of completions */

/* UTF-8 */

/* Whether a byte is inside of a character, not its first. */
static bool is_inside(char byte)
{
    return ((uint8_t)byte & 0xc0) == 0x80;
}

static size_t count_characters(const char *bytes, size_t length)
{
    size_t count = 0;

    for (size_t i = 0; i < length; i++)
        count += !is_inside(bytes[i]);
    return count;
}

/* Writes a code point as UTF-8 and returns its length. */
static size_t encode(uint32_t code_point, char bytes[4])
{
    static const uint8_t leads[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    size_t length = code_point < 0x80 ? 1 : code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;

    if (length == 1) {
        bytes[0] = (char)code_point;
        return 1;
    }
    for (size_t i = length - 1; i > 0; i--) {
        bytes[i] = (char)(0x80 | (code_point & 0x3f));
        code_point >>= 6;
    }
    bytes[0] = (char)(leads[length] | code_point);
    return length;
}

static bool is_printable(uint32_t key)
{
    bool is_control = key < ' ' || (key >= 0x7f && key < 0xa0);
    bool is_surrogate = key >= 0xd800 && key <= 0xdfff;

    return key <= 0x10ffff && !is_control && !is_surrogate;
}

/* Positions in the line */

static size_t character_before(const struct line_editor *l, size_t offset)
{
    while (offset > 0 && is_inside(l->text[--offset]))
        ;
    return offset;
}

static size_t character_after(const struct line_editor *l, size_t offset)
{
    while (offset < l->length && is_inside(l->text[++offset]))
        ;
    return offset;
}

/* The start of the word before the cursor, and of the blanks between. */
static size_t word_before(const struct line_editor *l)
{
    size_t start = l->cursor;

    while (start > 0 && l->text[start - 1] == ' ')
        start--;
    while (start > 0 && l->text[start - 1] != ' ')
        start--;
    return start;
}

static size_t characters_left(const struct line_editor *l)
{
    return count_characters(l->text, l->cursor);
}

static size_t characters_right(const struct line_editor *l)
{
    return l->count - characters_left(l);
}

/* Output */

static void put(struct line_editor *l, const char *bytes, size_t length)
{
    if (length > 0)
        l->write(l->write_arg, bytes, length);
}

static void put_string(struct line_editor *l, const char *string)
{
    put(l, string, strlen(string));
}

static void put_repeated(struct line_editor *l, char byte, size_t times)
{
    char chunk[32];

    memset(chunk, byte, sizeof(chunk));
    for (; times > sizeof(chunk); times -= sizeof(chunk))
        put(l, chunk, sizeof(chunk));
    put(l, chunk, times);
}

static void put_text_right(struct line_editor *l)
{
    put(l, l->text + l->cursor, l->length - l->cursor);
}

static void put_prompt_and_text(struct line_editor *l)
{
    put_string(l, l->prompt);
    put(l, l->text, l->length);
    put_repeated(l, '\b', characters_right(l));
}

/* Moving */

static void move_left_to(struct line_editor *l, size_t offset)
{
    put_repeated(l, '\b', count_characters(l->text + offset, l->cursor - offset));
    l->cursor = offset;
}

static void move_right_to(struct line_editor *l, size_t offset)
{
    put(l, l->text + l->cursor, offset - l->cursor);
    l->cursor = offset;
}

/* Changing */

/* Inserts whole characters at the cursor. There is room: the caller looked at `count`. */
static void insert(struct line_editor *l, const char *bytes, size_t length)
{
    char *at = l->text + l->cursor;

    memmove(at + length, at, l->length - l->cursor + 1);
    memcpy(at, bytes, length);
    l->length += length;
    l->count += count_characters(bytes, length);

    move_right_to(l, l->cursor + length);
    put_text_right(l);
    put_repeated(l, '\b', characters_right(l));
}

/* Removes [from, to); the cursor is at one of them, and at `from` afterwards. */
static void remove_range(struct line_editor *l, size_t from, size_t to)
{
    size_t removed = count_characters(l->text + from, to - from);

    if (removed == 0)
        return;
    move_left_to(l, from);
    memmove(l->text + from, l->text + to, l->length - to + 1);
    l->length -= to - from;
    l->count -= removed;
    if (l->count == 0)
        l->overflow = 0; /* nothing is left that has lost something */

    put_text_right(l);
    put_repeated(l, ' ', removed);
    put_repeated(l, '\b', removed + characters_right(l));
}

/* Puts another line in the place of this one, with the cursor at its end. */
static void replace_text(struct line_editor *l, const char *text)
{
    size_t old_count = l->count;

    move_left_to(l, 0);
    l->length = strlen(text);
    memcpy(l->text, text, l->length + 1);
    l->count = count_characters(l->text, l->length);
    l->overflow = 0;
    move_right_to(l, l->length);

    if (l->count < old_count) {
        put_repeated(l, ' ', old_count - l->count);
        put_repeated(l, '\b', old_count - l->count);
    }
}

static void type_character(struct line_editor *l, uint32_t key)
{
    char bytes[4];

    /* What was lost stays lost when room appears, or the line would have a hole in it. */
    if (l->overflow > 0 || l->count == LINE_CHARACTERS)
        l->overflow++;
    else
        insert(l, bytes, encode(key, bytes));
}

static void backspace(struct line_editor *l)
{
    if (l->overflow > 0)
        l->overflow--;
    else
        remove_range(l, character_before(l, l->cursor), l->cursor);
}

/* Ctrl-U and Ctrl-W at the line's end: what was typed past the room goes first, or with the rest.
 */
static void remove_back_to(struct line_editor *l, size_t from)
{
    if (l->cursor == l->length)
        l->overflow = 0;
    remove_range(l, from, l->cursor);
}

/* History */

/* The entry before the one at `offset`; offset > 0. */
static size_t history_before(const struct line_editor *l, size_t offset)
{
    offset--;
    while (offset > 0 && l->history[offset - 1] != '\0')
        offset--;
    return offset;
}

static size_t history_after(const struct line_editor *l, size_t offset)
{
    return offset + strlen(l->history + offset) + 1;
}

static bool repeats_history(const struct line_editor *l)
{
    if (l->history_length == 0)
        return false;
    return strcmp(l->history + history_before(l, l->history_length), l->text) == 0;
}

static void add_to_history(struct line_editor *l)
{
    size_t size = l->length + 1;
    size_t drop = 0;

    _Static_assert(sizeof(l->text) <= sizeof(l->history), "the longest line fits");
    if (l->length == 0 || repeats_history(l))
        return;
    while (l->history_length - drop + size > sizeof(l->history))
        drop = history_after(l, drop);
    memmove(l->history, l->history + drop, l->history_length - drop);
    l->history_length -= drop;
    memcpy(l->history + l->history_length, l->text, size);
    l->history_length += size;
}

static void show_older(struct line_editor *l)
{
    size_t from = l->browsing ? l->entry : l->history_length;

    if (from == 0)
        return;
    if (!l->browsing) {
        memcpy(l->draft, l->text, l->length + 1);
        l->draft_overflow = l->overflow;
    }
    l->browsing = true;
    l->entry = history_before(l, from);
    replace_text(l, l->history + l->entry);
}

static void show_newer(struct line_editor *l)
{
    if (!l->browsing)
        return;
    l->entry = history_after(l, l->entry);
    l->browsing = l->entry < l->history_length;
    replace_text(l, l->browsing ? l->history + l->entry : l->draft);
    l->overflow = l->browsing ? 0 : l->draft_overflow;
}

/* Completion */

/* What the candidates that begin with the word at the cursor have in common. */
struct matches {
    size_t word;    /* bytes of the word in the line */
    size_t count;   /* candidates that match */
    size_t longest; /* characters of the longest */
    size_t common;  /* bytes that all begin with; not less than `word` */
    char first[LINE_CANDIDATE_BYTES + 1];
};

/* The next candidate from *index on that begins with the word, or NULL. Moves *index behind it. */
static const char *next_match(struct line_editor *l, size_t *index, size_t *word)
{
    const char *candidate;
    size_t start = l->cursor;

    while ((candidate = l->complete(l->complete_arg, l->text, l->cursor, *index, &start))) {
        ASSERT(start <= l->cursor);
        (*index)++;
        *word = l->cursor - start;
        if (strlen(candidate) <= LINE_CANDIDATE_BYTES &&
            strncmp(candidate, l->text + start, *word) == 0)
            return candidate;
    }
    return NULL;
}

static size_t common_length(const char *a, const char *b, size_t max)
{
    size_t i = 0;

    while (i < max && a[i] == b[i])
        i++;
    return i;
}

static void find_matches(struct line_editor *l, struct matches *m)
{
    const char *candidate;
    size_t index = 0;

    *m = (struct matches){ 0 };
    while ((candidate = next_match(l, &index, &m->word))) {
        size_t length = strlen(candidate);
        size_t characters = count_characters(candidate, length);

        if (m->count++ == 0) {
            memcpy(m->first, candidate, length + 1);
            m->common = length;
        }
        m->common = common_length(m->first, candidate, m->common);
        if (characters > m->longest)
            m->longest = characters;
    }
    while (m->common > m->word && is_inside(m->first[m->common]))
        m->common--;
}

static void list_matches(struct line_editor *l, const struct matches *m)
{
    size_t width = m->longest + COLUMN_GAP;
    size_t per_row = l->columns > width ? l->columns / width : 1;
    const char *candidate;
    size_t index = 0, word, shown = 0, gap = 0;

    put_text_right(l);
    while ((candidate = next_match(l, &index, &word))) {
        if (shown++ % per_row == 0)
            put_string(l, "\n");
        else
            put_repeated(l, ' ', gap);
        put_string(l, candidate);
        gap = width - count_characters(candidate, strlen(candidate));
    }
    put_string(l, "\n");
    put_prompt_and_text(l);
}

static void complete_word(struct line_editor *l, bool is_second_tab)
{
    struct matches m;

    if (!l->complete || l->overflow > 0)
        return;
    find_matches(l, &m);
    if (m.count == 0)
        return;

    bool is_unique = m.count == 1;
    if (is_unique)
        m.first[m.common++] = ' '; /* in the place of its NUL */
    size_t missing = m.common - m.word;
    size_t characters = count_characters(m.first + m.word, missing);

    if (missing == 0 && is_second_tab)
        list_matches(l, &m);
    else if (missing > 0 && characters <= LINE_CHARACTERS - l->count)
        insert(l, m.first + m.word, missing);
    l->tabbed = !is_unique;
}

/* Lines */

/* The cells that the prompt takes; colour sequences and styles take none. */
static size_t prompt_width(const struct line_editor *l)
{
    const char *p = l->prompt;
    size_t width = 0;

    while (*p != '\0') {
        if (*p == '\033') {
            while (*p != '\0' && *p != 'm')
                p++;
            p += *p == 'm';
        } else {
            width += (uint8_t)*p >= ' ' && !is_inside(*p);
            p++;
        }
    }
    return width;
}

static void clear_screen(struct line_editor *l)
{
    put_string(l, "\033[H\033[2J");
    put_prompt_and_text(l);
}

static enum line_result close_line(struct line_editor *l, enum line_result result)
{
    move_right_to(l, l->length);
    put_string(l, result == LINE_CANCELLED ? "^C\n" : "\n");
    l->open = false;
    if (result == LINE_DONE)
        add_to_history(l);
    return result;
}

/* The keys that leave the line open. */
static void edit(struct line_editor *l, uint32_t key, bool is_second_tab)
{
    switch (key) {
    case KEY_LEFT:
    case KEY_CTRL('b'):
        move_left_to(l, character_before(l, l->cursor));
        break;
    case KEY_RIGHT:
    case KEY_CTRL('f'):
        move_right_to(l, character_after(l, l->cursor));
        break;
    case KEY_HOME:
    case KEY_CTRL('a'):
        move_left_to(l, 0);
        break;
    case KEY_END:
    case KEY_CTRL('e'):
        move_right_to(l, l->length);
        break;
    case '\b':
        backspace(l);
        break;
    case KEY_DELETE:
    case KEY_CTRL('d'):
        remove_range(l, l->cursor, character_after(l, l->cursor));
        break;
    case KEY_CTRL('k'):
        remove_range(l, l->cursor, l->length);
        break;
    case KEY_CTRL('u'):
        remove_back_to(l, 0);
        break;
    case KEY_CTRL('w'):
        remove_back_to(l, l->overflow > 0 ? l->cursor : word_before(l));
        break;
    case KEY_UP:
    case KEY_CTRL('p'):
        show_older(l);
        break;
    case KEY_DOWN:
    case KEY_CTRL('n'):
        show_newer(l);
        break;
    case KEY_CTRL('l'):
        clear_screen(l);
        break;
    case '\t':
        complete_word(l, is_second_tab);
        break;
    default:
        if (is_printable(key))
            type_character(l, key);
        break;
    }
}

void line_init(struct line_editor *l, const char *prompt, line_write_fn *write, void *arg)
{
    memset(l, 0, sizeof(*l));
    l->columns = DEFAULT_COLUMNS;
    l->prompt = prompt;
    l->write = write;
    l->write_arg = arg;
}

void line_set_completer(struct line_editor *l, line_complete_fn *complete, void *arg)
{
    l->complete = complete;
    l->complete_arg = arg;
}

void line_start(struct line_editor *l)
{
    l->open = true;
    l->hidden = false;
    l->tabbed = false;
    l->browsing = false;
    l->length = l->cursor = l->count = l->overflow = 0;
    l->text[0] = '\0';
    put_string(l, l->prompt);
}

enum line_result line_key(struct line_editor *l, uint32_t key)
{
    bool is_second_tab = l->tabbed;

    if (!l->open || l->hidden)
        return LINE_MORE;
    l->tabbed = false;
    if (key == '\n')
        return close_line(l, l->overflow > 0 ? LINE_TOO_LONG : LINE_DONE);
    if (key == KEY_CTRL('c'))
        return close_line(l, LINE_CANCELLED);
    edit(l, key, is_second_tab);
    return LINE_MORE;
}

char *line_text(struct line_editor *l)
{
    return l->text;
}

/*
 * At a multiple of the width the cursor is either on a pending wrap or, after a '\b', already in
 * the next row. One more '\b' leads to the same cell from both.
 */
void line_hide(struct line_editor *l)
{
    if (!l->open || l->hidden)
        return;
    l->hidden = true;

    ASSERT(l->columns > 0);
    size_t position = prompt_width(l) + characters_left(l);
    if (position > 0 && position % l->columns == 0) {
        put_string(l, "\b");
        position--;
    }
    put_string(l, "\r");
    for (size_t row = position / l->columns; row > 0; row--)
        put_string(l, "\033[A");
    put_string(l, "\033[J");
}

void line_show(struct line_editor *l)
{
    if (!l->open || !l->hidden)
        return;
    l->hidden = false;
    put_prompt_and_text(l);
}
