/*
 * Tests of what diagnosis rests on: the log, the symbol table, backtraces, formatted numbers.
 */
#include <selftest.h>
#include <backtrace.h>
#include <heap.h>
#include <lib/crc32.h>
#include <lib/printf.h>
#include <lib/string.h>
#include <log.h>
#include <mem/sections.h>
#include <symbols.h>

/* ---- The log ---- */

static bool log_is_text; /* tests run one at a time */

/* Reads the whole log, `step` bytes at a time. Returns how many bytes; *last is the last one. */
static uint32_t read_log(size_t step, uint32_t *crc, char *last)
{
    char text[64];
    uint32_t position = 0, total = 0;
    size_t length;

    *crc = 0;
    while ((length = log_read(&position, text, step)) > 0) {
        *crc = crc32(*crc, text, length);
        *last = text[length - 1];
        for (size_t i = 0; i < length; i++)
            log_is_text = log_is_text && (text[i] >= ' ' || text[i] == '\n' || IS_STYLE(text[i]));
        total += (uint32_t)length;
    }
    return total;
}

SELFTEST(log_pieces, "log: reads the same in small and large pieces, and in whole lines")
{
    uint32_t crc, crc_in_pieces, total, total_in_pieces;
    char last = 0;

    log_is_text = true;
    /* A message may come between the two; not every time. */
    for (uint32_t tries = 0; tries < 5; tries++) {
        total = read_log(64, &crc, &last);
        total_in_pieces = read_log(7, &crc_in_pieces, &last);
        if (total == total_in_pieces)
            break;
    }
    EXPECT(total > 0);
    EXPECT(total == total_in_pieces);
    EXPECT(crc == crc_in_pieces);
    EXPECT(log_is_text);
    EXPECT(last == '\n');
    return NULL;
}

/* ---- Symbols ---- */

static uint32_t address_of(const void *function)
{
    return (uint32_t)(uintptr_t)function;
}

/* The address where the function behind `address` begins, or the end of the text. */
static uint32_t next_function(uint32_t address)
{
    uint32_t at;

    for (uint32_t i = 0; symbol_name(i, &at) != NULL; i++) {
        if (at > address)
            return at;
    }
    return address_of(_text_end);
}

SELFTEST(symbols_find, "symbols: a function is found by its first and its last byte")
{
    const char *name = NULL;
    uint32_t start = address_of((const void *)kmalloc), end = next_function(start), offset = 1;

    EXPECT(symbol_find(start, &name, &offset));
    EXPECT(strcmp(name, "kmalloc") == 0 && offset == 0);
    EXPECT(symbol_find(end - 1, &name, &offset));
    EXPECT(strcmp(name, "kmalloc") == 0 && offset == end - 1 - start);
    EXPECT(symbol_find(end, &name, &offset));
    EXPECT(strcmp(name, "kmalloc") != 0 && offset == 0);
    return NULL;
}

SELFTEST(symbols_borders, "symbols: outside the text there is none")
{
    const char *name;
    uint32_t offset;

    EXPECT(!symbol_find(0, &name, &offset));
    EXPECT(!symbol_find(address_of(_text_start) - 1, &name, &offset));
    EXPECT(symbol_find(address_of(_text_end) - 1, &name, &offset));
    EXPECT(!symbol_find(address_of(_text_end), &name, &offset));
    EXPECT(!symbol_find(0xffffffff, &name, &offset));
    return NULL;
}

SELFTEST(symbols_sorted, "symbols: sorted by address, all in the text, each with a name")
{
    uint32_t previous = 0, address, count = 0;
    const char *name;

    while ((name = symbol_name(count, &address)) != NULL) {
        EXPECT(address >= previous);
        EXPECT(address >= address_of(_text_start) && address <= address_of(_text_end));
        EXPECT(name[0] != '\0');
        previous = address;
        count++;
    }
    EXPECT(count > 100);
    return NULL;
}

/* Not in the function, whose name clang would put before theirs. */
static uint32_t three_words[3];
static const char constant[] = "a text that has a name";

SELFTEST(symbols_variables, "symbols: a variable is found from its first byte to its last")
{
    uint32_t start = address_of(three_words), end = start + sizeof(three_words), offset = 1;
    const char *name = "";

    EXPECT(symbol_find_variable(start, &name, &offset));
    EXPECT(strcmp(name, "three_words") == 0 && offset == 0);
    EXPECT(symbol_find_variable(end - 1, &name, &offset));
    EXPECT(strcmp(name, "three_words") == 0 && offset == sizeof(three_words) - 1);
    EXPECT(!symbol_find_variable(end, &name, &offset) || strcmp(name, "three_words") != 0);
    EXPECT(symbol_find_variable(address_of(constant) + 7, &name, &offset));
    EXPECT(strcmp(name, "constant") == 0 && offset == 7);
    EXPECT(!symbol_find_variable(address_of(_text_end) - 1, &name, &offset));
    EXPECT(!symbol_find_variable(address_of(_kernel_end), &name, &offset));
    EXPECT(!symbol_find_variable(0, &name, &offset));
    return NULL;
}

