/*
 * Memory and string functions, against libc's over all small sizes, alignments and overlaps.
 *
 * The kernel's file is compiled right here, under names with k_ before them, so that the same
 * program has both. Sources lie at the very end of a heap block: one byte read too far is an
 * AddressSanitizer report.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define memcpy  k_memcpy
#define memmove k_memmove
#define memset  k_memset
#define memcmp  k_memcmp
#define memchr  k_memchr
#define strlen  k_strlen
#define strnlen k_strnlen
#define strcmp  k_strcmp
#define strncmp k_strncmp
#define strchr  k_strchr
#define strrchr k_strrchr
#include <lib/string.h>
#include <lib/string.c>
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef memchr
#undef strlen
#undef strnlen
#undef strcmp
#undef strncmp
#undef strchr
#undef strrchr

#define ALIGNMENTS 8u
#define MAX_SIZE   40u
#define ARENA_SIZE 96u

static int sign(int value)
{
    return (value > 0) - (value < 0);
}

/* Bytes that differ from their neighbours, so that a shift by any small distance shows. */
static void fill(unsigned char *bytes, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(seed + i * 37 + (i >> 3) * 11);
}

/* A copy of `size` bytes whose last one is the last of its heap block. */
static void *at_block_end(const void *bytes, size_t size, size_t misalignment)
{
    unsigned char *block = malloc(misalignment + size);

    assert_non_null(block);
    memcpy(block + misalignment, bytes, size);
    return block;
}

static void test_memcpy(void **state)
{
    unsigned char pattern[MAX_SIZE];

    (void)state;
    fill(pattern, sizeof(pattern), 1);
    for (size_t to = 0; to < ALIGNMENTS; to++) {
        for (size_t from = 0; from < ALIGNMENTS; from++) {
            for (size_t size = 0; size <= MAX_SIZE; size++) {
                unsigned char *src = at_block_end(pattern, size, from);
                unsigned char expected[ARENA_SIZE] __attribute__((aligned(8)));
                unsigned char arena[ARENA_SIZE] __attribute__((aligned(8)));

                fill(expected, sizeof(expected), 100);
                fill(arena, sizeof(arena), 100);
                memcpy(expected + 8 + to, pattern, size);
                assert_ptr_equal(k_memcpy(arena + 8 + to, src + from, size), arena + 8 + to);
                assert_memory_equal(arena, expected, sizeof(arena));
                free(src);
            }
        }
    }
}

static void test_memmove_every_overlap(void **state)
{
    (void)state;
    for (size_t to = 0; to <= 48; to++) {
        for (size_t from = 0; from <= 48; from++) {
            for (size_t size = 0; size <= MAX_SIZE; size++) {
                unsigned char expected[ARENA_SIZE] __attribute__((aligned(8)));
                unsigned char arena[ARENA_SIZE] __attribute__((aligned(8)));

                fill(expected, sizeof(expected), 7);
                fill(arena, sizeof(arena), 7);
                memmove(expected + to, expected + from, size);
                assert_ptr_equal(k_memmove(arena + to, arena + from, size), arena + to);
                assert_memory_equal(arena, expected, sizeof(arena));
            }
        }
    }
}

/* Moves down to and up from the end of a block: neither direction reads outside. */
static void test_memmove_stays_inside(void **state)
{
    unsigned char pattern[MAX_SIZE];

    (void)state;
    fill(pattern, sizeof(pattern), 3);
    for (size_t size = 1; size <= MAX_SIZE; size++) {
        for (size_t distance = 0; distance < size; distance++) {
            unsigned char *down = at_block_end(pattern, size, 0);
            unsigned char *up = at_block_end(pattern, size, 0);

            k_memmove(down, down + distance, size - distance);
            assert_memory_equal(down, pattern + distance, size - distance);
            k_memmove(up + distance, up, size - distance);
            assert_memory_equal(up + distance, pattern, size - distance);
            free(down);
            free(up);
        }
    }
}

static void test_memset(void **state)
{
    static const int values[] = { 0, 1, 0x5a, 0x80, 0xff, -1, 0x1a5 };

    (void)state;
    for (size_t v = 0; v < ARRAY_SIZE(values); v++) {
        for (size_t to = 0; to < ALIGNMENTS; to++) {
            for (size_t size = 0; size <= MAX_SIZE; size++) {
                unsigned char expected[ARENA_SIZE] __attribute__((aligned(8)));
                unsigned char arena[ARENA_SIZE] __attribute__((aligned(8)));

                fill(expected, sizeof(expected), 9);
                fill(arena, sizeof(arena), 9);
                memset(expected + 8 + to, values[v], size);
                assert_ptr_equal(k_memset(arena + 8 + to, values[v], size), arena + 8 + to);
                assert_memory_equal(arena, expected, sizeof(arena));
            }
        }
    }
}

static void test_memcmp(void **state)
{
    static const unsigned char others[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };

    (void)state;
    for (size_t size = 0; size <= 12; size++) {
        unsigned char bytes[12] = { 0 };
        unsigned char *same = at_block_end(bytes, size, 0);

        assert_int_equal(k_memcmp(same, bytes, size), 0);
        for (size_t at = 0; at < size; at++) {
            for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
                for (size_t j = 0; j < ARRAY_SIZE(others); j++) {
                    unsigned char left[12] = { 0 };
                    unsigned char right[12] = { 0 };

                    left[at] = others[i];
                    right[at] = others[j];
                    /* What comes behind the first difference does not count. */
                    if (others[i] != others[j] && at + 1 < size)
                        (others[i] < others[j] ? left : right)[at + 1] = 0xff;
                    assert_int_equal(sign(k_memcmp(left, right, size)),
                                     sign(memcmp(left, right, size)));
                }
            }
        }
        free(same);
    }
}

