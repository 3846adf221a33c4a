/*
 * Printing. Any context.
 */
#ifndef LOG_H
#define LOG_H

#include <types.h>

/*
 * Styles for what is printed, one byte each: screens take them (drivers/terminal.h), COM1 leaves
 * them out, because programs read it as well as people.
 */
#define STYLE_PLAIN    "\034"
#define STYLE_TITLE    "\035"
#define STYLE_GOOD     "\036"
#define STYLE_BAD      "\037"

#define IS_STYLE(byte) ((byte) >= '\034' && (byte) <= '\037')

/* Output of a command: to every console. Longer than KPRINTF_MAX is cut. */
void kprintf(const char *format, ...) PRINTF(1, 2);

#define KPRINTF_MAX 512

/*
 * A message of the kernel: to every console and into the log that `dmesg` shows. One line each;
 * the line break is added.
 */
void klog(const char *format, ...) PRINTF(1, 2);

/*
 * The same of something that may have to do with a fault: a part that is missing, broken or left
 * alone. The last LOG_WARNINGS of them are kept for `diag`, each cut to LOG_WARNING_MAX - 1.
 */
void klog_warning(const char *format, ...) PRINTF(1, 2);

#define LOG_WARNINGS    8u
#define LOG_WARNING_MAX 96u

/*
 * Copies a warning that is kept, the latest being 0. False behind the oldest. Any context.
 */
bool log_warning(uint32_t back, char text[LOG_WARNING_MAX]) MUST_CHECK;

/* How many warnings there were, those included that are not kept any more. */
uint32_t log_warning_count(void);

/*
 * The log, oldest first: copies what begins at *position, at most `size` bytes, to `text` and
 * moves *position behind it. Returns how many bytes there were; 0 at the end. Start with 0; what
 * was overwritten meanwhile is skipped.
 */
size_t log_read(uint32_t *position, char *text, size_t size);

/* Where the last `lines` lines of the log begin, for log_read(). */
uint32_t log_tail(uint32_t lines);

#endif
