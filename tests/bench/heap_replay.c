/*
 * Replays a trace on the kernel's heap, for an instruction counter and for comparisons.
 *
 *   heap-replay [--model | --malloc | --null | --guarded] [--no-small] [--first N]
 *               [--placements | --samples N | --time] TRACE
 *
 * prints the number of operations, the highest sum of live requests and the footprint: what the
 * heap took of its window at most, and all index and metadata bytes outside of it. What is to be
 * counted happens inside replay(). With --null the same loop calls functions that do nothing:
 * subtracted from the first count, that leaves the heap alone.
 *
 * --guarded replays on kmalloc and kfree, which lay a guard behind each allocation; without it the
 * heap is measured bare.
 *
 * --malloc replays on malloc and free instead, whichever LD_PRELOAD makes them; --first ends after
 * that many operations. --samples prints about N lines instead, each with the operations so far,
 * the bytes that live and those that are held for them; --time adds how long replay() took.
 *
 * The sources are the kernel's own. Nothing depends on time or place, so a count comes out the
 * same again.
 */
#define _GNU_SOURCE /* MAP_ANONYMOUS and the like */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <heap.h>
#include "mem/heap_core.h"
#include <panic.h>
#include "mem/layout.h"
#include "heap_model.h"
#include "system.h"
#include "trace.h"

/* ---- What can be replayed on ---- */

struct options {
    bool null, model, malloc, no_small, guarded, placements, time;
    unsigned long first, samples;
    const char *path;
};

struct allocator {
    void (*start)(const struct options *options);
    void *(*alloc)(size_t size); /* NULL when that cannot be had */
    void (*free)(void *ptr);
    size_t (*held)(void);      /* bytes at present, with whatever is needed to manage them */
    size_t (*footprint)(void); /* bytes, the highest so far; NULL: only sampling would tell */
};

static void heap_start(const struct options *options)
{
    system_heap_init();
    heap_use_small(!options->no_small);
}

static size_t heap_footprint(void)
{
    struct heap_stats stats = heap_get_stats();
    return stats.extent + stats.index;
}

/* Mapped pages, those of the index among them. */
static size_t heap_held(void)
{
    return heap_get_stats().total;
}

static struct heap_model model;
static size_t model_extent;

