/*
 * The rings between interrupt handlers and the input thread, and the queue of keys behind it.
 *
 * A key typed ahead is kept: the serial ring and the key queue together hold more than 4096 bytes
 * from COM1. While the queue is full, bytes wait in the ring.
 *
 * All data is guarded by interrupts off.
 */
#include <drivers/input.h>
#include <drivers/ansi_keys.h>
#include <drivers/console.h>
#include <drivers/timer.h>
#include <drivers/power.h>
#include <panic.h>
#include <sched/sched.h>
#include <sched/thread.h>
#include <x86/io.h>

/* Powers of two. */
#define SERIAL_RING  8192u
#define EVENT_RING   256u
#define KEY_QUEUE    4096u

#define SCROLL_LINES 12

#define CR_LF_MAX_US 5000u /* between the two of one Enter */

static struct {
    uint8_t bytes[SERIAL_RING];
    uint32_t head, tail;
} serial;

static struct {
    struct key_event events[EVENT_RING];
    uint32_t head, tail;
} events;

static struct {
    uint32_t keys[KEY_QUEUE];
    uint32_t head, tail;
} queue;

static struct wait_queue decoder_waits = { LIST_INITIALIZER(decoder_waits.threads) };
static struct wait_queue reader_waits = { LIST_INITIALIZER(reader_waits.threads) };
static struct thread *foreground;
static uint32_t lost;
static struct keyboard_device *devices;
static bool leds_changed;

static struct keyboard keyboard;
static struct ansi_decoder ansi;

/* ---- Interrupt handlers' side ---- */

void input_key_event(struct key_event event)
{
    uint32_t flags = interrupts_save();
    if (events.head - events.tail < EVENT_RING)
        events.events[events.head++ % EVENT_RING] = event;
    else
        lost++;
    wait_queue_wake_all(&decoder_waits);
    interrupts_restore(flags);
}

static bool ends_line(uint32_t key)
{
    return key == '\n' || key == '\r';
}

/*
 * Ctrl-C while a command runs: the command stops, and the line that was begun meanwhile is given
 * up. Whole lines typed ahead stay.
 */
static void interrupt_foreground(void)
{
    while (queue.head != queue.tail && !ends_line(queue.keys[(queue.head - 1) % KEY_QUEUE]))
        queue.head--;
    thread_interrupt(foreground);
}

/* The same as the byte arrives: what was typed before it may still be in the ring. */
static void interrupt_foreground_by_byte(void)
{
    while (serial.head != serial.tail && !ends_line(serial.bytes[(serial.head - 1) % SERIAL_RING]))
        serial.head--;
    if (serial.head == serial.tail)
        interrupt_foreground();
    else
        thread_interrupt(foreground); /* the line began in the ring, behind a whole one */
}

/*
 * CR LF is one Enter, and so the decoder skips a LF behind a CR. But a LF that comes later, when
 * the shell waits at its next prompt, is an Enter of its own.
 */
static uint8_t enter_of_its_own(uint8_t byte)
{
    static uint64_t last_cr_us;
    bool shell_waits = !list_empty(&reader_waits.threads) && serial.head == serial.tail;

    if (byte == '\r')
        last_cr_us = timer_clock_us();
    else if (byte == '\n' && shell_waits && timer_clock_us() - last_cr_us > CR_LF_MAX_US)
        return '\r';
    return byte;
}

void input_serial_byte(uint8_t byte)
{
    uint32_t flags = interrupts_save();
    byte = enter_of_its_own(byte);
    if (byte == KEY_CTRL('c') && foreground != NULL)
        interrupt_foreground_by_byte(); /* even when type-ahead fills the ring */
    else if (serial.head - serial.tail < SERIAL_RING)
        serial.bytes[serial.head++ % SERIAL_RING] = byte;
    else
        lost++;
    wait_queue_wake_all(&decoder_waits);
    interrupts_restore(flags);
}

/* ---- The input thread ---- */

static void enqueue(uint32_t key)
{
    uint32_t flags = interrupts_save();
    if (key == KEY_CTRL('c') && foreground != NULL)
        interrupt_foreground();
    else if (queue.head - queue.tail < KEY_QUEUE)
        queue.keys[queue.head++ % KEY_QUEUE] = key;
    else
        lost++;
    wait_queue_wake_one(&reader_waits);
    interrupts_restore(flags);
}

static void deliver(uint32_t key)
{
    switch (key) {
    case KEY_NONE:
        break;
    case KEY_SCROLL_UP:
        console_scroll(SCROLL_LINES);
        break;
    case KEY_SCROLL_DOWN:
        console_scroll(-SCROLL_LINES);
        break;
    case KEY_REBOOT:
        power_reboot();
    default:
        enqueue(key);
    }
}

