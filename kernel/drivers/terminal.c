/*
 * An ANSI text terminal on a grid of cells. The header says what it promises.
 *
 * The cells are a ring of lines: the screen is `rows` of them from `top` on, and the `history`
 * lines before `top` are the scrollback. Scrolling moves `top` by one and blanks the line that
 * enters at the bottom, which is the oldest of the scrollback once that is full.
 *
 * Invariants: row < rows, column < columns, wrap_pending only in the last column,
 * history <= lines - rows, view <= history.
 */
#include <drivers/terminal.h>
#include <drivers/pixel.h>
#include <lib/string.h>
#include <panic.h>

#define REPLACEMENT   0xfffdu
#define PARAMETER_MAX 9999u /* larger parameters count as this */
#define BRIGHT        8u
#define FIRST_STYLE   0x1cu /* STYLE_PLAIN */

enum parser_state {
    GROUND,
    ESCAPE,       /* after ESC */
    ESCAPE_OTHER, /* after ESC and an intermediate byte, as in ESC ( B */
    CSI,          /* after ESC [ */
    CSI_UNKNOWN,  /* in a sequence that will do nothing; its final byte ends it */
};

/* ANSI numbers colours by red, green, blue from bit 0 up; VGA the other way round. */
static const uint8_t vga_colours[8] = { 0, 4, 2, 6, 1, 5, 3, 7 };

/* UTF-8 */

static void utf8_begin(struct utf8_decoder *decoder, uint32_t bits, uint8_t missing,
                       uint32_t minimum)
{
    decoder->value = bits;
    decoder->missing = missing;
    decoder->minimum = minimum;
}

static bool is_code_point(uint32_t value)
{
    return value <= 0x10ffff && !(value >= 0xd800 && value <= 0xdfff);
}

uint32_t utf8_decode(struct utf8_decoder *decoder, uint8_t byte)
{
    bool continues = (byte & 0xc0) == 0x80;

    if (decoder->missing > 0) {
        if (!continues) {
            decoder->missing = 0;
            return UTF8_BROKEN;
        }
        decoder->value = decoder->value << 6 | (byte & 0x3f);
        if (--decoder->missing > 0)
            return UTF8_MORE;
        bool valid = decoder->value >= decoder->minimum && is_code_point(decoder->value);
        return valid ? decoder->value : UTF8_INVALID;
    }
    if (byte < 0x80)
        return byte;
    if (continues || byte >= 0xf8)
        return UTF8_INVALID;
    if (byte < 0xe0)
        utf8_begin(decoder, byte & 0x1f, 1, 0x80);
    else if (byte < 0xf0)
        utf8_begin(decoder, byte & 0x0f, 2, 0x800);
    else
        utf8_begin(decoder, byte & 0x07, 3, 0x10000);
    return UTF8_MORE;
}

/* The grid */

static struct terminal_cell *screen_line(const struct terminal *t, unsigned row)
{
    return &t->cells[(size_t)((t->top + row) % t->lines) * t->columns];
}

/* The colours of erased cells: reverse video is for characters only. */
static uint8_t blank_attribute(const struct terminal *t)
{
    return (uint8_t)(t->pen.background << 4 | t->pen.foreground);
}

static uint8_t character_attribute(const struct terminal *t)
{
    uint8_t ink = t->pen.bold ? t->pen.foreground | BRIGHT : t->pen.foreground;
    uint8_t paper = t->pen.background;

    return t->pen.reverse ? (uint8_t)(ink << 4 | paper) : (uint8_t)(paper << 4 | ink);
}

static unsigned less(unsigned value, unsigned subtract)
{
    return value > subtract ? value - subtract : 0;
}

static unsigned at_most(unsigned value, unsigned limit)
{
    return value < limit ? value : limit;
}

static void copy_row(struct terminal *t, unsigned to, unsigned from)
{
    memcpy(screen_line(t, to), screen_line(t, from), t->columns * sizeof(*t->cells));
    t->dirty[to] = true;
}

/* Blanks the columns [from, to) of a screen row. */
static void erase(struct terminal *t, unsigned row, unsigned from, unsigned to)
{
    struct terminal_cell *line = screen_line(t, row);

    for (unsigned column = from; column < to; column++)
        line[column] = (struct terminal_cell){ ' ', blank_attribute(t) };
    t->dirty[row] = true;
}

