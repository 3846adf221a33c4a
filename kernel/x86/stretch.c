/*
 * The recorder of stretches with interrupts off: the longest from each place, for the PLACES
 * places with the longest. Only in a kernel built with STRETCHES=1 (x86/stretch.h).
 *
 * What the recorder does itself is not counted: it takes the time last where a stretch begins, and
 * first where it ends. Before interrupts go on for the first time there is nothing to record.
 *
 * All of it runs with interrupts off, and there is one CPU.
 */
#include <x86/stretch.h>
#include <x86/cpu.h>

#define PLACES 32u

static struct stretch longest[PLACES]; /* in descending order; ticks are 0 behind the last */
static struct stretch present;
static uint64_t start;
static bool interrupts_came_on; /* once */
static bool off;

/* A stack frame as functions begin it: the caller's, and where to return to. */
struct frame {
    const struct frame *caller;
    uint32_t return_address;
};

void stretch_begin(void)
{
    const struct frame *frame = __builtin_frame_address(0);

    if (off || !interrupts_came_on)
        return;
    off = true;
    present.from = frame->return_address;
    present.caller = frame->caller != NULL ? frame->caller->return_address : 0;
    start = cpu_tsc();
}

void stretch_is_of(void (*handler)(void))
{
    present.from = (uint32_t)(uintptr_t)handler;
    present.caller = 0;
}

static bool same_place(const struct stretch *a, const struct stretch *b)
{
    return a->from == b->from && a->caller == b->caller;
}

/* Puts the present stretch in its place, and takes an older one from the same place out. */
static void record(void)
{
    uint32_t old = 0, at;

    while (old < PLACES - 1 && !same_place(&longest[old], &present))
        old++;
    if (longest[old].ticks >= present.ticks)
        return;
    for (at = old; at > 0 && longest[at - 1].ticks < present.ticks; at--)
        longest[at] = longest[at - 1];
    longest[at] = present;
}

void stretch_end(void)
{
    uint64_t now = cpu_tsc();
    const struct frame *frame = __builtin_frame_address(0);

    interrupts_came_on = true;
    if (!off)
        return;
    off = false;
    present.ticks = now - start < UINT32_MAX ? (uint32_t)(now - start) : UINT32_MAX;
    present.until = frame->return_address;
    record();
}

bool stretch_get(uint32_t rank, struct stretch *stretch)
{
    if (rank >= PLACES || longest[rank].ticks == 0)
        return false;
    *stretch = longest[rank];
    return true;
}

void stretch_forget(void)
{
    for (uint32_t i = 0; i < PLACES; i++)
        longest[i] = (struct stretch){ 0 };
}
