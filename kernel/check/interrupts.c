/*
 * Interrupts off for too long.
 *
 * What is long is counted in checked accesses to memory, not in time: that comes out the same on
 * any machine, emulated or not, busy or idle. The count goes down in access.S; when it is used up
 * the report names where the code is then, and where interrupts were turned off.
 *
 * Before interrupts go on for the first time nothing counts.
 */
#include "check/interrupts.h"
#include "check/report.h"
#include "check/trace.h"
#include <check.h>
#include <log.h>
#include <panic.h>
#include <symbols.h>
#include <x86/stretch.h>

int32_t check_budget = INT32_MAX; /* accesses until somebody has to look; access.S counts it down */

static bool came_on; /* interrupts, once */
static bool off;
static struct check_trace since;
static uint32_t handler; /* of the interrupt that the stretch is; 0: of none */
static uint32_t longest;

void stretch_begin(void)
{
    if (off || !came_on || !check_on)
        return;
    off = true;
    handler = 0;
    check_trace_take(&since, __builtin_frame_address(0));
    check_budget = INTERRUPTS_OFF_MAX;
}

void stretch_is_of(void (*function)(void))
{
    handler = (uint32_t)(uintptr_t)function;
}

void stretch_end(void)
{
    came_on = true;
    if (!off)
        return;
    off = false;
    if (INTERRUPTS_OFF_MAX - check_budget > (int32_t)longest)
        longest = (uint32_t)(INTERRUPTS_OFF_MAX - check_budget);
    check_budget = INT32_MAX;
}

uint32_t check_longest_stretch(void)
{
    return longest;
}

static void print_details(void)
{
    const char *name;
    uint32_t offset;

    check_trace_print("interrupts were turned off", &since);
    if (handler != 0 && symbol_find(handler, &name, &offset))
        kprintf("by an interrupt, whose handler is %s\n", name);
}

void check_budget_used_up(const struct regs *regs, uint32_t esp)
{
    check_budget = INT32_MAX;
    if (!off || check_catch_report("interrupts off for too long"))
        return;
    check_stop();
    panic_details(print_details);
    const struct panic_cause cause = { .regs = regs, .esp = esp };
    panic_by(&cause, "interrupts off for too long: %u accesses to memory", INTERRUPTS_OFF_MAX);
}