/* Blanks the rows [from, to) of the screen. */
static void erase_rows(struct terminal *t, unsigned from, unsigned to)
{
    for (unsigned row = from; row < to; row++)
        erase(t, row, 0, t->columns);
}

/* Moves the rows [from, t->rows) down by `count`; blank rows come in, and the last fall off. */
static void insert_rows(struct terminal *t, unsigned from, unsigned count)
{
    unsigned kept = less(t->rows - from, count);

    for (unsigned i = kept; i-- > 0;)
        copy_row(t, from + count + i, from + i);
    erase_rows(t, from, t->rows - kept);
}

/* Moves the rows [from + count, t->rows) up to `from`; blank rows come in at the bottom. */
static void delete_rows(struct terminal *t, unsigned from, unsigned count)
{
    unsigned kept = less(t->rows - from, count);

    for (unsigned i = 0; i < kept; i++)
        copy_row(t, from + i, from + count + i);
    erase_rows(t, from + kept, t->rows);
}

/* The same with the cells of the cursor's row, from the cursor on. */
static void insert_cells(struct terminal *t, unsigned count)
{
    struct terminal_cell *here = screen_line(t, t->row) + t->column;
    unsigned kept = less(t->columns - t->column, count);

    memmove(here + (t->columns - t->column - kept), here, kept * sizeof(*here));
    erase(t, t->row, t->column, t->columns - kept);
}

static void delete_cells(struct terminal *t, unsigned count)
{
    struct terminal_cell *here = screen_line(t, t->row) + t->column;
    unsigned kept = less(t->columns - t->column, count);

    memmove(here, here + (t->columns - t->column - kept), kept * sizeof(*here));
    erase(t, t->row, t->column + kept, t->columns);
}

static void scroll_screen(struct terminal *t)
{
    t->top = (t->top + 1) % t->lines;
    if (t->history < t->lines - t->rows)
        t->history++;
    erase(t, t->rows - 1, 0, t->columns);
    terminal_mark_all_dirty(t);
}

/* The cursor */

static void move_to(struct terminal *t, unsigned row, unsigned column)
{
    t->row = row < t->rows ? row : t->rows - 1;
    t->column = column < t->columns ? column : t->columns - 1;
    t->wrap_pending = false;
}

static void start_next_row(struct terminal *t)
{
    if (t->row == t->rows - 1)
        scroll_screen(t);
    move_to(t, t->row + 1, 0);
}

/* The exact reverse of put_character(), so that the line editor can walk back over what it wrote.
 */
static void step_back(struct terminal *t)
{
    if (t->wrap_pending)
        t->wrap_pending = false;
    else if (t->column > 0)
        t->column--;
    else if (t->row > 0)
        move_to(t, t->row - 1, t->columns - 1);
}

static void put_character(struct terminal *t, uint32_t character)
{
    if (t->wrap_pending)
        start_next_row(t);
    screen_line(t, t->row)[t->column] = (struct terminal_cell){
        character <= 0xffff ? (uint16_t)character : REPLACEMENT,
        character_attribute(t),
    };
    t->dirty[t->row] = true;
    if (t->column == t->columns - 1)
        t->wrap_pending = true;
    else
        t->column++;
}

/* Control sequences */

/* A count or a coordinate: both are 1 when left out or 0. */
static unsigned parameter(const struct terminal *t, unsigned index)
{
    return t->parameters[index] > 0 ? t->parameters[index] : 1;
}

static void erase_in_row(struct terminal *t, unsigned mode)
{
    if (mode == 0)
        erase(t, t->row, t->column, t->columns);
    else if (mode == 1)
        erase(t, t->row, 0, t->column + 1);
    else if (mode == 2)
        erase(t, t->row, 0, t->columns);
}

static void erase_in_screen(struct terminal *t, unsigned mode)
{
    if (mode == 0) {
        erase_in_row(t, 0);
        erase_rows(t, t->row + 1, t->rows);
    } else if (mode == 1) {
        erase_rows(t, 0, t->row);
        erase_in_row(t, 1);
    } else if (mode == 2) {
        erase_rows(t, 0, t->rows);
    }
}

static void reset_colours(struct terminal *t)
{
    t->pen.foreground = TERMINAL_ATTRIBUTE_DEFAULT & 0x0f;
    t->pen.background = TERMINAL_ATTRIBUTE_DEFAULT >> 4;
    t->pen.bold = false;
    t->pen.reverse = false;
}

