/*
 * Replays a trace on the kernel's heap, for an instruction counter and for comparisons.
 *
 *   heap-replay [--model | --null] [--no-small] [--placements] TRACE
 *
 * prints the number of operations, the highest sum of live requests and the footprint: what the
 * heap took of its window at most, and all index and metadata bytes outside of it. What is to be
 * counted happens inside replay(). With --null the same loop calls functions that do nothing:
 * subtracted from the first count, that leaves the heap alone.
 *
 * The sources are the kernel's own. Nothing depends on time or place, so a count comes out the
 * same again.
 */
#define _GNU_SOURCE /* MAP_FIXED_NOREPLACE */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <heap.h>
#include <heap_system.h>
#include <panic.h>
#include "mem/layout.h"
#include "../host/heap_model.h"
#include "trace.h"

_Noreturn void panic(const char *format, ...)
{
    va_list arguments;

    fflush(stdout);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(EXIT_FAILURE);
}

/* ---- The system around the heap ---- */

/*
 * The windows are closed at first and opened from the start of each in long steps, ahead of the
 * heap, and never closed again: what mapping costs is the system's affair and not to be measured
 * here. That the heap touches nothing but what it has mapped is seen in tests/host/test_heap.c.
 */
static struct window {
    vaddr_t start, end, open;
} windows[] = {
    { HEAP_BASE, HEAP_BASE + HEAP_MAX, HEAP_BASE },
    { HEAP_INDEX_BASE, HEAP_INDEX_END, HEAP_INDEX_BASE },
};

#define OPENED_AHEAD (64u * PAGE_SIZE)

static void reserve_windows(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(windows); i++) {
        void *start = (void *)windows[i].start;
        size_t size = windows[i].end - windows[i].start;
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;

        if (mmap(start, size, PROT_NONE, flags, -1, 0) != start)
            panic("heap-replay: no room for the heap's window at %p", start);
    }
}

static struct window *window_of(vaddr_t page)
{
    size_t i = 0;
    while (i < ARRAY_SIZE(windows) && (page < windows[i].start || page >= windows[i].end))
        i++;
    if (i == ARRAY_SIZE(windows))
        panic("heap-replay: the heap maps %p, outside of its windows", (void *)page);
    return &windows[i];
}

bool heap_system_map(vaddr_t page)
{
    struct window *window = window_of(page);

    if (page >= window->open) {
        vaddr_t open = page + OPENED_AHEAD < window->end ? page + OPENED_AHEAD : window->end;
        if (mprotect((void *)window->open, open - window->open, PROT_READ | PROT_WRITE) != 0)
            return false;
        window->open = open;
    }
    return true;
}

void heap_system_unmap(vaddr_t page UNUSED)
{
}

uint32_t heap_system_lock(void)
{
    return 0;
}

void heap_system_unlock(uint32_t state UNUSED)
{
}

void heap_system_grow_lock(void)
{
}

bool heap_system_try_grow_lock(void)
{
    return true;
}

void heap_system_grow_unlock(void)
{
}

/* ---- What can be replayed on ---- */

struct options {
    bool null, model, no_small, placements;
    const char *path;
};

struct allocator {
    void (*start)(const struct options *options);
    void *(*alloc)(size_t size); /* NULL when that cannot be had */
    void (*free)(void *ptr);
    size_t (*footprint)(void); /* bytes, the highest so far */
};

static void heap_start(const struct options *options)
{
    reserve_windows();
    heap_init(HEAP_BASE, HEAP_MAX);
    heap_use_small(!options->no_small);
}

static size_t heap_footprint(void)
{
    struct heap_stats stats = heap_get_stats();
    return stats.extent + stats.index;
}

static struct heap_model model;
static size_t model_extent;

static void model_start(const struct options *options UNUSED)
{
    heap_model_init(&model, HEAP_BASE, HEAP_MAX);
}

static void *model_alloc(size_t size)
{
    vaddr_t payload = heap_model_alloc(&model, size, 8);
    size_t extent = heap_model_top(&model) - HEAP_BASE;

    if (extent > model_extent)
        model_extent = extent;
    return (void *)payload;
}