enum source { SOURCE_NONE, SOURCE_EVENT, SOURCE_SERIAL };

/* Takes the next event or byte. Keyboards go first: a person waits there. */
static enum source take(struct key_event *event, uint8_t *byte)
{
    if (events.head != events.tail) {
        *event = events.events[events.tail++ % EVENT_RING];
        return SOURCE_EVENT;
    }
    if (serial.head != serial.tail && queue.head - queue.tail < KEY_QUEUE) {
        *byte = serial.bytes[serial.tail++ % SERIAL_RING];
        return SOURCE_SERIAL;
    }
    return SOURCE_NONE;
}

static void update_leds(void)
{
    static uint8_t shown = 0xff;
    uint8_t leds = keyboard_leds(&keyboard);

    if (leds == shown && !leds_changed)
        return;
    leds_changed = false;
    shown = leds;
    for (struct keyboard_device *device = devices; device != NULL; device = device->next)
        device->set_leds(leds);
}

static uint32_t decode(struct key_event event)
{
    uint32_t flags = interrupts_save(); /* the layout may be changed by the shell */
    uint32_t key = keyboard_event(&keyboard, event);
    interrupts_restore(flags);
    return key;
}

static int input_thread(void *arg UNUSED)
{
    struct key_event event;
    uint8_t byte;

    for (;;) {
        uint32_t flags = interrupts_save();
        enum source source = take(&event, &byte);
        if (source == SOURCE_NONE && !leds_changed)
            wait_queue_wait(&decoder_waits, WAIT_UNINTERRUPTIBLE, 0);
        interrupts_restore(flags);

        if (source == SOURCE_EVENT)
            deliver(decode(event));
        else if (source == SOURCE_SERIAL)
            deliver(ansi_decode(&ansi, byte));
        update_leds();
    }
    return 0;
}

void input_init(void)
{
    keyboard_init(&keyboard);

    struct thread *thread = thread_create("input", input_thread, NULL);
    if (thread == NULL)
        panic("too little memory: no stack for the input thread");
    thread_detach(thread);
}

void input_register_keyboard(struct keyboard_device *device)
{
    uint32_t flags = interrupts_save();
    device->next = devices;
    devices = device;
    leds_changed = true;
    wait_queue_wake_all(&decoder_waits);
    interrupts_restore(flags);
}

const struct keyboard_device *input_keyboard(uint32_t index)
{
    const struct keyboard_device *device = devices;
    while (device != NULL && index-- > 0)
        device = device->next;
    return device;
}

/* ---- The shell's side ---- */

uint32_t input_get_key(void)
{
    uint32_t flags = interrupts_save();
    while (queue.head == queue.tail)
        wait_queue_wait(&reader_waits, WAIT_UNINTERRUPTIBLE, 0);
    uint32_t key = queue.keys[queue.tail++ % KEY_QUEUE];
    wait_queue_wake_all(&decoder_waits); /* there is room for bytes that wait */
    interrupts_restore(flags);
    return key;
}

/*
 * Takes a Ctrl-C out of the queue that was typed before the command began, but meant it: one that
 * stands at the start of a line. Another gives up the line that it stands in.
 */
static bool take_typed_interrupt(void)
{
    for (uint32_t i = queue.tail; i != queue.head; i++) {
        bool at_start = i == queue.tail || ends_line(queue.keys[(i - 1) % KEY_QUEUE]);
        if (!at_start || queue.keys[i % KEY_QUEUE] != KEY_CTRL('c'))
            continue;
        for (uint32_t j = i; j + 1 != queue.head; j++)
            queue.keys[j % KEY_QUEUE] = queue.keys[(j + 1) % KEY_QUEUE];
        queue.head--;
        return true;
    }
    return false;
}

void input_set_foreground(struct thread *thread)
{
    uint32_t flags = interrupts_save();
    foreground = thread;
    if (thread != NULL && take_typed_interrupt())
        thread_interrupt(thread);
    interrupts_restore(flags);
}

bool input_set_keymap(const char *name)
{
    const struct keyboard_layout *layout = keyboard_find_layout(name);

    if (layout == NULL)
        return false;
    uint32_t flags = interrupts_save();
    keyboard_set_layout(&keyboard, layout);
    interrupts_restore(flags);
    return true;
}

const char *input_keymap(void)
{
    return keyboard_layout(&keyboard);
}

uint32_t input_lost(void)
{
    return lost;
}
