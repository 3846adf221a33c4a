/*
 * What host tests share.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <panic.h>
#include "support.h"

/* Source: Marsaglia, "Xorshift RNGs", Journal of Statistical Software 8 (2003). */
uint32_t prng_next(struct prng *prng)
{
    prng->state ^= prng->state << 13;
    prng->state ^= prng->state >> 17;
    prng->state ^= prng->state << 5;
    return prng->state;
}

uint32_t prng_below(struct prng *prng, uint32_t limit)
{
    return (uint32_t)((uint64_t)prng_next(prng) * limit >> 32);
}

bool prng_once_in(struct prng *prng, uint32_t times)
{
    return prng_below(prng, times) == 0;
}

static uint8_t *copy;

uint8_t *exact_copy(const void *bytes, uint32_t size, uint32_t shift)
{
    free(copy);
    copy = malloc(size + shift + (size + shift == 0));
    assert_non_null(copy);
    memcpy(copy + shift, bytes, size);
    return copy + shift;
}

int parser_setup(void **state)
{
    (void)state;
    alarm(120);
    return 0;
}

int parser_teardown(void **state)
{
    (void)state;
    free(copy);
    copy = NULL;
    return 0;
}

static jmp_buf target;
static bool awaited, caught;
static char message[512];

jmp_buf *panic_await(void)
{
    awaited = true;
    caught = false;
    return &target;
}

void panic_check(const char *text, const char *file, int line)
{
    awaited = false;
    if (!caught)
        print_error("no panic, where one with \"%s\" was expected\n", text);
    else if (strstr(message, text) == NULL)
        print_error("the panic \"%s\" does not contain \"%s\"\n", message, text);
    else
        return;
    _fail(file, line);
}

_Noreturn static void stop(const char *format, va_list arguments)
{
    vsnprintf(message, sizeof(message), format, arguments);
    if (awaited) {
        awaited = false;
        caught = true;
        longjmp(target, 1);
    }
    print_error("unexpected panic: %s\n", message);
    _fail(__FILE__, __LINE__);
    abort();
}

_Noreturn void panic(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    stop(format, arguments);
}

_Noreturn void panic_about(vaddr_t address, const char *format, ...)
{
    va_list arguments;

    (void)address;
    va_start(arguments, format);
    stop(format, arguments);
}