static void model_free(void *ptr)
{
    heap_model_free(&model, (vaddr_t)ptr);
}

/* The model has no index and no metadata but the heads. */
static size_t model_footprint(void)
{
    return model_extent;
}

static void null_start(const struct options *options UNUSED)
{
}

static void *null_alloc(size_t size UNUSED)
{
    return &model; /* anything but NULL */
}

static void null_free(void *ptr UNUSED)
{
}

static size_t null_footprint(void)
{
    return 0;
}

static const struct allocator the_heap = { heap_start, kmalloc, kfree, heap_footprint };
static const struct allocator the_model = { model_start, model_alloc, model_free, model_footprint };
static const struct allocator nothing = { null_start, null_alloc, null_free, null_footprint };

/* ---- Replaying ---- */

/* With --placements: the calls of `placed`, told of line by line. */
static const struct allocator *placed;

static void *placed_alloc(size_t size)
{
    void *ptr = placed->alloc(size);

    if (ptr != NULL)
        printf("a 0x%08zx\n", (size_t)ptr);
    return ptr;
}

static void placed_free(void *ptr)
{
    placed->free(ptr);
    puts("f");
}

size_t replay(const struct trace *trace, const struct allocator *allocator, void **slots);

/*
 * The counter is switched on where this begins and off where it ends: it stays one function.
 * Returns the number of operations that were done; the one behind them got no memory.
 */
__attribute__((noipa)) size_t replay(const struct trace *trace, const struct allocator *allocator,
                                     void **slots)
{
    for (size_t i = 0; i < trace->count; i++) {
        struct trace_operation op = trace->operations[i];

        if (op.size == 0)
            allocator->free(slots[op.slot]);
        else if ((slots[op.slot] = allocator->alloc(op.size)) == NULL)
            return i;
    }
    return trace->count;
}

static void run(const struct trace *trace, const struct options *options)
{
    const struct allocator *allocator = options->null    ? &nothing
                                        : options->model ? &the_model
                                                         : &the_heap;
    struct allocator calls = *allocator;
    void **slots = calloc(trace->slots + 1, sizeof(slots[0]));

    if (slots == NULL)
        panic("heap-replay: no memory for the slots of %s", options->path);
    if (options->placements) {
        placed = allocator;
        calls.alloc = placed_alloc;
        calls.free = placed_free;
    }
    calls.start(options);

    size_t done = replay(trace, &calls, slots);
    if (done < trace->count)
        panic("heap-replay: operation %zu of %s: no %u bytes can be had", done, options->path,
              trace->operations[done].size);
    if (!options->placements)
        printf("ops %zu\npeak_live %zu\nfootprint %zu\n", done, trace->peak_live,
               calls.footprint());
}

/* ---- The command line ---- */

_Noreturn static void usage(void)
{
    fputs("usage: heap-replay [--model | --null] [--no-small] [--placements] TRACE\n", stderr);
    exit(2);
}

static void parse_word(struct options *options, const char *word)
{
    if (strcmp(word, "--null") == 0) {
        options->null = true;
    } else if (strcmp(word, "--model") == 0) {
        options->model = true;
    } else if (strcmp(word, "--no-small") == 0) {
        options->no_small = true;
    } else if (strcmp(word, "--placements") == 0) {
        options->placements = true;
    } else if (strcmp(word, "--guarded") == 0) {
        fputs("heap-replay: this kernel has no guards to measure with\n", stderr);
        exit(2);
    } else if (word[0] == '-' || options->path != NULL) {
        usage();
    } else {
        options->path = word;
    }
}

int main(int argc, char **argv)
{
    struct options options = { 0 };
    struct trace trace;

    for (int i = 1; i < argc; i++)
        parse_word(&options, argv[i]);
    if (options.path == NULL || (options.null && options.model))
        usage();
    trace_read(&trace, options.path);
    run(&trace, &options);
    return EXIT_SUCCESS;
}