static void model_start(const struct options *options)
{
    heap_model_init(&model, HEAP_BASE, HEAP_MAX, !options->no_small);
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

static size_t model_held(void)
{
    return heap_model_top(&model) - HEAP_BASE;
}

/* The model has no index and no metadata but the heads. */
static size_t model_footprint(void)
{
    return model_extent;
}

/*
 * Allocators of user programs each count their memory in a way of their own. What the system sees
 * is the same for all: pages that have been written to, less those that were so at the start.
 */
static size_t written_pages(void)
{
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    char line[128];
    unsigned long kib = 0;

    if (file == NULL)
        panic("heap-replay: no /proc/self/smaps_rollup here");
    setvbuf(file, NULL, _IONBF, 0); /* a buffer would come from the malloc that is measured */
    while (fgets(line, sizeof(line), file) != NULL && sscanf(line, "Anonymous: %lu", &kib) != 1)
        ;
    fclose(file);
    return kib * KIB;
}

static size_t written_at_start;

/* As <sys/prctl.h> has it, which includes headers that are not there for 32-bit programs. */
#define PR_SET_THP_DISABLE 41
int prctl(int option, ...);

static void malloc_start(const struct options *options UNUSED)
{
    /* Huge pages would count memory that nobody asked for. */
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    written_at_start = written_pages();
}

static size_t malloc_held(void)
{
    return written_pages() - written_at_start;
}

/* With --samples: who asks for memory writes to all of it. */
static void *malloc_written(size_t size)
{
    char *ptr = malloc(size);

    for (size_t i = 0; ptr != NULL && i < size; i += PAGE_SIZE)
        ((volatile char *)ptr)[i] = 1;
    if (ptr != NULL)
        ((volatile char *)ptr)[size - 1] = 1;
    return ptr;
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

static const struct allocator the_heap = { heap_start, heap_alloc, heap_free, heap_held,
                                           heap_footprint };
static const struct allocator guarded_heap = { heap_start, kmalloc, kfree, heap_held,
                                               heap_footprint };
static const struct allocator the_model = { model_start, model_alloc, model_free, model_held,
                                            model_footprint };
static const struct allocator system_malloc = { malloc_start, malloc, free, malloc_held, NULL };
static const struct allocator nothing = { null_start, null_alloc, null_free, null_footprint,
                                          null_footprint };

/* ---- Replaying ---- */

/* Zeroes, their pages there already, and not from the malloc that may be measured. */
static void *new_table(size_t count, size_t size)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
    void *table = mmap(NULL, count * size + 1, PROT_READ | PROT_WRITE, flags, -1, 0);

    if (table == MAP_FAILED)
        panic("heap-replay: no memory for a table of %zu", count);
    return table;
}

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

/* Replays from operation `from` on, `count` operations, all of which must succeed. */
static void replay_part(const struct trace *trace, size_t from, size_t count,
                        const struct allocator *allocator, void **slots)
{
    struct trace part = *trace;

    part.operations += from;
    part.count = count;
    size_t done = replay(&part, allocator, slots);
    if (done < count)
        panic("heap-replay: operation %zu: no %u bytes can be had", from + done,
              part.operations[done].size);
}

static void replay_sampled(const struct trace *trace, size_t samples,
                           const struct allocator *allocator, void **slots)
{
    size_t *sizes = new_table(trace->slots, sizeof(sizes[0]));
    size_t step = (trace->count + samples - 1) / samples, live = 0;

    for (size_t from = 0; from < trace->count; from += step) {
        size_t count = trace->count - from < step ? trace->count - from : step;

        replay_part(trace, from, count, allocator, slots);
        for (size_t i = from; i < from + count; i++) {
            struct trace_operation op = trace->operations[i];
            live += op.size - sizes[op.slot];
            sizes[op.slot] = op.size;
        }
        printf("%zu %zu %zu\n", from + count, live, allocator->held());
    }
}

static void replay_whole(const struct trace *trace, const struct options *options,
                         const struct allocator *allocator, void **slots)
{
    struct timespec start, end;

    clock_gettime(CLOCK_MONOTONIC, &start);
    replay_part(trace, 0, trace->count, allocator, slots);
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (options->placements)
        return;
    printf("ops %zu\npeak_live %zu\n", trace->count, trace->peak_live);
    if (allocator->footprint != NULL)
        printf("footprint %zu\n", allocator->footprint());
    if (options->time)
        printf("ns %lld\n",
               (end.tv_sec - start.tv_sec) * 1000000000ll + end.tv_nsec - start.tv_nsec);
}

static void run(const struct trace *trace, const struct options *options)
{
    const struct allocator *allocator = options->null      ? &nothing
                                        : options->model   ? &the_model
                                        : options->malloc  ? &system_malloc
                                        : options->guarded ? &guarded_heap
                                                           : &the_heap;
    struct allocator calls = *allocator;
    void **slots = new_table(trace->slots, sizeof(slots[0]));

    if (options->placements) {
        placed = allocator;
        calls.alloc = placed_alloc;
        calls.free = placed_free;
    } else if (options->malloc && options->samples > 0) {
        calls.alloc = malloc_written;
    }
    calls.start(options);
    if (options->samples > 0)
        replay_sampled(trace, options->samples, &calls, slots);
    else
        replay_whole(trace, options, &calls, slots);
}

/* ---- The command line ---- */

_Noreturn static void usage(void)
{
    fputs("usage: heap-replay [--model | --malloc | --null | --guarded] [--no-small] [--first N]\n"
          "                   [--placements | --samples N | --time] TRACE\n",
          stderr);
    exit(2);
}

/* The number behind an option; no word behind it is a usage error. */
static unsigned long number(const char *word)
{
    char *end;
    unsigned long value = word != NULL ? strtoul(word, &end, 10) : 0;

    if (value == 0 || *end != '\0')
        usage();
    return value;
}

/* Takes one word, and a number behind it if it wants one. Returns how many words that were. */
static int parse(struct options *options, char **words)
{
    const struct {
        const char *name;
        bool *flag;
        unsigned long *value;
    } known[] = {
        { "--null", &options->null, NULL },       { "--model", &options->model, NULL },
        { "--malloc", &options->malloc, NULL },   { "--no-small", &options->no_small, NULL },
        { "--guarded", &options->guarded, NULL }, { "--placements", &options->placements, NULL },
        { "--time", &options->time, NULL },       { "--first", NULL, &options->first },
        { "--samples", NULL, &options->samples },
    };

    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (strcmp(words[0], known[i].name) != 0)
            continue;
        if (known[i].flag != NULL)
            *known[i].flag = true;
        else
            *known[i].value = number(words[1]);
        return known[i].flag != NULL ? 1 : 2;
    }
    if (strcmp(words[0], "--guarded") == 0) {
        fputs("heap-replay: this kernel has no guards to measure with\n", stderr);
        exit(2);
    }
    if (words[0][0] == '-' || options->path != NULL)
        usage();
    options->path = words[0];
    return 1;
}

int main(int argc, char **argv)
{
    struct options options = { .first = SIZE_MAX };
    struct trace trace;

    for (int i = 1; i < argc;)
        i += parse(&options, argv + i);
    if (options.path == NULL ||
        options.null + options.model + options.malloc + options.guarded > 1 ||
        options.placements + options.time + (options.samples > 0) > 1)
        usage();
    trace_read(&trace, options.path, options.first);
    run(&trace, &options);
    return EXIT_SUCCESS;
}
