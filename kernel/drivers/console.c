/*
 * The registry of outputs and the ring between those who print and the devices.
 *
 * Two things are kept apart. Appending to the ring is short and happens with interrupts off, so
 * that a message and the open line around it stay together. Writing to the devices is slow and
 * happens with interrupts as they are, by one context at a time: `draining` says that somebody is
 * at it, and who finds it set leaves its text in the ring for that one to write.
 */
#include <drivers/console.h>
#include <lib/string.h>
#include <sched/sched.h>
#include <sched/thread.h>
#include <x86/io.h>
#include <x86/irq.h>

#define RING_SIZE 16384u /* a power of two; holds the longest line with its redrawing */
#define CHUNK     256u

/* Room that an edit or a message with the open line around it may need at most. */
#define RESERVE   (RING_SIZE / 2)

static struct console *consoles;

static char ring[RING_SIZE];
static uint32_t head, tail; /* written up to head, drained up to tail; guarded by interrupts off */
static bool draining;
static bool taken_over;
static struct console *writing; /* whose write() runs; matters when that one faults */
static uint32_t dropped; /* bytes that found no room, because an interrupt handler cannot wait */

static const struct console_line *open_line;

void console_register(struct console *console)
{
    struct console **link = &consoles;
    while (*link != NULL)
        link = &(*link)->next;
    console->next = NULL;
    *link = console;
}

void console_unregister(struct console *console)
{
    struct console **link = &consoles;
    while (*link != console)
        link = &(*link)->next;
    *link = console->next;
}

const char *console_name(uint32_t index)
{
    const struct console *console = consoles;
    while (console != NULL && index-- > 0)
        console = console->next;
    return console != NULL ? console->name : NULL;
}

static unsigned smaller(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

bool console_screen(struct console_screen *screen)
{
    *screen = (struct console_screen){ UINT32_MAX, UINT32_MAX, true };
    bool found = false;

    for (const struct console *console = consoles; console != NULL; console = console->next) {
        if (console->rows == 0)
            continue;
        screen->columns = smaller(screen->columns, console->columns);
        screen->rows = smaller(screen->rows, console->rows);
        screen->draws_braille = screen->draws_braille && console->draws_braille;
        found = true;
    }
    return found;
}

static void write_to_devices(const char *bytes, size_t length)
{
    for (struct console *console = consoles; console != NULL; console = console->next) {
        writing = console;
        if (!console->broken)
            console->write(bytes, length);
    }
    writing = NULL;
}

/* Interrupts must be off. */
static void append(const char *bytes, size_t length)
{
    if (taken_over) {
        write_to_devices(bytes, length);
        return;
    }
    uint32_t room = RING_SIZE - (head - tail);
    if (length > room) {
        dropped += (uint32_t)(length - room);
        length = room;
    }
    for (uint32_t i = 0; i < length; i++)
        ring[(head + i) % RING_SIZE] = bytes[i];
    head += (uint32_t)length;
}

static size_t take_chunk(char *chunk)
{
    uint32_t length = head - tail < CHUNK ? head - tail : CHUNK;

    for (uint32_t i = 0; i < length; i++)
        chunk[i] = ring[(tail + i) % RING_SIZE];
    tail += length;
    return length;
}

/* Writes what the ring holds, unless somebody else is at it. */
static void drain(void)
{
    char chunk[CHUNK];
    uint32_t flags = interrupts_save();

    while (!draining && tail != head) {
        size_t length = take_chunk(chunk);
        draining = true;
        interrupts_restore(flags);
        write_to_devices(chunk, length);
        interrupts_disable();
        draining = false;
    }
    interrupts_restore(flags);
}

/*
 * Turns interrupts off with room for a message in the ring. A thread waits for it; where one cannot
 * wait, what does not fit is dropped.
 */
static uint32_t begin_with_room(void)
{
    for (;;) {
        drain();
        uint32_t flags = interrupts_save();
        bool can_wait = (flags & EFLAGS_IF) && !irq_active() && sched_running();
        if (RING_SIZE - (head - tail) >= RESERVE || !can_wait)
            return flags;
        interrupts_restore(flags);
        thread_yield();
    }
}

static void print_above_line(const char *bytes, size_t length)
{
    open_line->hide(open_line->arg);
    append(bytes, length);
    if (bytes[length - 1] != '\n')
        append("\n", 1);
    open_line->show(open_line->arg);
}

void console_print(const char *bytes, size_t length)
{
    while (length > 0) {
        size_t part = length < RESERVE / 4 ? length : RESERVE / 4;

        uint32_t flags = begin_with_room();
        if (open_line != NULL && !taken_over)
            print_above_line(bytes, part);
        else
            append(bytes, part);
        interrupts_restore(flags);
        bytes += part;
        length -= part;
    }
    drain();
}

void console_set_line(const struct console_line *line)
{
    open_line = line;
}

uint32_t console_edit_begin(void)
{
    return begin_with_room();
}

void console_edit_end(uint32_t flags)
{
    interrupts_restore(flags);
    drain();
}

void console_edit_write(const char *bytes, size_t length)
{
    append(bytes, length);
}

void console_scroll(int lines)
{
    for (struct console *console = consoles; console != NULL; console = console->next) {
        if (console->scroll != NULL)
            console->scroll(lines);
    }
}

uint32_t console_dropped(void)
{
    return dropped;
}

bool console_give_up_writing(void)
{
    if (writing == NULL)
        return false;
    writing->broken = true;
    return true;
}

bool console_taken_over(void)
{
    return taken_over;
}

void console_take_over(void)
{
    static bool waiting_written;

    interrupts_disable();
    taken_over = true;
    while (!waiting_written) {
        char chunk[CHUNK];
        size_t length = take_chunk(chunk);
        waiting_written = length == 0;
        write_to_devices(chunk, length);
    }
}