static void set_rendition(struct terminal *t, unsigned code)
{
    if (code == 0)
        reset_colours(t);
    else if (code == 1 || code == 22)
        t->pen.bold = code == 1;
    else if (code == 7 || code == 27)
        t->pen.reverse = code == 7;
    else if (code >= 30 && code <= 37)
        t->pen.foreground = vga_colours[code - 30];
    else if (code == 39)
        t->pen.foreground = TERMINAL_ATTRIBUTE_DEFAULT & 0x0f;
    else if (code >= 40 && code <= 47)
        t->pen.background = vga_colours[code - 40];
    else if (code == 49)
        t->pen.background = TERMINAL_ATTRIBUTE_DEFAULT >> 4;
    else if (code >= 90 && code <= 97)
        t->pen.foreground = vga_colours[code - 90] | BRIGHT;
    else if (code >= 100 && code <= 107)
        t->pen.background = vga_colours[code - 100] | BRIGHT;
}

/* The colour of VGA that is nearest to one of red, green and blue, each 0 to 255. */
static uint8_t nearest_colour(struct rgb colour)
{
    static const struct rgb vga[16] = {
        { 0, 0, 0 },     { 0, 0, 170 },    { 0, 170, 0 },    { 0, 170, 170 },
        { 170, 0, 0 },   { 170, 0, 170 },  { 170, 85, 0 },   { 170, 170, 170 },
        { 85, 85, 85 },  { 85, 85, 255 },  { 85, 255, 85 },  { 85, 255, 255 },
        { 255, 85, 85 }, { 255, 85, 255 }, { 255, 255, 85 }, { 255, 255, 255 },
    };
    return (uint8_t)pixel_nearest(vga, ARRAY_SIZE(vga), colour);
}

/* A share of the cube of 6 x 6 x 6 colours in xterm's palette. */
static uint8_t cube_share(unsigned level)
{
    return (uint8_t)(level == 0 ? 0 : 55 + 40 * level);
}

/* A colour of xterm's palette of 256: the sixteen, the cube, and greys. index < 256. */
static uint8_t palette_colour(unsigned index)
{
    if (index < 16)
        return (uint8_t)(vga_colours[index % 8] | (index < 8 ? 0 : BRIGHT));
    if (index < 232) {
        index -= 16;
        return nearest_colour((struct rgb){ cube_share(index / 36), cube_share(index / 6 % 6),
                                            cube_share(index % 6) });
    }
    uint8_t grey = (uint8_t)(8 + 10 * (index - 232));
    return nearest_colour((struct rgb){ grey, grey, grey });
}

/*
 * The colour that the parameters from `i` on name, behind a 38 or 48. Returns how many there were
 * of them, or 0 if they name none.
 */
static unsigned larger_palette(const struct terminal *t, unsigned i, uint8_t *colour)
{
    const uint16_t *p = &t->parameters[i];
    unsigned count = t->parameter_count - i;

    if (count >= 2 && p[0] == 5 && p[1] < 256) {
        *colour = palette_colour(p[1]);
        return 2;
    }
    if (count >= 4 && p[0] == 2 && p[1] < 256 && p[2] < 256 && p[3] < 256) {
        *colour = nearest_colour((struct rgb){ (uint8_t)p[1], (uint8_t)p[2], (uint8_t)p[3] });
        return 4;
    }
    return 0;
}

static void set_renditions(struct terminal *t)
{
    for (unsigned i = 0; i < t->parameter_count; i++) {
        unsigned code = t->parameters[i];
        if (code != 38 && code != 48) {
            set_rendition(t, code);
            continue;
        }
        uint8_t *colour = code == 38 ? &t->pen.foreground : &t->pen.background;
        unsigned taken = larger_palette(t, i + 1, colour);
        if (taken == 0)
            return; /* what follows are arguments that mean nothing here, not codes */
        i += taken;
    }
}

static void save_cursor(struct terminal *t)
{
    t->saved_row = t->row;
    t->saved_column = t->column;
    t->saved_pen = t->pen;
}

static void restore_cursor(struct terminal *t)
{
    move_to(t, t->saved_row, t->saved_column);
    t->pen = t->saved_pen;
}

/* Everything as at first, but the scrollback. */
static void reset(struct terminal *t)
{
    reset_colours(t);
    erase_rows(t, 0, t->rows);
    move_to(t, 0, 0);
    save_cursor(t);
    t->cursor_shown = true;
}

