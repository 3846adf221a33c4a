/*
 * Memory and string functions.
 *
 * Blocks move in 32-bit words: first single bytes until the destination is aligned, then words,
 * then the bytes that are left. Only the destination's alignment counts, for a misaligned load
 * costs little on any x86 and a misaligned store may touch two cache lines each time. Nothing
 * outside of the given ranges is ever read.
 */
#include <lib/string.h>
#include <check.h>

/*
 * GCC knows a loop that copies or fills when it sees one and puts a call of memcpy or memset in
 * its place, which here would be a call of the function itself. (Clang does not with
 * -ffreestanding.)
 */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-tree-loop-distribute-patterns")
#endif

/* A word that may lie over objects of any type, and one that may also lie at any address. */
typedef uint32_t __attribute__((may_alias)) word;
typedef uint32_t __attribute__((may_alias, aligned(1))) loose_word;

#define WORD_SIZE sizeof(word)

static bool word_aligned(const void *address)
{
    return (uintptr_t)address % WORD_SIZE == 0;
}

/*
 * Ascending copy. Also right where the ranges overlap and `dst` is the lower one: each byte is
 * stored at or below the place of bytes that have been read already.
 */
UNCHECKED static void copy_up(unsigned char *dst, const unsigned char *src, size_t size)
{
    for (; size > 0 && !word_aligned(dst); size--)
        *dst++ = *src++;
    for (; size >= WORD_SIZE; size -= WORD_SIZE) {
        *(word *)dst = *(const loose_word *)src;
        dst += WORD_SIZE;
        src += WORD_SIZE;
    }
    for (; size > 0; size--)
        *dst++ = *src++;
}

/* Descending copy, from the end: the mirror image, for overlaps where `dst` is the higher one. */
UNCHECKED static void copy_down(unsigned char *dst, const unsigned char *src, size_t size)
{
    dst += size;
    src += size;
    for (; size > 0 && !word_aligned(dst); size--)
        *--dst = *--src;
    for (; size >= WORD_SIZE; size -= WORD_SIZE) {
        dst -= WORD_SIZE;
        src -= WORD_SIZE;
        *(word *)dst = *(const loose_word *)src;
    }
    for (; size > 0; size--)
        *--dst = *--src;
}

UNCHECKED void *memcpy(void *restrict dst, const void *restrict src, size_t size)
{
    check_read(src, size);
    check_write(dst, size);
    copy_up(dst, src, size);
    return dst;
}

UNCHECKED void *memmove(void *dst, const void *src, size_t size)
{
    check_read(src, size);
    check_write(dst, size);
    /* Where `dst` is the lower one the difference wraps and is larger than any size. */
    if ((uintptr_t)dst - (uintptr_t)src < size)
        copy_down(dst, src, size);
    else
        copy_up(dst, src, size);
    return dst;
}

UNCHECKED void *memset(void *dst, int value, size_t size)
{
    unsigned char *bytes = dst;
    unsigned char byte = (unsigned char)value;
    uint32_t pattern = byte * 0x01010101u;

    check_write(dst, size);
    for (; size > 0 && !word_aligned(bytes); size--)
        *bytes++ = byte;
    for (; size >= WORD_SIZE; size -= WORD_SIZE) {
        *(word *)bytes = pattern;
        bytes += WORD_SIZE;
    }
    for (; size > 0; size--)
        *bytes++ = byte;
    return dst;
}

UNCHECKED int memcmp(const void *a, const void *b, size_t size)
{
    const unsigned char *left = a;
    const unsigned char *right = b;

    check_read(a, size);
    check_read(b, size);
    for (; size > 0; size--, left++, right++) {
        if (*left != *right)
            return *left - *right;
    }
    return 0;
}

void *memchr(const void *data, int value, size_t size)
{
    const unsigned char *bytes = data;

    for (; size > 0; size--, bytes++) {
        if (*bytes == (unsigned char)value)
            return (void *)bytes;
    }
    return NULL;
}

size_t strlen(const char *text)
{
    const char *end = text;

    while (*end != '\0')
        end++;
    return (size_t)(end - text);
}

size_t strnlen(const char *text, size_t max)
{
    size_t length = 0;

    while (length < max && text[length] != '\0')
        length++;
    return length;
}

int strcmp(const char *a, const char *b)
{
    for (; *a != '\0' && *a == *b; a++)
        b++;
    return (unsigned char)*a - (unsigned char)*b;
}

int strncmp(const char *a, const char *b, size_t max)
{
    for (; max > 0; max--, a++, b++) {
        if (*a != *b)
            return (unsigned char)*a - (unsigned char)*b;
        if (*a == '\0')
            break;
    }
    return 0;
}

char *strchr(const char *text, int character)
{
    for (; *text != (char)character; text++) {
        if (*text == '\0')
            return NULL;
    }
    return (char *)text;
}

char *strrchr(const char *text, int character)
{
    const char *last = NULL;

    /* The terminator belongs to the string and is looked at as well. */
    for (;; text++) {
        if (*text == (char)character)
            last = text;
        if (*text == '\0')
            return (char *)last;
    }
}
