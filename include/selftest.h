/*
 * Tests that run inside the kernel: what needs the CPU, the devices, or the whole kernel at work.
 */
#ifndef SELFTEST_H
#define SELFTEST_H

#include <types.h>

struct selftest {
    const char *name; /* "subsystem: what holds" */
    /* NULL when it held, else in a few words what did not. Leaves everything as it was. */
    const char *(*run)(void);
};

/* Registers a test beside its code: SELFTEST(paging_faults, "paging: ...") { ... return NULL; } */
#define SELFTEST(id, title)                                                                        \
    static const char *selftest_##id(void);                                                        \
    static const struct selftest selftest_entry_##id                                               \
        __attribute__((used, section(".selftests." #id))) = { title, selftest_##id };              \
    static const char *selftest_##id(void)

/* Ends the test when `condition` does not hold. */
#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return #condition;                                                                     \
    } while (0)

/*
 * Runs all tests, a line each, then "N passed, N failed". Stops when the thread is asked to.
 * Returns how many failed.
 */
uint32_t selftest_run(void);

/* Runs all tests and leaves the machine with their result. */
_Noreturn void selftest_run_and_leave(void);

/*
 * The heap's own test under load, for the command heap_test and as one of the tests. Its threads do
 * `operations` together, at most HEAP_TEST_MAX, however long that takes; for 0, what a second
 * allows. NULL when all held. Several threads may run it at a time.
 */
const char *heap_test_run(uint32_t operations);

#define HEAP_TEST_MAX 1000000000u

#endif