static void test_memchr(void **state)
{
    static const char bytes[] = { 'a', 'b', '\0', 'a', (char)0xe9, 'c' };

    (void)state;
    for (size_t size = 0; size <= sizeof(bytes); size++) {
        char *block = at_block_end(bytes, size, 0);

        for (int value = -300; value <= 300; value++)
            assert_ptr_equal(k_memchr(block, value, size), memchr(block, value, size));
        free(block);
    }
}

static void test_strlen_and_strnlen(void **state)
{
    static const char text[] = "0123456789abcdefghij";

    (void)state;
    for (size_t length = 0; length < sizeof(text); length++) {
        const char *tail = text + sizeof(text) - 1 - length;
        char *terminated = at_block_end(tail, length + 1, 0);
        char *bare = at_block_end(tail, length, 0);

        assert_int_equal(k_strlen(terminated), length);
        for (size_t max = 0; max <= length + 3; max++)
            assert_int_equal(k_strnlen(terminated, max), max < length ? max : length);
        assert_int_equal(k_strnlen(terminated, SIZE_MAX), length);
        assert_int_equal(k_strnlen(bare, length), length);
        free(terminated);
        free(bare);
    }
}

/* Writes the string with the number `index`: every string of up to 3 of four characters. */
#define STRING_COUNT 85u
static void nth_string(unsigned index, char text[4])
{
    static const char alphabet[] = { 'a', 'b', '\x7f', (char)0x80 };

    for (; index > 0; index = (index - 1) / 4)
        *text++ = alphabet[(index - 1) % 4];
    *text = '\0';
}

static void test_strcmp_and_strncmp(void **state)
{
    (void)state;
    for (unsigned i = 0; i < STRING_COUNT; i++) {
        for (unsigned j = 0; j < STRING_COUNT; j++) {
            char left[4];
            char right[4];

            nth_string(i, left);
            nth_string(j, right);
            assert_int_equal(sign(k_strcmp(left, right)), sign(strcmp(left, right)));
            for (size_t max = 0; max <= 5; max++)
                assert_int_equal(sign(k_strncmp(left, right, max)),
                                 sign(strncmp(left, right, max)));
        }
    }
}

/* Neither reads behind a terminator, nor strncmp behind its limit. */
static void test_compare_stays_inside(void **state)
{
    char *left = at_block_end("abc", 4, 0);
    char *right = at_block_end("abc", 4, 0);
    char *bare = at_block_end("abc", 3, 0);

    (void)state;
    assert_int_equal(k_strcmp(left, right), 0);
    assert_int_equal(k_strncmp(left, right, 100), 0);
    assert_int_equal(k_strncmp(bare, right, 3), 0);
    assert_int_equal(k_strncmp(left, bare, 3), 0);
    free(left);
    free(right);
    free(bare);
}

static void test_strchr_and_strrchr(void **state)
{
    (void)state;
    for (unsigned i = 0; i < STRING_COUNT; i++) {
        char text[4];

        nth_string(i, text);
        char *block = at_block_end(text, strlen(text) + 1, 0);
        for (int character = -130; character <= 400; character++) {
            assert_ptr_equal(k_strchr(block, character), strchr(block, character));
            assert_ptr_equal(k_strrchr(block, character), strrchr(block, character));
        }
        free(block);
    }
}

static void test_strcopy(void **state)
{
    static const char text[] = "0123456789";

    (void)state;
    for (size_t length = 0; length < sizeof(text); length++) {
        const char *src = text + sizeof(text) - 1 - length;

        assert_int_equal(strcopy(NULL, src, 0), length);
        for (size_t size = 1; size <= length + 3; size++) {
            size_t kept = length < size ? length : size - 1;
            char *dst = malloc(size);

            assert_non_null(dst);
            memset(dst, '#', size);
            assert_int_equal(strcopy(dst, src, size), length);
            assert_memory_equal(dst, src, kept);
            assert_int_equal(dst[kept], '\0');
            for (size_t i = kept + 1; i < size; i++)
                assert_int_equal(dst[i], '#');
            free(dst);
        }
    }
}

static void test_starts_with(void **state)
{
    (void)state;
    assert_true(starts_with("keymap=de", "keymap="));
    assert_true(starts_with("keymap=", "keymap="));
    assert_true(starts_with("x", ""));
    assert_true(starts_with("", ""));
    assert_false(starts_with("", "k"));
    assert_false(starts_with("keymap", "keymap="));
    assert_false(starts_with("Keymap=de", "keymap="));
    assert_false(starts_with("a keymap=", "keymap="));
    assert_false(starts_with("keymaps=", "keymap="));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memcpy),
        cmocka_unit_test(test_memmove_every_overlap),
        cmocka_unit_test(test_memmove_stays_inside),
        cmocka_unit_test(test_memset),
        cmocka_unit_test(test_memcmp),
        cmocka_unit_test(test_memchr),
        cmocka_unit_test(test_strlen_and_strnlen),
        cmocka_unit_test(test_strcmp_and_strncmp),
        cmocka_unit_test(test_compare_stays_inside),
        cmocka_unit_test(test_strchr_and_strrchr),
        cmocka_unit_test(test_strcopy),
        cmocka_unit_test(test_starts_with),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
