/*
 * kprintf, klog and the log: a static ring of the last LOG_SIZE bytes.
 */
#include <log.h>
#include <drivers/console.h>
#include <lib/printf.h>
#include <x86/io.h>

#define LOG_SIZE 32768u /* a power of two */

static char ring[LOG_SIZE];
static uint32_t written; /* bytes ever; guarded by interrupts off */

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

void klog(const char *format, ...)
{
    char text[KPRINTF_MAX + 1];
    va_list args;

    va_start(args, format);
    size_t length = format_into(text, format, args);
    va_end(args);
    text[length++] = '\n';
    keep(text, length);
    console_print(text, length);
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
