/*
 * The command diag: what a bug report from a real machine needs, on one screen, as text and as QR
 * codes of that text.
 *
 * Where one code is too small for the text on this screen, there are several, each of which begins
 * with a line "N/M"; they are of the report that was printed last, so that they fit together.
 *
 * Everything here is static: the command works when memory is used up. The shell runs one of these
 * commands at a time.
 */
#include <shell/shell.h>
#include <boot_info.h>
#include <drivers/console.h>
#include <drivers/input.h>
#include <drivers/pci.h>
#include <drivers/timer.h>
#include <lib/crc32.h>
#include <lib/number.h>
#include <lib/printf.h>
#include <lib/qr_text.h>
#include <lib/report.h>
#include <lib/string.h>
#include <log.h>
#include <mem/pmm.h>
#include <panic.h>
#include <version.h>
#include <usb/usb.h>
#include <x86/cpu.h>

#define FOUR_GIB      (1ull << 32)
#define FRAME_KIB     4u

#define PART_HEAD_MAX 8u /* "NN/MM\n" */

/* ---- The facts ---- */

static void report_boot(struct report *report)
{
    static const char *const firmware[] = { [MULTIBOOT2_BIOS] = "BIOS",
                                            [MULTIBOOT2_EFI32] = "UEFI ia32",
                                            [MULTIBOOT2_EFI64] = "UEFI x64" };
    char loader[64];

    multiboot2_loader_name(boot_info(), loader, sizeof(loader));
    report_line(report, "RoninOS");
    report_item(report, "%s", kernel_version);
    report_item(report, "up %u s", (uint32_t)(timer_uptime_ms() / 1000));
    report_line(report, "firmware");
    report_item(report, "%s", firmware[multiboot2_firmware(boot_info())]);
    report_item(report, "%s", loader);
}

static void report_cpu(struct report *report)
{
    const struct {
        const char *name;
        bool has;
    } features[] = {
        { "tsc", cpu.has_tsc },     { "msr", cpu.has_msr }, { "pse", cpu.has_pse },
        { "pse36", cpu.has_pse36 }, { "pat", cpu.has_pat }, { "efer", cpu.has_efer },
        { "smep", cpu.smep },       { "smap", cpu.smap },   { "umip", cpu.umip },
    };

    char list[64];
    int length = 0;

    for (uint32_t i = 0; i < ARRAY_SIZE(features); i++) {
        if (features[i].has)
            length += ksnprintf(list + length, sizeof(list) - (size_t)length, "%s%s",
                                length > 0 ? " " : "", features[i].name);
    }
    report_line(report, "cpu");
    report_item(report, "%s", cpu.has_cpuid ? cpu.vendor : "no CPUID");
    report_item(report, "%u.%u.%u", cpu.family, cpu.model, cpu.stepping);
    report_item(report, "%u bits", cpu.physical_address_bits);
    if (length > 0)
        report_item(report, "%s", list);
    const char *brand = cpu.brand;
    while (*brand == ' ')
        brand++;
    if (*brand != '\0')
        report_item(report, "%s", brand);
}

/* The memory map in a few numbers: two maps with the same ones are the same map. */
static void report_memory(struct report *report)
{
    struct memmap_source source = boot_info_regions();
    struct memmap_region region;
    uint32_t count = 0, crc = 0;
    uint64_t below = 0, above = 0;

    source.rewind(source.context);
    for (; source.next(source.context, &region); count++) {
        const uint64_t numbers[3] = { region.start, region.end, region.type };
        crc = crc32(crc, numbers, sizeof(numbers));
        if (region.type == MEMMAP_AVAILABLE)
            *(region.start < FOUR_GIB ? &below : &above) += region.end - region.start;
    }
    struct pmm_stats stats = pmm_get_stats();
    report_line(report, "memory");
    report_item(report, "%u regions 0x%08x", count, crc);
    report_item(report, "%llu KiB below 4 GiB", below / KIB);
    report_item(report, "%llu KiB above", above / KIB);
    report_item(report, "free %u of %u KiB", stats.free * FRAME_KIB, stats.total * FRAME_KIB);
}

