/*
 * Lines of items, wrapped.
 */
#include <lib/report.h>
#include <lib/printf.h>
#include <lib/string.h>

#define ITEM_MAX  160u
#define CUT       "(cut)\n"
#define CUT_BYTES (sizeof(CUT) - 1)

void report_begin(struct report *report)
{
    *report = (struct report){ 0 };
}

/* Room for the mark is kept, and for the break before it. */
static void put(struct report *report, char c)
{
    if (report->cut || report->length >= REPORT_MAX - CUT_BYTES - 1) {
        report->cut = true;
        return;
    }
    report->text[report->length++] = c;
    report->column = c == '\n' ? 0 : report->column + 1;
}

static void put_text(struct report *report, const char *text)
{
    for (; *text != '\0'; text++)
        put(report, *text >= ' ' && *text <= '~' ? *text : '?');
}

static void end_line(struct report *report)
{
    if (report->column != 0)
        put(report, '\n');
}

void report_line(struct report *report, const char *key)
{
    end_line(report);
    put_text(report, key);
    report->items = 0;
}

void report_item(struct report *report, const char *format, ...)
{
    char item[ITEM_MAX];
    va_list args;

    va_start(args, format);
    kvsnprintf(item, sizeof(item), format, args);
    va_end(args);

    if (report->items++ > 0)
        put(report, ',');
    bool fits = report->column + 2 + strlen(item) <= REPORT_COLUMNS; /* a blank, and a comma */
    if (!fits && report->items > 1)
        put(report, '\n');
    put(report, ' ');
    for (const char *rest = item; *rest != '\0'; rest++) {
        if (rest[0] == ' ' && rest[1] == ' ')
            continue;
        if (report->column + 1 >= REPORT_COLUMNS) {
            put(report, '\n');
            put(report, ' ');
        }
        put_text(report, (const char[]){ *rest, '\0' });
    }
}

void report_end(struct report *report)
{
    end_line(report);
    if (report->cut) {
        if (report->column != 0)
            report->text[report->length++] = '\n';
        memcpy(report->text + report->length, CUT, CUT_BYTES);
        report->length += CUT_BYTES;
    }
    report->text[report->length] = '\0';
}

uint32_t report_lines(const struct report *report)
{
    uint32_t lines = 0;

    for (uint32_t i = 0; i < report->length; i++)
        lines += report->text[i] == '\n';
    return lines;
}