static void run_private_sequence(struct terminal *t, uint8_t final)
{
    bool is_cursor = t->marker == '?' && t->parameters[0] == 25;

    if (is_cursor && (final == 'h' || final == 'l'))
        t->cursor_shown = final == 'h';
}

/* Sequences that move text about; the cursor stays. */
static void run_edit(struct terminal *t, uint8_t final, unsigned n)
{
    switch (final) {
    case '@':
        insert_cells(t, n);
        break;
    case 'P':
        delete_cells(t, n);
        break;
    case 'X':
        erase(t, t->row, t->column, at_most(t->column + n, t->columns));
        break;
    case 'L':
        insert_rows(t, t->row, n);
        break;
    case 'M':
        delete_rows(t, t->row, n);
        break;
    case 'S':
        delete_rows(t, 0, n);
        break;
    case 'T':
        insert_rows(t, 0, n);
        break;
    default:
        return;
    }
    t->wrap_pending = false;
}

static void run_sequence(struct terminal *t, uint8_t final)
{
    unsigned n = parameter(t, 0);

    switch (final) {
    case 'A':
        move_to(t, less(t->row, n), t->column);
        break;
    case 'B':
        move_to(t, t->row + n, t->column);
        break;
    case 'C':
        move_to(t, t->row, t->column + n);
        break;
    case 'D':
        move_to(t, t->row, less(t->column, n));
        break;
    case 'E':
        move_to(t, t->row + n, 0);
        break;
    case 'F':
        move_to(t, less(t->row, n), 0);
        break;
    case 'G':
    case '`':
        move_to(t, t->row, n - 1);
        break;
    case 'd':
        move_to(t, n - 1, t->column);
        break;
    case 'H':
    case 'f':
        move_to(t, n - 1, parameter(t, 1) - 1);
        break;
    case 'J':
        erase_in_screen(t, t->parameters[0]);
        break;
    case 'K':
        erase_in_row(t, t->parameters[0]);
        break;
    case 'm':
        set_renditions(t);
        break;
    case 's':
        save_cursor(t);
        break;
    case 'u':
        restore_cursor(t);
        break;
    default:
        run_edit(t, final, n);
        break;
    }
}

static void begin_sequence(struct terminal *t)
{
    t->state = CSI;
    t->marker = 0;
    t->parameter_count = 1;
    memset(t->parameters, 0, sizeof(t->parameters));
}

static void add_digit(struct terminal *t, unsigned digit)
{
    if (t->parameter_count > TERMINAL_PARAMETERS)
        return;
    uint16_t *last = &t->parameters[t->parameter_count - 1];
    unsigned value = *last * 10u + digit;
    *last = (uint16_t)(value < PARAMETER_MAX ? value : PARAMETER_MAX);
}

/* A count past the array means that further parameters are dropped. */
static void next_parameter(struct terminal *t)
{
    if (t->parameter_count <= TERMINAL_PARAMETERS)
        t->parameter_count++;
}

static void finish_sequence(struct terminal *t, uint8_t final)
{
    if (t->parameter_count > TERMINAL_PARAMETERS)
        t->parameter_count = TERMINAL_PARAMETERS;
    t->state = GROUND;
    if (t->marker != 0)
        run_private_sequence(t, final);
    else
        run_sequence(t, final);
}

static void take_csi(struct terminal *t, uint8_t byte)
{
    if (byte >= 0x40)
        finish_sequence(t, byte);
    else if (byte >= '0' && byte <= '9')
        add_digit(t, byte - '0');
    else if (byte == ';')
        next_parameter(t);
    else if (byte >= '<' && byte <= '?')
        t->marker = byte;
    else
        t->state = CSI_UNKNOWN;
}

static void run_escape(struct terminal *t, uint8_t byte)
{
    t->state = byte < 0x30 ? ESCAPE_OTHER : GROUND;
    if (byte == '7')
        save_cursor(t);
    else if (byte == '8')
        restore_cursor(t);
    else if (byte == 'c')
        reset(t);
}