static void report_screen(struct report *report)
{
    struct multiboot2_framebuffer fb;
    const char *name;

    report_line(report, "screen");
    if (!multiboot2_framebuffer(boot_info(), &fb)) {
        report_item(report, "no tag");
    } else {
        report_item(report, "%ux%ux%u", fb.width, fb.height, fb.bits);
        report_item(report, "type %u", fb.type);
        report_item(report, "pitch %u", fb.pitch);
        report_item(report, "at 0x%llx", fb.address);
    }
    report_line(report, "output");
    for (uint32_t i = 0; (name = console_name(i)) != NULL; i++)
        report_item(report, "%s", name);
}

static void report_keyboards(struct report *report)
{
    struct keyboard_info info;
    uint32_t count = 0;

    report_line(report, "keyboards");
    while (input_keyboard(count, &info)) {
        report_item(report, "%s%s%s", info.name, info.place[0] != '\0' ? " on " : "", info.place);
        count++;
    }
    if (count == 0)
        report_item(report, "none");
    report_item(report, "layout %s", input_keymap());
}

static void report_timer(struct report *report)
{
    struct timer_info timer = timer_info();

    report_line(report, "timer");
    report_item(report, "tick %s", timer.tick != NULL ? timer.tick : "none");
    report_item(report, "clock %s", timer.counter != NULL ? timer.counter : "none");
    report_item(report, "%u Hz", timer.counter_hz);
}

/* What drives screens, storage and USB, and the bridges that tell which chipset it is. */
static bool tells_much(const struct pci_device_info *info)
{
    bool chipset = info->class == 0x06 && info->subclass <= 0x01;

    return chipset || info->class == 0x01 || info->class == 0x03 ||
           (info->class == 0x0c && info->subclass == 0x03);
}

static void report_pci(struct report *report)
{
    const struct pci_device_info *info;
    uint32_t count = 0;

    while (pci_get(count) != NULL)
        count++;
    report_line(report, "pci");
    report_item(report, "%u functions", count);
    for (uint32_t i = 0; (info = pci_get(i)) != NULL; i++) {
        if (!tells_much(info))
            continue;
        char bar[24] = "";
        if (info->bars[0].kind == PCI_BAR_MEMORY)
            ksnprintf(bar, sizeof(bar), " @%llx", info->bars[0].base);
        report_item(report, "%02x:%02x.%x %04x:%04x %02x%02x.%02x%s", pci_bus(info->address),
                    pci_device(info->address), pci_function(info->address), info->vendor,
                    info->device, info->class, info->subclass, info->interface, bar);
    }
}

/* A device as "PORT VENDOR:PRODUCT what speed"; behind hubs a > for each before the port. */
static void report_usb_device(struct report *report, const struct usb_device_info *info)
{
    static const char hubs[] = ">>>>>";
    uint32_t depth = info->depth < USB_MAX_DEPTH ? info->depth : USB_MAX_DEPTH;

    report_item(report, "%s%u %04x:%04x %s %s", hubs + (USB_MAX_DEPTH - depth), info->port,
                info->descriptor.vendor, info->descriptor.product,
                info->driver != NULL ? info->driver : "unused", usb_speed_text(info->speed));
}

/* The controllers that run, and what they see. Those that did not start are among the warnings. */
static void report_usb(struct report *report)
{
    struct usb_controller *controller;
    struct usb_device_info info;

    for (uint32_t i = 0; (controller = usb_controller_get(i)) != NULL; i++) {
        pci_address_t pci = controller->pci;

        report_line(report, "usb");
        report_item(report, "%s %02x:%02x.%x %u ports%s", controller->kind, pci_bus(pci),
                    pci_device(pci), pci_function(pci), controller->ports,
                    controller->dead ? " dead" : "");
        for (uint32_t j = 0; usb_device_get(controller, j, &info); j++)
            report_usb_device(report, &info);
    }
}

static void report_warnings(struct report *report)
{
    char text[LOG_WARNING_MAX];

    report_line(report, "warnings");
    report_item(report, "%u", log_warning_count());
    for (uint32_t back = 0; log_warning(back, text); back++) {
        report_line(report, "!");
        report_item(report, "%s", text);
    }
}

