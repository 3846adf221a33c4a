/*
 * Commands about USB and keyboards: the tree of devices, and keys as they arrive.
 */
#include <shell/shell.h>
#include <drivers/input.h>
#include <drivers/pci.h>
#include <log.h>
#include <sched/thread.h>
#include <usb/usb.h>

#define KEYS_SILENCE_MS 10000u

static const char *class_text(uint8_t class)
{
    switch (class) {
    case 0x01:
        return "audio";
    case 0x02:
    case 0x0a:
        return "communication";
    case 0x03:
        return "input device";
    case 0x07:
        return "printer";
    case 0x08:
        return "storage";
    case 0x09:
        return "hub";
    case 0x0e:
        return "video";
    case 0xe0:
        return "wireless";
    default:
        return "other";
    }
}

static void print_device(const struct usb_device_info *info)
{
    kprintf("%*sport %u: %04x:%04x ", 2 + 2 * info->depth, "", info->port, info->descriptor.vendor,
            info->descriptor.product);
    if (info->driver != NULL)
        kprintf("%s", info->driver);
    else
        kprintf("%s (class %02x), no driver", class_text(info->class), info->class);
    kprintf(", %s speed, address %u", usb_speed_text(info->speed), info->address);
    if (info->hub_ports != 0)
        kprintf(", %u ports", info->hub_ports);
    if (info->manufacturer[0] != '\0' || info->product[0] != '\0')
        kprintf(": %s%s%s", info->manufacturer, info->manufacturer[0] != '\0' ? " " : "",
                info->product);
    kprintf("\n");
}

static void print_controller(struct usb_controller *controller)
{
    struct usb_device_info info;
    pci_address_t pci = controller->pci;

    kprintf("%s %02x:%02x.%x, %u ports%s\n", controller->kind, pci_bus(pci), pci_device(pci),
            pci_function(pci), controller->ports, controller->dead ? ": failed, left alone" : "");
    if (controller->ops->describe != NULL)
        controller->ops->describe(controller);
    for (uint32_t i = 0; usb_device_get(controller, i, &info) && !thread_interrupted(); i++)
        print_device(&info);
}

SHELL_COMMAND(usb, "usb", "lists USB controllers and what is plugged in", "usb")
{
    struct usb_controller *controller;

    if (argc != 1)
        return SHELL_USAGE;
    if (usb_controller_get(0) == NULL)
        kprintf("no USB controllers\n");
    for (uint32_t i = 0; (controller = usb_controller_get(i)) != NULL && !thread_interrupted(); i++)
        print_controller(controller);
    return SHELL_OK;
}

/* ---- keys ---- */

static void print_source(uint8_t number)
{
    struct keyboard_info info;

    for (uint32_t i = 0; input_keyboard(i, &info); i++) {
        if (info.number == number) {
            kprintf("keyboard %u (%s%s%s)", number, info.name, info.place[0] != '\0' ? ", " : "",
                    info.place);
            return;
        }
    }
    kprintf("keyboard %u (gone)", number);
}

static void print_key(uint32_t key)
{
    if (key > ' ' && key <= '~')
        kprintf("'%c'", (char)key);
    else if (key < KEY_UP)
        kprintf("U+%04x", key);
    else
        kprintf("special key %u", key - KEY_UP);
}

static void print_report(const struct input_report *report)
{
    if (report->keyboard == 0) {
        kprintf("COM1: ");
    } else {
        print_source(report->keyboard);
        kprintf(": keycode 0x%02x %s", report->event.keycode,
                report->event.pressed ? "pressed" : "released");
        if (report->key != KEY_NONE)
            kprintf(": ");
    }
    if (report->key != KEY_NONE)
        print_key(report->key);
    kprintf("\n");
}

static bool is_escape(const struct input_report *report)
{
    return report->key == 0x1b;
}

SHELL_COMMAND(keys, "keys", "shows keys as they arrive; Ctrl-C, Escape twice or silence ends it",
              "keys")
{
    struct input_report report;
    uint32_t escapes = 0;

    if (argc != 1)
        return SHELL_USAGE;
    kprintf("Press keys. Ctrl-C, Escape twice or %u seconds of silence end this.\n",
            KEYS_SILENCE_MS / 1000);
    input_watch(true);
    while (escapes < 2 && !thread_interrupted() && input_watch_next(&report, KEYS_SILENCE_MS)) {
        print_report(&report);
        if (report.key != KEY_NONE)
            escapes = is_escape(&report) ? escapes + 1 : 0;
    }
    input_watch(false);
    return SHELL_OK;
}