/* ---- Backtraces ---- */

#define WALK_MAX (BACKTRACE_MAX + 1)

static uint32_t walk_address[WALK_MAX]; /* tests run one at a time */
static uint32_t walk_count;
static uint32_t walk_times; /* the most of one call */
static bool walk_in_order;

static void note_frame(uint32_t number, const struct backtrace_call *call)
{
    walk_in_order = walk_in_order && number == walk_count && call->is_return_address;
    if (call->times > walk_times)
        walk_times = call->times;
    if (walk_count < WALK_MAX)
        walk_address[walk_count++] = call->address;
}

/* A function that is really called, whatever the compiler could find out by looking into it. */
#if __has_attribute(noipa)
#define CALLED __attribute__((noipa))
#else
#define CALLED __attribute__((noinline, optnone)) /* clang */
#endif

CALLED static int backtrace_innermost(void)
{
    walk_count = walk_times = 0;
    walk_in_order = true;
    backtrace_walk_frame((uint32_t)(uintptr_t)__builtin_frame_address(0), note_frame);
    return 1;
}

CALLED static int backtrace_middle(void)
{
    return backtrace_innermost() + 1;
}

CALLED static int backtrace_outermost(void)
{
    return backtrace_middle() + 1;
}

static bool frame_is(uint32_t number, const char *expected)
{
    const char *name;
    uint32_t offset;

    return number < walk_count && symbol_find(walk_address[number] - 1, &name, &offset) &&
           strcmp(name, expected) == 0;
}

SELFTEST(backtrace_chain, "backtrace: names the functions of a call chain")
{
    EXPECT(backtrace_outermost() == 3);
    EXPECT(walk_in_order);
    EXPECT(walk_count > 3 && walk_count <= BACKTRACE_MAX);
    EXPECT(frame_is(0, "backtrace_middle"));
    EXPECT(frame_is(1, "backtrace_outermost"));
    EXPECT(frame_is(2, "selftest_backtrace_chain"));
    EXPECT(frame_is(walk_count - 1, "thread_begin"));
    return NULL;
}

CALLED static int backtrace_self(uint32_t depth)
{
    return depth == 0 ? backtrace_innermost() : backtrace_self(depth - 1) + 1;
}

SELFTEST(backtrace_recursion, "backtrace: a function that calls itself is one line")
{
    EXPECT(backtrace_self(2 * BACKTRACE_MAX) == 2 * BACKTRACE_MAX + 1);
    EXPECT(walk_in_order && walk_times == 2 * BACKTRACE_MAX);
    EXPECT(frame_is(0, "backtrace_self") && frame_is(1, "backtrace_self"));
    EXPECT(frame_is(2, "selftest_backtrace_recursion"));
    EXPECT(frame_is(walk_count - 1, "thread_begin"));
    return NULL;
}

CALLED static int backtrace_deep(uint32_t depth);

CALLED static int backtrace_between(uint32_t depth)
{
    return backtrace_deep(depth) + 1;
}

CALLED static int backtrace_deep(uint32_t depth)
{
    return depth == 0 ? backtrace_innermost() : backtrace_between(depth - 1) + 1;
}

SELFTEST(backtrace_depth, "backtrace: ends after a bounded number of calls")
{
    EXPECT(backtrace_deep(BACKTRACE_MAX) == 2 * BACKTRACE_MAX + 1);
    EXPECT(walk_in_order);
    EXPECT(walk_count == BACKTRACE_MAX);
    return NULL;
}

/* ---- Formatted text ---- */

SELFTEST(printf_wide, "printf: 64-bit numbers are printed whole")
{
    char text[64];

    EXPECT(ksnprintf(text, sizeof(text), "%llx", 0x123456789abcdef0ull) == 16);
    EXPECT(strcmp(text, "123456789abcdef0") == 0);
    ksnprintf(text, sizeof(text), "%016llx|%llu", 0x100000000ull, ~0ull);
    EXPECT(strcmp(text, "0000000100000000|18446744073709551615") == 0);
    ksnprintf(text, sizeof(text), "%lld %u", -9223372036854775807ll - 1, 42u);
    EXPECT(strcmp(text, "-9223372036854775808 42") == 0);
    return NULL;
}

SELFTEST(printf_cut, "printf: what does not fit is cut and still terminated")
{
    char text[8];

    memset(text, '#', sizeof(text));
    EXPECT(ksnprintf(text, 4, "%s", "abcdef") == 6);
    EXPECT(strcmp(text, "abc") == 0);
    EXPECT(text[4] == '#');
    return NULL;
}