static void report_all(struct report *report)
{
    report_begin(report);
    report_boot(report);
    report_cpu(report);
    report_memory(report);
    report_screen(report);
    report_keyboards(report);
    report_timer(report);
    report_pci(report);
    report_usb(report);
    report_warnings(report);
    report_end(report);
}

/* ---- The codes ---- */

/* How the report is spread over codes on this screen. */
struct parts {
    uint32_t count;
    uint32_t bytes;       /* of the report in each but the last */
    uint32_t version_max; /* that the screen shows */
    uint32_t rows;        /* of the screen; UINT32_MAX: there is none, and COM1 shows any size */
    enum qr_cells cells;
};

/* A row is left for the prompt. */
static struct parts divide(const struct report *report)
{
    struct console_screen screen;
    struct parts parts = { 1, report->length, QR_VERSION_MAX, UINT32_MAX, QR_HALF_BLOCKS };

    if (console_screen(&screen)) {
        parts.rows = screen.rows;
        parts.cells = screen.draws_braille ? QR_BRAILLE : QR_HALF_BLOCKS;
        parts.version_max = qr_text_version(screen.columns, screen.rows - 1, parts.cells);
    }
    uint32_t capacity = parts.version_max != 0 ? qr_capacity(parts.version_max) : 0;
    if (capacity <= PART_HEAD_MAX) {
        parts.count = 0;
    } else if (report->length > capacity) {
        parts.bytes = capacity - PART_HEAD_MAX;
        parts.count = (report->length + parts.bytes - 1) / parts.bytes;
    }
    return parts;
}

static void encode(struct qr *qr, const struct report *report, const struct parts *parts,
                   uint32_t number)
{
    static char text[REPORT_MAX + PART_HEAD_MAX];
    uint32_t from = (number - 1) * parts->bytes, length = 0;
    uint32_t bytes = report->length - from < parts->bytes ? report->length - from : parts->bytes;

    if (parts->count > 1)
        length = (uint32_t)ksnprintf(text, PART_HEAD_MAX, "%u/%u\n", number, parts->count);
    memcpy(text + length, report->text + from, bytes);
    bool made = qr_encode(qr, text, length + bytes, parts->version_max);
    ASSERT(made);
}

static void print_code(const struct qr *qr, enum qr_cells cells)
{
    char line[QR_TEXT_ROW_MAX];

    for (uint32_t row = 0; row < qr_text_rows(qr->version, cells); row++)
        console_print(line, qr_text_row(qr, row, cells, line));
}

static enum shell_result show_code(struct qr *qr, const struct report *report,
                                   const char *number_text)
{
    struct parts parts = divide(report);
    uint32_t number = 1;

    if (number_text != NULL && !parse_decimal(number_text, &number))
        return SHELL_USAGE;
    if (parts.count == 0)
        return shell_error("the screen is too small for a QR code");
    if (number == 0 || number > parts.count)
        return shell_error("there %s %u", parts.count == 1 ? "is only code" : "are codes 1 to",
                           parts.count);
    encode(qr, report, &parts, number);
    print_code(qr, parts.cells);
    return SHELL_OK;
}

/* The text, and beneath it the code if both fit on the screen; else how to have it. */
static void show_text(struct qr *qr, const struct report *report)
{
    struct parts parts = divide(report);

    console_print(report->text, report->length);
    if (parts.count > 1)
        kprintf("As QR codes: diag qr 1 to diag qr %u\n", parts.count);
    if (parts.count != 1)
        return;
    encode(qr, report, &parts, 1);
    uint32_t rows = report_lines(report) + qr_text_rows(qr->version, parts.cells) + 1;
    if (parts.rows != UINT32_MAX && rows <= parts.rows)
        print_code(qr, parts.cells);
    else
        kprintf("As a QR code: diag qr\n");
}

SHELL_COMMAND(diag, "diag [qr [NUMBER]]", "shows what a bug report needs, or QR codes of it",
              "diag qr")
{
    static struct report report;
    static struct qr qr;

    if (argc > 3 || (argc > 1 && strcmp(argv[1], "qr") != 0))
        return SHELL_USAGE;
    if (argc == 1 || report.length == 0)
        report_all(&report);
    if (argc > 1)
        return show_code(&qr, &report, argc == 3 ? argv[2] : NULL);
    show_text(&qr, &report);
    return SHELL_OK;
}