/* A printable ASCII byte inside an escape sequence. */
static void take_escape(struct terminal *t, uint8_t byte)
{
    switch (t->state) {
    case ESCAPE:
        if (byte == '[')
            begin_sequence(t);
        else
            run_escape(t, byte);
        break;
    case ESCAPE_OTHER:
        t->state = byte < 0x30 ? ESCAPE_OTHER : GROUND;
        break;
    case CSI:
        take_csi(t, byte);
        break;
    case CSI_UNKNOWN:
        t->state = byte < 0x40 ? CSI_UNKNOWN : GROUND;
        break;
    default:
        break;
    }
}

/* The styles of log.h: plain, title, good, bad. */
static void set_style(struct terminal *t, uint32_t style)
{
    static const uint8_t foregrounds[] = { 7, 6 | BRIGHT, 2 | BRIGHT, 4 | BRIGHT };

    reset_colours(t);
    t->pen.foreground = foregrounds[style];
}

static void take_control(struct terminal *t, uint32_t control)
{
    t->state = GROUND;
    if (control >= FIRST_STYLE && control < FIRST_STYLE + 4)
        set_style(t, control - FIRST_STYLE);
    switch (control) {
    case '\n':
        start_next_row(t);
        break;
    case '\r':
        move_to(t, t->row, 0);
        break;
    case '\b':
        step_back(t);
        break;
    case '\t':
        move_to(t, t->row, (t->column | 7) + 1);
        break;
    case '\033':
        t->state = ESCAPE;
        break;
    default:
        break;
    }
}

static void take_character(struct terminal *t, uint32_t character)
{
    bool is_control = character < ' ' || (character >= 0x7f && character < 0xa0);

    if (is_control) {
        take_control(t, character);
    } else if (t->state != GROUND && character < 0x7f) {
        take_escape(t, (uint8_t)character);
    } else {
        t->state = GROUND;
        put_character(t, character);
    }
}

static void take_byte(struct terminal *t, uint8_t byte)
{
    uint32_t character = utf8_decode(&t->utf8, byte);

    if (character == UTF8_BROKEN) {
        take_character(t, REPLACEMENT);
        character = utf8_decode(&t->utf8, byte);
    }
    if (character != UTF8_MORE)
        take_character(t, character == UTF8_INVALID ? REPLACEMENT : character);
}

/* The owner's side */

void terminal_init(struct terminal *t, struct terminal_cell *cells, unsigned columns, unsigned rows,
                   unsigned scrollback)
{
    ASSERT(columns >= TERMINAL_COLUMNS_MIN && columns <= TERMINAL_COLUMNS_MAX);
    ASSERT(rows >= TERMINAL_ROWS_MIN && rows <= TERMINAL_ROWS_MAX);

    *t = (struct terminal){
        .columns = columns,
        .rows = rows,
        .cells = cells,
        .lines = rows + scrollback,
        .cursor_shown = true,
    };
    reset_colours(t);
    save_cursor(t);
    erase_rows(t, 0, rows);
}

void terminal_write(struct terminal *t, const char *bytes, size_t length)
{
    if (length > 0)
        terminal_scroll_view(t, -(int)t->view);
    for (size_t i = 0; i < length; i++)
        take_byte(t, (uint8_t)bytes[i]);
}

void terminal_scroll_view(struct terminal *t, int lines)
{
    unsigned distance = lines < 0 ? 0u - (unsigned)lines : (unsigned)lines;
    unsigned view;

    if (lines < 0)
        view = less(t->view, distance);
    else
        view = distance < t->history - t->view ? t->view + distance : t->history;
    if (view != t->view)
        terminal_mark_all_dirty(t);
    t->view = view;
}

struct terminal_cell terminal_cell(const struct terminal *t, unsigned row, unsigned column)
{
    ASSERT(row < t->rows && column < t->columns);
    unsigned line = (t->top + t->lines - t->view + row) % t->lines;

    return t->cells[(size_t)line * t->columns + column];
}

bool terminal_row_dirty(const struct terminal *t, unsigned row)
{
    ASSERT(row < t->rows);
    return t->dirty[row];
}

bool terminal_take_dirty(struct terminal *t, unsigned row)
{
    bool dirty = terminal_row_dirty(t, row);

    t->dirty[row] = false;
    return dirty;
}

void terminal_mark_all_dirty(struct terminal *t)
{
    memset(t->dirty, true, t->rows);
}

bool terminal_cursor(const struct terminal *t, unsigned *row, unsigned *column)
{
    bool visible = t->cursor_shown && t->row + t->view < t->rows;

    *row = visible ? t->row + t->view : 0;
    *column = visible ? t->column : 0;
    return visible;
}
