/*
 * The command `leaks`: who holds memory now, and what a stretch of work has left behind.
 *
 * Each kind of memory is a part with three functions: list what is held, mark it, and list what has
 * changed since the mark. Marks are static, so that looking for leaks changes no figure.
 */
#include <shell/shell.h>
#include "mem/layout.h"
#include <heap.h>
#include <lib/printf.h>
#include <lib/string.h>
#include <log.h>
#include <mem/pmm.h>
#include <symbols.h>

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

/* ---- The heap by place of allocation ---- */

#define PLACES_MAX 160u

struct place {
    vaddr_t owner; /* return address; 0 for blocks without a guard: the laboratory's */
    uint32_t count, bytes;
};

/* What does not find a place any more counts for the last one, whose owner is then of no use. */
struct places {
    struct place list[PLACES_MAX];
    uint32_t count;
    bool full;
};

static struct places seen, marked_places;

/* The place with this owner, or NULL. */
static struct place *find_place(struct places *places, vaddr_t owner)
{
    for (uint32_t i = 0; i < places->count; i++) {
        if (places->list[i].owner == owner)
            return &places->list[i];
    }
    return NULL;
}

/* The same, entered if it is new. */
static struct place *place_of(struct places *places, vaddr_t owner)
{
    struct place *place = find_place(places, owner);

    if (place != NULL)
        return place;
    if (places->count == PLACES_MAX) {
        places->full = true;
        return &places->list[PLACES_MAX - 1];
    }
    places->list[places->count] = (struct place){ owner, 0, 0 };
    return &places->list[places->count++];
}

static void look_at_heap(struct places *places)
{
    struct heap_allocation block = { 0, 0, 0 };

    places->count = 0;
    places->full = false;
    while (heap_next_allocation(block.payload, &block)) {
        struct place *place = place_of(places, block.owner);
        place->count++;
        place->bytes += block.size;
    }
}

/* The largest first. */
static void sort_places(struct places *places)
{
    for (uint32_t i = 1; i < places->count; i++) {
        struct place place = places->list[i];
        uint32_t at = i;
        for (; at > 0 && places->list[at - 1].bytes < place.bytes; at--)
            places->list[at] = places->list[at - 1];
        places->list[at] = place;
    }
}

static void format_place(vaddr_t owner, char *text, size_t size)
{
    const char *name;
    uint32_t offset;

    if (owner == 0)
        ksnprintf(text, size, "(the laboratory)");
    else if (symbol_find((uint32_t)owner - 1, &name, &offset))
        ksnprintf(text, size, "%s+0x%x", name, offset + 1);
    else
        ksnprintf(text, size, "0x%08x", (uint32_t)owner);
}

static void say_if_full(const struct places *places)
{
    if (places->full)
        kprintf("there are more places than can be told apart; some are counted as others\n");
}

static void list_heap(void)
{
    char text[48];

    look_at_heap(&seen);
    sort_places(&seen);
    kprintf("\nheap, allocated by                        count      bytes\n");
    for (uint32_t i = 0; i < seen.count; i++) {
        format_place(seen.list[i].owner, text, sizeof(text));
        kprintf("%-38s %8u %10u\n", text, seen.list[i].count, seen.list[i].bytes);
    }
    say_if_full(&seen);
}

static void mark_heap(void)
{
    look_at_heap(&marked_places);
}

static bool compare_heap(void)
{
    bool differs = false;
    char text[48];

    look_at_heap(&seen);
    for (uint32_t i = 0; i < marked_places.count; i++)
        (void)place_of(&seen, marked_places.list[i].owner); /* also what is all gone */
    for (uint32_t i = 0; i < seen.count; i++) {
        const struct place *before = find_place(&marked_places, seen.list[i].owner);
        int32_t more = (int32_t)(seen.list[i].count - (before != NULL ? before->count : 0));
        int32_t bytes = (int32_t)(seen.list[i].bytes - (before != NULL ? before->bytes : 0));
        if (more == 0 && bytes == 0)
            continue;
        format_place(seen.list[i].owner, text, sizeof(text));
        kprintf("heap by %s: %+d, %+d bytes\n", text, more, bytes);
        differs = true;
    }
    say_if_full(&marked_places);
    say_if_full(&seen);
    return differs;
}

/* ---- The command ---- */

static const struct {
    void (*list)(void);
    void (*mark)(void);
    bool (*compare)(void); /* since the mark; false, and nothing printed, if nothing has changed */
} parts[] = {
    { list_frames, mark_frames, compare_frames },
    { list_heap, mark_heap, compare_heap },
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
