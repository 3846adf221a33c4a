/*
 * The command `leaks`: who holds memory now, and what a stretch of work has left behind.
 *
 * Each kind of memory is a part with three functions: list what is held, mark it, and list what has
 * changed since the mark. Marks are static, so that looking for leaks changes no figure.
 */
#include <shell/shell.h>
#include "mem/layout.h"
#include <lib/string.h>
#include <log.h>
#include <mem/pmm.h>

/* ---- Frames by owner ---- */

static uint32_t marked[FRAME_OWNERS];

static void print_frames(const char *owner, uint32_t count)
{
    kprintf("%-12s %6u %10u\n", owner, count, count * (PAGE_SIZE / KIB));
}

/* With what is occupied from the start: together it is all that is not free. */
static void list_frames(void)
{
    struct pmm_stats stats = pmm_get_stats();

    kprintf("frames of     count        KiB\n");
    print_frames("reserved", stats.reserved);
    for (uint32_t owner = FRAME_NOBODY + 1; owner < FRAME_OWNERS; owner++)
        print_frames(frame_owner_text(owner), stats.owned[owner]);
}

static void mark_frames(void)
{
    struct pmm_stats stats = pmm_get_stats();
    memcpy(marked, stats.owned, sizeof(marked));
}

/* Returns whether there was anything to say. */
static bool compare_frames(void)
{
    struct pmm_stats stats = pmm_get_stats();
    bool differs = false;

    for (uint32_t owner = FRAME_NOBODY + 1; owner < FRAME_OWNERS; owner++) {
        int32_t more = (int32_t)(stats.owned[owner] - marked[owner]);
        if (more == 0)
            continue;
        kprintf("frames of %s: %+d, %+d KiB\n", frame_owner_text(owner), more,
                more * (int32_t)(PAGE_SIZE / KIB));
        differs = true;
    }
    return differs;
}

/* ---- The command ---- */

static const struct {
    void (*list)(void);
    void (*mark)(void);
    bool (*compare)(void); /* since the mark; false, and nothing printed, if nothing has changed */
} parts[] = {
    { list_frames, mark_frames, compare_frames },
};

static bool has_mark;

static enum shell_result list(void)
{
    for (uint32_t i = 0; i < ARRAY_SIZE(parts); i++)
        parts[i].list();
    return SHELL_OK;
}

static enum shell_result mark(void)
{
    for (uint32_t i = 0; i < ARRAY_SIZE(parts); i++)
        parts[i].mark();
    has_mark = true;
    kprintf("ok\n");
    return SHELL_OK;
}

static enum shell_result diff(void)
{
    bool differs = false;

    if (!has_mark)
        return shell_error("there is no mark: leaks mark sets it");
    for (uint32_t i = 0; i < ARRAY_SIZE(parts); i++)
        differs |= parts[i].compare();
    if (!differs)
        kprintf("nothing has changed since the mark\n");
    return SHELL_OK;
}

static const char *words(uint32_t argument, uint32_t index)
{
    static const char *const all[] = { "mark", "diff" };
    return argument == 1 && index < ARRAY_SIZE(all) ? all[index] : NULL;
}

SHELL_COMMAND_COMPLETED(leaks, "leaks [mark | diff]",
                        "lists memory by owner, or what has changed since a mark", "leaks", words)
{
    if (argc == 1)
        return list();
    if (argc == 2 && strcmp(argv[1], "mark") == 0)
        return mark();
    if (argc == 2 && strcmp(argv[1], "diff") == 0)
        return diff();
    return SHELL_USAGE;
}
