/*
 * kprintf, klog and the log: a static ring of the last LOG_SIZE bytes; and the last warnings.
 */
#include <log.h>
#include <drivers/console.h>
#include <lib/printf.h>
#include <lib/string.h>
#include <x86/io.h>

#define LOG_SIZE 32768u /* a power of two */

static char ring[LOG_SIZE];
static uint32_t written; /* bytes ever; guarded by interrupts off */

static char warnings[LOG_WARNINGS][LOG_WARNING_MAX]; /* the same guard */
static uint32_t warning_count;

/* Formats into `text` of KPRINTF_MAX bytes; returns the length, at most KPRINTF_MAX - 1. */
static size_t format_into(char *text, const char *format, va_list args) PRINTF(2, 0);

static size_t format_into(char *text, const char *format, va_list args)
{
    int length = kvsnprintf(text, KPRINTF_MAX, format, args);
    return length < KPRINTF_MAX ? (size_t)length : KPRINTF_MAX - 1;
}

void kprintf(const char *format, ...)
{
    char text[KPRINTF_MAX];
    va_list args;

    va_start(args, format);
    size_t length = format_into(text, format, args);
    va_end(args);
    console_print(text, length);
}

static void keep(const char *text, size_t length)
{
    uint32_t flags = interrupts_save();
    for (size_t i = 0; i < length; i++)
        ring[written++ % LOG_SIZE] = text[i];
    interrupts_restore(flags);
}

static void log_line(char *text, size_t length)
{
    text[length++] = '\n';
    keep(text, length);
    console_print(text, length);
}

void klog(const char *format, ...)
{
    char text[KPRINTF_MAX + 1];
    va_list args;

    va_start(args, format);
    size_t length = format_into(text, format, args);
    va_end(args);
    log_line(text, length);
}

static void keep_warning(const char *text, size_t length)
{
    size_t kept = length < LOG_WARNING_MAX - 1 ? length : LOG_WARNING_MAX - 1;

    uint32_t flags = interrupts_save();
    char *slot = warnings[warning_count++ % LOG_WARNINGS];
    memcpy(slot, text, kept);
    slot[kept] = '\0';
    interrupts_restore(flags);
}

void klog_warning(const char *format, ...)
{
    char text[KPRINTF_MAX + 1];
    va_list args;

    va_start(args, format);
    size_t length = format_into(text, format, args);
    va_end(args);
    keep_warning(text, length);
    log_line(text, length);
}

bool log_warning(uint32_t back, char text[LOG_WARNING_MAX])
{
    uint32_t flags = interrupts_save();
    bool kept = back < LOG_WARNINGS && back < warning_count;
    if (kept)
        memcpy(text, warnings[(warning_count - 1 - back) % LOG_WARNINGS], LOG_WARNING_MAX);
    interrupts_restore(flags);
    return kept;
}

uint32_t log_warning_count(void)
{
    return warning_count;
}

size_t log_read(uint32_t *position, char *text, size_t size)
{
    size_t length = 0;

    uint32_t flags = interrupts_save();
    if (written - *position > LOG_SIZE) {
        *position = written - LOG_SIZE;
        while (*position != written && ring[(*position)++ % LOG_SIZE] != '\n')
            ; /* begin with a whole line */
    }
    while (length < size && *position != written)
        text[length++] = ring[(*position)++ % LOG_SIZE];
    interrupts_restore(flags);
    return length;
}

uint32_t log_tail(uint32_t lines)
{
    uint32_t position = written, oldest = written > LOG_SIZE ? written - LOG_SIZE : 0;

    /* Behind the line break before these lines, or the beginning. */
    while (position > oldest && (ring[(position - 1) % LOG_SIZE] != '\n' || lines-- > 0))
        position--;
    return position;
}
