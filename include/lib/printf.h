/*
 * Formatted text, as C99's printf family makes it, for code that runs anywhere: in interrupt
 * handlers and in panic. No allocation, no static state, no lock, little stack.
 *
 *   conversions  d i u o x X c s p %
 *   flags        - 0 + space #
 *   width, precision   a decimal number or *; a negative * is the flag - or no precision
 *   lengths      hh h l ll z t j for the integer conversions; c, s and p ignore them
 *
 * Where it departs from C99 or goes beyond it:
 *   %p  prints 0x and all digits of a pointer (8) in lower case, NULL included; of flags only -
 *       has a meaning, and precision has none.
 *   %s  prints (null) for NULL.
 *   Whatever is not listed (floating point and %n among it) is copied as it stands and takes no
 *   argument, except for those that its * named.
 */
#ifndef LIB_PRINTF_H
#define LIB_PRINTF_H

#include <types.h>
#include <stdarg.h>

/*
 * Takes the next `length` characters of the output, `length` never being 0. The text is not
 * terminated and lives only during the call.
 */
typedef void print_sink(void *arg, const char *text, size_t length);

/*
 * Formats into `sink`, which is called piece by piece with `arg`. Returns the number of
 * characters, INT_MAX if there were more.
 */
int kvprintf_to(print_sink *sink, void *arg, const char *format, va_list args) PRINTF(3, 0);

/*
 * Formats into `buffer`, which has room for `size` bytes; what does not fit is dropped. The result
 * is always terminated, unless `size` is 0: then `buffer` is not touched and may be NULL. Returns
 * the length that the whole text has, without the terminator: `size` or more means it was cut.
 */
int kvsnprintf(char *buffer, size_t size, const char *format, va_list args) PRINTF(3, 0);
int ksnprintf(char *buffer, size_t size, const char *format, ...) PRINTF(3, 4);

#endif
