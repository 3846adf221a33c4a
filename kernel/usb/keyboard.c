/*
 * Keyboards by HID's boot protocol: one interrupt endpoint each, asked again as soon as it has
 * answered. A keyboard answers only when a key went down or up; repeating is done here.
 *
 * Reports arrive with interrupts off and go straight to the input ring. What needs control
 * transfers, the LEDs and a stalled endpoint, waits for the thread "usb".
 *
 * Source: Device Class Definition for HID 1.11, "Class-Specific Requests".
 */
#include <usb/core.h>
#include <usb/hid.h>
#include <usb/system.h>
#include <drivers/input.h>
#include <heap.h>
#include <log.h>

#define TO_INTERFACE   (USB_CLASS_REQUEST | USB_TO_INTERFACE)
#define SET_REPORT     9
#define SET_IDLE       10
#define SET_PROTOCOL   11
#define BOOT_PROTOCOL  0
#define OUTPUT_REPORT  (2 << 8)
#define MAX_RECOVERIES 8u /* one after the other, without a report between */

struct usb_keyboard {
    struct keyboard_device input;
    struct usb_device *device;
    uint8_t interface;
    char place[KEYBOARD_PLACE_SIZE];
    struct usb_endpoint endpoint;
    struct usb_keyboard *next;

    /* Guarded by usb_lock(). */
    struct usb_transfer transfer;
    struct hid_keyboard hid;
    uint32_t recoveries;
    bool broken; /* the endpoint has to be recovered */
    uint8_t leds;
    bool leds_changed;
};

static struct usb_keyboard *keyboards; /* guarded by usb_lock() */

/* ---- Reports ---- */

static void give_event(void *arg, struct key_event event)
{
    struct usb_keyboard *keyboard = arg;
    input_key_event(&keyboard->input, event);
}

static void report_arrived(struct usb_transfer *transfer)
{
    struct usb_keyboard *keyboard = transfer->arg;

    if (transfer->status == USB_OK) {
        keyboard->recoveries = 0;
        hid_keyboard_report(&keyboard->hid, transfer->buffer, transfer->actual, usb_now_ms(),
                            give_event, keyboard);
        if (usb_submit(transfer))
            return;
    }
    keyboard->broken = true;
    usb_wake();
}

void usb_keyboards_tick(uint64_t now_ms)
{
    struct key_event event;

    for (struct usb_keyboard *keyboard = keyboards; keyboard != NULL; keyboard = keyboard->next) {
        if (!keyboard->broken && hid_keyboard_repeat(&keyboard->hid, now_ms, &event))
            give_event(keyboard, event);
    }
}

/* ---- The thread's side ---- */

/* By the input thread. */
static void set_leds(struct keyboard_device *input, uint8_t leds)
{
    struct usb_keyboard *keyboard = input->arg;

    uint32_t state = usb_lock();
    keyboard->leds = leds;
    keyboard->leds_changed = true;
    usb_unlock(state);
    usb_wake();
}

static void show_leds(struct usb_keyboard *keyboard)
{
    uint32_t state = usb_lock();
    bool changed = keyboard->leds_changed;
    uint8_t report = hid_led_report(keyboard->leds);
    keyboard->leds_changed = false;
    usb_unlock(state);

    /* A keyboard without LEDs may refuse. */
    if (changed)
        (void)usb_request(keyboard->device, TO_INTERFACE, SET_REPORT, OUTPUT_REPORT,
                          keyboard->interface, &report, sizeof(report));
}

/* The transfer may fail before this returns: then `broken` is set already. */
static void start_reports(struct usb_keyboard *keyboard)
{
    keyboard->broken = false;
    if (!usb_submit(&keyboard->transfer))
        keyboard->broken = true;
}

/* A keyboard that was pulled also fails here, until its port tells. */
static void recover(struct usb_keyboard *keyboard)
{
    if (!keyboard->broken)
        return;
    if (++keyboard->recoveries > MAX_RECOVERIES) {
        klog_warning("keyboard: USB, on %s: no more reports come", keyboard->place);
        usb_restart(keyboard->device);
        return;
    }
    if (usb_recover_interrupt(&keyboard->endpoint))
        start_reports(keyboard);
}

static void keyboard_service(struct usb_device *device)
{
    struct usb_keyboard *keyboard = device->core->driver_data;

    recover(keyboard);
    show_leds(keyboard);
}

/* ---- Attaching ---- */

static bool keyboard_matches(const struct usb_device *device UNUSED,
                             const struct usb_interface *interface)
{
    return interface->class == USB_CLASS_HID && interface->subclass == USB_HID_BOOT &&
           interface->protocol == USB_HID_KEYBOARD && interface->setting == 0 &&
           interface->interrupt_in.address != 0;
}

/* Boot reports, and only when something changes. A keyboard that knows nothing else may refuse. */
static void choose_boot_protocol(struct usb_device *device, uint8_t interface)
{
    (void)usb_request(device, TO_INTERFACE, SET_PROTOCOL, BOOT_PROTOCOL, interface, NULL, 0);
    (void)usb_request(device, TO_INTERFACE, SET_IDLE, 0, interface, NULL, 0);
}

static void link_keyboard(struct usb_keyboard *keyboard)
{
    uint32_t state = usb_lock();
    keyboard->next = keyboards;
    keyboards = keyboard;
    usb_unlock(state);
}

static void unlink_keyboard(struct usb_keyboard *keyboard)
{
    uint32_t state = usb_lock();
    struct usb_keyboard **link = &keyboards;
    while (*link != keyboard)
        link = &(*link)->next;
    *link = keyboard->next;
    usb_unlock(state);
}

static enum usb_attach keyboard_attach(struct usb_device *device,
                                       const struct usb_interface *interface)
{
    struct usb_keyboard *keyboard = kcalloc(1, sizeof(*keyboard));
    if (keyboard == NULL)
        return USB_TRY_AGAIN;

    keyboard->device = device;
    keyboard->interface = interface->number;
    keyboard->input = (struct keyboard_device){
        .name = "USB", .place = keyboard->place, .set_leds = set_leds, .arg = keyboard
    };
    usb_format_place(device, keyboard->place, sizeof(keyboard->place));
    choose_boot_protocol(device, interface->number);
    if (!usb_open_interrupt(device, interface, &keyboard->endpoint)) {
        kfree(keyboard);
        return USB_TRY_AGAIN;
    }
    keyboard->transfer = (struct usb_transfer){
        .endpoint = &keyboard->endpoint,
        .buffer = usb_class_buffer(device),
        .length = keyboard->endpoint.packet_size,
        .done = report_arrived,
        .arg = keyboard,
    };
    device->core->driver_data = keyboard;
    input_register_keyboard(&keyboard->input);
    link_keyboard(keyboard);
    klog("keyboard: USB, on %s", keyboard->place);
    start_reports(keyboard);
    return USB_ATTACHED;
}

static void keyboard_detach(struct usb_device *device)
{
    struct usb_keyboard *keyboard = device->core->driver_data;

    unlink_keyboard(keyboard);
    usb_close_interrupt(&keyboard->endpoint, &keyboard->transfer);
    input_unregister_keyboard(&keyboard->input);
    klog("keyboard: USB, on %s: gone", keyboard->place);
    kfree(keyboard);
}

const struct usb_class usb_keyboard_class = {
    .name = "keyboard",
    .matches = keyboard_matches,
    .attach = keyboard_attach,
    .service = keyboard_service,
    .detach = keyboard_detach,
};
