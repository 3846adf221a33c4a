/*
 * Runs the tests that the linker collected.
 */
#include <selftest.h>
#include <drivers/power.h>
#include <log.h>
#include <sched/thread.h>
#include <x86/io.h>

extern const struct selftest _selftests_start[], _selftests_end[];

uint32_t selftest_run(void)
{
    uint32_t passed = 0, failed = 0;

    for (const struct selftest *test = _selftests_start; test < _selftests_end; test++) {
        if (thread_interrupted())
            break;
        const char *failure = test->run();
        if (failure == NULL) {
            passed++;
            kprintf("PASS %s\n", test->name);
        } else {
            failed++;
            kprintf("FAIL %s: %s\n", test->name, failure);
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
    halt_forever();
}
