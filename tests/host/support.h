/*
 * What host tests share: numbers that look random and are the same in every run, and a panic()
 * that a test can expect.
 */
#ifndef TESTS_SUPPORT_H
#define TESTS_SUPPORT_H

#include <setjmp.h>
#include <types.h>

/* A xorshift generator. The state is the seed, any number but 0. */
struct prng {
    uint32_t state;
};

uint32_t prng_next(struct prng *prng);

/* 0 <= result < limit; limit must not be 0. */
uint32_t prng_below(struct prng *prng, uint32_t limit);

/* True once in `times`, on average. */
bool prng_once_in(struct prng *prng, uint32_t times);

/*
 * A copy of `size` bytes that lies `shift` bytes into a buffer which ends where they end, so that
 * the sanitizer sees a read past them. The copy before it is freed.
 */
uint8_t *exact_copy(const void *bytes, uint32_t size, uint32_t shift);

/* Group fixtures for tests of parsers: one that does not end is not waited for; no copy stays. */
int parser_setup(void **state);
int parser_teardown(void **state);

/*
 * Runs a statement that must end in a panic whose message contains `text`:
 *
 *     EXPECT_PANIC("double free", kfree(block));
 *
 * The panic jumps out of the statement, so locks stay as the statement left them. Any other panic
 * prints its message and fails the test.
 */
#define EXPECT_PANIC(text, statement)                                                              \
    do {                                                                                           \
        if (setjmp(*panic_await()) == 0) {                                                         \
            statement;                                                                             \
        }                                                                                          \
        panic_check((text), __FILE__, __LINE__);                                                   \
    } while (0)

/* The macro's two halves. */
jmp_buf *panic_await(void);
void panic_check(const char *text, const char *file, int line);

#endif
