/*
 * The rings between interrupt handlers and the input thread, and the queue of keys behind it.
 *
 * A key typed ahead is kept: the serial ring and the key queue together hold more than 4096 bytes
 * from COM1. While the queue is full, bytes wait in the ring.
 *
 * All data is guarded by interrupts off. A mutex besides holds keyboards in place while their LEDs
 * are set, which may take long.
 */
#include <drivers/input.h>
#include <drivers/ansi_keys.h>
#include <drivers/console.h>
#include <drivers/timer.h>
#include <drivers/power.h>
#include <lib/string.h>
#include <panic.h>
#include <sched/sched.h>
#include <sched/sync.h>
#include <sched/thread.h>
#include <x86/io.h>

/* Powers of two. */
#define SERIAL_RING  8192u
#define EVENT_RING   256u
#define KEY_QUEUE    4096u
#define REPORT_RING  256u

#define SCROLL_LINES 12

#define CR_LF_MAX_US 5000u /* between the two of one Enter */

static struct {
    uint8_t bytes[SERIAL_RING];
    uint32_t head, tail;
} serial;

static struct {
    struct source_event {
        struct key_event event;
        uint8_t keyboard; /* its number */
    } events[EVENT_RING];
    uint32_t head, tail;
} events;

static struct {
    uint32_t keys[KEY_QUEUE];
    uint32_t head, tail;
} queue;

static struct {
    struct input_report reports[REPORT_RING];
    uint32_t head, tail;
    bool on;
    struct wait_queue waits;
} watch = { .waits = { LIST_INITIALIZER(watch.waits.threads) } };

static struct wait_queue decoder_waits = { LIST_INITIALIZER(decoder_waits.threads) };
static struct wait_queue reader_waits = { LIST_INITIALIZER(reader_waits.threads) };
static struct thread *foreground;
static uint32_t lost;
static struct keyboard_device *devices;
static struct mutex devices_mutex = MUTEX_INITIALIZER(devices_mutex); /* and interrupts off */
static bool leds_changed;

static struct keyboard keyboard;
static struct ansi_decoder ansi;

/* ---- Interrupt handlers' side ---- */

static bool holds(const struct keyboard_device *device, uint8_t keycode)
{
    return device->down[keycode / 32] & 1u << keycode % 32;
}

static bool another_holds(const struct keyboard_device *device, uint8_t keycode)
{
    for (const struct keyboard_device *other = devices; other != NULL; other = other->next) {
        if (other != device && holds(other, keycode))
            return true;
    }
    return false;
}

/* A key that another keyboard holds stays down when it is released here. */
void input_key_event(struct keyboard_device *device, struct key_event event)
{
    uint32_t flags = interrupts_save();
    uint32_t bit = 1u << event.keycode % 32;

    if (event.pressed)
        device->down[event.keycode / 32] |= bit;
    else
        device->down[event.keycode / 32] &= ~bit;
    if (!event.pressed && another_holds(device, event.keycode))
        ; /* nothing has changed */
    else if (events.head - events.tail < EVENT_RING)
        events.events[events.head++ % EVENT_RING] = (struct source_event){ event, device->number };
    else
        lost++;
    wait_queue_wake_all(&decoder_waits);
    interrupts_restore(flags);
}

/* It will not say so itself. Interrupts are off. */
static void release_keys(struct keyboard_device *device)
{
    for (uint32_t keycode = 0; keycode < 256; keycode++) {
        if (holds(device, (uint8_t)keycode))
            input_key_event(device, (struct key_event){ .keycode = (uint8_t)keycode });
    }
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

/* A key that only shows while keys are watched. */
static bool is_watched_only(uint32_t key)
{
    return key != KEY_CTRL('c') && key != KEY_SCROLL_UP && key != KEY_SCROLL_DOWN &&
           key != KEY_REBOOT;
}

/* To whoever watches. A report that finds no room is dropped. */
static void report(uint8_t from, struct key_event event, uint32_t key)
{
    uint32_t flags = interrupts_save();
    if (watch.on && watch.head - watch.tail < REPORT_RING)
        watch.reports[watch.head++ % REPORT_RING] = (struct input_report){ from, event, key };
    wait_queue_wake_all(&watch.waits);
    interrupts_restore(flags);
}

static void deliver(uint32_t key)
{
    if (key == KEY_NONE || (watch.on && is_watched_only(key)))
        return;
    switch (key) {
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
static enum source take(struct source_event *event, uint8_t *byte)
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
    mutex_lock(&devices_mutex);
    for (struct keyboard_device *device = devices; device != NULL; device = device->next)
        device->set_leds(device, leds);
    mutex_unlock(&devices_mutex);
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
    struct source_event event;
    uint32_t key;
    uint8_t byte;

    for (;;) {
        uint32_t flags = interrupts_save();
        enum source source = take(&event, &byte);
        if (source == SOURCE_NONE && !leds_changed)
            wait_queue_wait(&decoder_waits, WAIT_UNINTERRUPTIBLE, 0);
        interrupts_restore(flags);

        if (source == SOURCE_EVENT) {
            key = decode(event.event);
            report(event.keyboard, event.event, key);
            deliver(key);
        } else if (source == SOURCE_SERIAL) {
            key = ansi_decode(&ansi, byte);
            if (key != KEY_NONE)
                report(0, (struct key_event){ .keycode = KC_NONE }, key);
            deliver(key);
        }
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

/* ---- Keyboards ---- */

static uint8_t free_number(void)
{
    uint8_t number = 1;

    for (const struct keyboard_device *device = devices; device != NULL;) {
        bool taken = device->number == number;
        number += taken;
        device = taken ? devices : device->next;
    }
    return number;
}

void input_register_keyboard(struct keyboard_device *device)
{
    mutex_lock(&devices_mutex);
    uint32_t flags = interrupts_save();
    device->number = free_number();
    device->next = devices;
    devices = device;
    leds_changed = true;
    wait_queue_wake_all(&decoder_waits);
    interrupts_restore(flags);
    mutex_unlock(&devices_mutex);
}

void input_unregister_keyboard(struct keyboard_device *device)
{
    mutex_lock(&devices_mutex);
    uint32_t flags = interrupts_save();
    release_keys(device);
    struct keyboard_device **link = &devices;
    while (*link != device)
        link = &(*link)->next;
    *link = device->next;
    interrupts_restore(flags);
    mutex_unlock(&devices_mutex);
}

bool input_keyboard(uint32_t index, struct keyboard_info *info)
{
    uint32_t flags = interrupts_save();
    const struct keyboard_device *device = devices;
    while (device != NULL && index-- > 0)
        device = device->next;
    if (device != NULL) {
        info->name = device->name;
        info->number = device->number;
        strcopy(info->place, device->place != NULL ? device->place : "", sizeof(info->place));
    }
    interrupts_restore(flags);
    return device != NULL;
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

void input_watch(bool on)
{
    uint32_t flags = interrupts_save();
    watch.on = on;
    watch.head = watch.tail = 0;
    interrupts_restore(flags);
}

bool input_watch_next(struct input_report *next, uint32_t timeout_ms)
{
    bool waited = true;

    uint32_t flags = interrupts_save();
    while (watch.head == watch.tail && waited)
        waited = wait_queue_wait(&watch.waits, WAIT_INTERRUPTIBLE, timeout_ms);
    bool found = watch.head != watch.tail;
    if (found)
        *next = watch.reports[watch.tail++ % REPORT_RING];
    interrupts_restore(flags);
    return found;
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
