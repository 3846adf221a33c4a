/*
 * The screen: a terminal, and what of it the device shows.
 *
 * `shown` is a copy of what was drawn on the device, so that only cells that changed are drawn and
 * the device is never read. There is one screen: its cells are static, for it must work before the
 * heap does and after the heap is broken.
 *
 * Whoever writes draws, until there are threads. From then on a thread of the screen's own draws,
 * so that of many lines that scroll by in a moment only the last are drawn; in a panic the writer
 * draws again. Interrupts are off for a cell at a time, no longer: devices are slow, and COM1 must
 * not overrun.
 */
#include <drivers/screen.h>
#include <boot_info.h>
#include <drivers/console.h>
#include <drivers/framebuffer.h>
#include <drivers/vga_text.h>
#include <log.h>
#include <sched/sync.h>
#include <sched/thread.h>
#include <x86/io.h>

/* The screen's lines and the scrollback above them: what a small screen leaves is scrollback. */
#define RING_CELLS     32768u
#define SCROLLBACK_MAX 1000u

#define NO_CURSOR      TERMINAL_COLUMNS_MAX
#define PIECE          16u /* bytes that the terminal takes with interrupts off */
#define PAUSE_MS       20u /* between two drawings */

static const struct terminal_cell NOT_DRAWN = { 0, 0 }; /* like no cell of a terminal */

static struct terminal terminal;
static struct terminal_cell cells[RING_CELLS];
static struct terminal_cell shown[SCREEN_CELLS_MAX]; /* by row and column; NOT_DRAWN at first */
static const struct screen_device *device;
static unsigned cursor_row; /* where the cursor was drawn last */

static bool thread_draws;
static volatile bool wanted; /* the thread has been woken and has not begun to draw */
static struct semaphore wake;

static const char *problem; /* why there is no screen */
static bool handed_over;    /* there is a framebuffer tag, and `fb` holds it */
static struct multiboot2_framebuffer fb;

static bool same(struct terminal_cell a, struct terminal_cell b)
{
    return a.character == b.character && a.attribute == b.attribute;
}

static struct terminal_cell reversed(struct terminal_cell cell)
{
    cell.attribute = (uint8_t)(cell.attribute << 4 | cell.attribute >> 4);
    return cell;
}

/* The column of the cursor in a row, if this device wants it drawn as a cell; else none. */
static unsigned cursor_in_row(unsigned row)
{
    unsigned at, column;

    uint32_t flags = interrupts_save();
    bool visible = terminal_cursor(&terminal, &at, &column);
    interrupts_restore(flags);
    return visible && at == row && device->place_cursor == NULL ? column : NO_CURSOR;
}

static void draw_cell(unsigned row, unsigned column, unsigned cursor)
{
    struct terminal_cell *old = &shown[row * terminal.columns + column];
    struct terminal_cell cell = terminal_cell(&terminal, row, column);

    if (column == cursor)
        cell = reversed(cell);
    if (same(cell, *old))
        return;
    *old = NOT_DRAWN; /* a panic may come in the middle of it */
    device->draw(row, column, cell);
    *old = cell;
}

/* What changes meanwhile makes the row dirty again, or moves the cursor, and is drawn next time. */
static void draw_row(unsigned row, unsigned cursor)
{
    terminal_take_dirty(&terminal, row);
    for (unsigned column = 0; column < terminal.columns; column++) {
        uint32_t flags = interrupts_save();
        draw_cell(row, column, cursor);
        interrupts_restore(flags);
    }
}

/* If the cursor is here, the row where it was drawn before loses it first: there is only one. */
static void update_row(unsigned row)
{
    unsigned cursor = cursor_in_row(row);
    bool cursor_here = cursor != NO_CURSOR;

    if (cursor_here && row != cursor_row)
        draw_row(cursor_row, NO_CURSOR);
    if (cursor_here || row == cursor_row || terminal_row_dirty(&terminal, row))
        draw_row(row, cursor);
    if (cursor_here)
        cursor_row = row;
}

static void draw(void)
{
    unsigned row, column;

    if (device->ready != NULL && !device->ready())
        return;
    for (row = 0; row < terminal.rows; row++)
        update_row(row);

    uint32_t flags = interrupts_save();
    bool visible = terminal_cursor(&terminal, &row, &column);
    if (device->place_cursor != NULL)
        device->place_cursor(visible, row, column);
    interrupts_restore(flags);
    finish_writes();
}

