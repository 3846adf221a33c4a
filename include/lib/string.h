/*
 * Memory and string functions.
 *
 * Those with a name of the C library have its prototype and its meaning, so that pure code links
 * against libc on the host; the compiler, too, calls memcpy, memmove, memset and memcmp as it
 * pleases. The two functions of our own are inline, for libc does not have them.
 */
#ifndef LIB_STRING_H
#define LIB_STRING_H

#include <types.h>

/* Copies `size` bytes; the two ranges must not overlap. Returns `dst`. */
void *memcpy(void *restrict dst, const void *restrict src, size_t size);

/* Copies `size` bytes between ranges that may overlap. Returns `dst`. */
void *memmove(void *dst, const void *src, size_t size);

/* Sets `size` bytes to the low eight bits of `value`. Returns `dst`. */
void *memset(void *dst, int value, size_t size);

/* Compares bytes as unsigned: negative, zero or positive by the first that differ. */
int memcmp(const void *a, const void *b, size_t size);

/* The first of `size` bytes that equals the low eight bits of `value`, or NULL. */
void *memchr(const void *data, int value, size_t size);

/* Characters before the terminator. */
size_t strlen(const char *text);

/* The same, but never reads past the first `max` characters: at most `max`. */
size_t strnlen(const char *text, size_t max);

/* Compare characters as unsigned: negative, zero or positive. strncmp looks at `max` at most. */
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t max);

/* The first (strchr) or last (strrchr) `character`, or NULL. The terminator can be searched for. */
char *strchr(const char *text, int character);
char *strrchr(const char *text, int character);

/*
 * Copies the string `src` into `dst`, which has room for `size` bytes, and cuts it where it does
 * not fit. `dst` is always terminated, unless `size` is 0: then it is not touched and may be NULL.
 * The two must not overlap. Returns strlen(src): a result of `size` or more means it was cut.
 */
static inline size_t strcopy(char *dst, const char *src, size_t size)
{
    size_t length = strlen(src);

    if (size > 0) {
        size_t copied = length < size ? length : size - 1;
        memcpy(dst, src, copied);
        dst[copied] = '\0';
    }
    return length;
}

/* True if `text` begins with `prefix`; every string begins with "". */
static inline bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

#endif
