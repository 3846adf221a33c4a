/*
 * The report of an access that is not allowed.
 */
#include "check/access.h"
#include "check/shadow.h"
#include "x86/regs.h"
#include <check.h>
#include <panic.h>
#include <sched/thread.h>
#include <symbols.h>

static struct {
    const struct thread *thread; /* NULL: nobody waits */
    uint32_t count;
    struct access last;
} caught;

void check_catch(bool on)
{
    caught.thread = on ? thread_current() : NULL;
    if (on)
        caught.count = 0;
}

uint32_t check_caught(struct access *last)
{
    *last = caught.last;
    return caught.count;
}

void check_report(const struct access *access, const struct regs *regs, uint32_t esp)
{
    if (caught.thread == thread_current()) {
        caught.count++;
        caught.last = *access;
        return;
    }
    check_stop();
    panic_with_regs(regs, esp, "%s: %s of %zu bytes at 0x%08x",
                    shadow_reason_text(shadow_reason(access->forbidden)),
                    access->write ? "write" : "read", access->size, (uint32_t)access->address);
}
