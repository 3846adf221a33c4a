/*
 * Runs the tests that the linker collected, and checks for each that it left no trace.
 */
#include <selftest.h>
#include "selftest/support.h"
#include <drivers/power.h>
#include <log.h>
#include <sched/thread.h>
#include <x86/io.h>

extern const struct selftest _selftests_start[], _selftests_end[];

/* One run of one test. *disturbed: the figures changed because a thread from before it ended. */
static const char *run_once(const struct selftest *test, bool *disturbed)
{
    struct figures before = figures_take();
    const char *failure = test->run();

    *disturbed = false;
    if (failure == NULL) {
        failure = figures_compare(&before);
        *disturbed = failure != NULL && figures_take().threads < before.threads;
    }
    return failure;
}

static const char *run_test(const struct selftest *test)
{
    bool disturbed;

    if (!selftest_enter())
        return "stopped";
    const char *failure = run_once(test, &disturbed);
    if (disturbed)
        failure = run_once(test, &disturbed);
    selftest_leave();
    return failure;
}

uint32_t selftest_run(void)
{
    uint32_t passed = 0, failed = 0;

    for (const struct selftest *test = _selftests_start; test < _selftests_end; test++) {
        const char *failure = run_test(test);
        if (thread_interrupted())
            break; /* what a stopped test says means nothing */
        if (failure == NULL) {
            passed++;
            kprintf(STYLE_GOOD "PASS" STYLE_PLAIN " %s\n", test->name);
        } else {
            failed++;
            kprintf(STYLE_BAD "FAIL" STYLE_PLAIN " %s: %s\n", test->name, failure);
        }
    }
    kprintf("%u passed, %u failed\n", passed, failed);
    return failed;
}

void selftest_run_and_leave(void)
{
    uint32_t failed = selftest_run();

    power_leave_selftest(failed == 0);
    kprintf("The machine may be switched off.\n");
    for (;;)
        thread_sleep(1000); /* the screen has yet to draw this, and its user to look back */
}