/* Sees to it that what the terminal holds is drawn soon. */
static void draw_soon(void)
{
    if (console_taken_over()) {
        terminal_mark_all_dirty(&terminal); /* the panic may have come while a row was drawn */
        draw();
    } else if (!thread_draws)
        draw();
    else if (!wanted) {
        wanted = true;
        semaphore_signal(&wake);
    }
}

/* The first change after a pause is drawn at once, those that follow together. */
_Noreturn static void draw_for_ever(void)
{
    for (;;) {
        semaphore_wait(&wake, WAIT_UNINTERRUPTIBLE);
        wanted = false;
        draw();
        thread_sleep(PAUSE_MS);
    }
}

static int drawing_thread(void *arg UNUSED)
{
    draw_for_ever();
}

void screen_start_thread(void)
{
    if (device == NULL)
        return;
    semaphore_init(&wake, 0);
    struct thread *thread = thread_create("screen", drawing_thread, NULL);
    if (thread == NULL) {
        klog_warning("screen: no memory for its thread; writers draw themselves");
        return;
    }
    thread_detach(thread);
    thread_draws = true;
}

static void write(const char *bytes, size_t length)
{
    while (length > 0) {
        size_t piece = length < PIECE ? length : PIECE;

        uint32_t flags = interrupts_save();
        terminal_write(&terminal, bytes, piece);
        interrupts_restore(flags);
        bytes += piece;
        length -= piece;
    }
    draw_soon();
}

static void scroll(int lines)
{
    uint32_t flags = interrupts_save();
    terminal_scroll_view(&terminal, lines);
    interrupts_restore(flags);
    draw_soon();
}

/* A ronin's sword, over the first line of the boot log. */
static void draw_logo(void)
{
    static const char sword[] = "\033[31m▐\033[33m▬▬▬▬▬▬\033[93m╪"
                                "\033[97m══════════════════════════════\033[37m════════════"
                                "\033[90m════──\033[0m\n";

    terminal_write(&terminal, sword, sizeof(sword) - 1);
}

static struct console console = { .write = write, .scroll = scroll };

static void start(const struct screen_device *found)
{
    unsigned scrollback = RING_CELLS / found->columns - found->rows;

    device = found;
    terminal_init(&terminal, cells, device->columns, device->rows,
                  scrollback < SCROLLBACK_MAX ? scrollback : SCROLLBACK_MAX);
    draw_logo();
    draw();
    console.name = device->name;
    console.columns = device->columns;
    console.rows = device->rows;
    console.draws_braille = device->draws_braille;
    console_register(&console);
}

void screen_init(void)
{
    const struct screen_device *found = NULL;

    /* Without a block nothing is known but that this is a PC: most have text at the usual place. */
    if (boot_info_start() == 0)
        found = vga_text_open(VGA_TEXT_PHYS, 80, 25, &problem);
    else if (!(handed_over = multiboot2_framebuffer(boot_info(), &fb)))
        problem = "the loader handed over none";
    else if (fb.type == MULTIBOOT2_FRAMEBUFFER_EGA_TEXT)
        found = vga_text_open(fb.address, fb.width, fb.height, &problem);
    else if ((problem = boot_info_framebuffer_fault(&fb)) == NULL)
        found = framebuffer_open(&fb, &problem);
    if (found != NULL)
        start(found);
}

void screen_map(void)
{
    if (device == NULL || device->map == NULL)
        return;
    problem = device->map();
    if (problem != NULL) {
        console_unregister(&console);
        device = NULL;
    }
}

unsigned screen_columns(void)
{
    return device != NULL ? device->columns : 0;
}

void screen_report(void)
{
    char text[80] = "";

    if (device == NULL && problem == NULL)
        return; /* the screen was to be left alone */
    if (problem != NULL && handed_over) {
        klog_warning("screen: none, %s: framebuffer %ux%ux%u at 0x%08llx", problem, fb.width,
                     fb.height, fb.bits, fb.address);
        return;
    }
    if (problem != NULL) {
        klog_warning("screen: none, %s", problem);
        return;
    }
    if (device->describe != NULL)
        device->describe(text, sizeof(text));
    klog("screen: %s%s, %ux%u cells", device->name, text, device->columns, device->rows);
}
