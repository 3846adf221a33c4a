/*
 * The TSC's frequency: what real CPUs tell, what some leave out, and what none would.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <x86/tsc_rate.h>

static void test_rates(void **state)
{
    static const struct {
        struct tsc_leaves leaves;
        uint64_t hz;
    } cases[] = {
        /* the crystal and the ratio, whatever the marketed frequency */
        { { 2, 216, 24000000, 2600 }, 2592000000 },
        { { 2, 216, 24000000, 0 }, 2592000000 },
        { { 3, 350, 25000000, 2900 }, 2916666666 },
        { { 1, 5, 1000000000, 0 }, 5000000000 }, /* beyond 32 bits */
        /* no crystal, or no ratio: the marketed one */
        { { 2, 284, 0, 3400 }, 3400000000 },
        { { 0, 284, 24000000, 3400 }, 3400000000 },
        { { 2, 0, 24000000, 3400 }, 3400000000 },
        { { 0, 0, 0, 4700 }, 4700000000 },
        /* nothing */
        { { 0, 0, 0, 0 }, 0 },
        { { 2, 284, 0, 0 }, 0 },
        /* not to be believed: slower or faster than any */
        { { 0, 0, 0, 9 }, 0 },
        { { 0, 0, 0, 10 }, 10000000 },
        { { 0, 0, 0, 20000 }, 20000000000 },
        { { 0, 0, 0, 20001 }, 0 },
        { { 0, 0, 0, 0xffff }, 0 },
        { { 1, 1, 9999999, 0 }, 0 },
        { { 0xffffffff, 1, 0xffffffff, 0 }, 0 },
        { { 1, 0xffffffff, 0xffffffff, 0 }, 0 },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0 }, 0xffffffff },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_true(tsc_rate(&cases[i].leaves) == cases[i].hz);
}

int main(void)
{
    static const struct CMUnitTest tests[] = { cmocka_unit_test(test_rates) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
