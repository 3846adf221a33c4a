/*
 * The command `bench`: the kernel measures its own operations by the TSC.
 *
 * A round performs an operation BATCH times in a row and its counterpart as often; what an empty
 * loop takes is subtracted, and the figure is what one operation takes. Of ROUNDS rounds the least
 * and the median are shown: a tick or another thread that comes in between spoils a round, not
 * these. Under QEMU's -icount the TSC counts instructions (tests/bench/kernel.py).
 *
 * What is taken is given back. The heap's figures of the past, like its peak, move.
 */
#include <shell/shell.h>
#include "mem/layout.h"
#include <error.h>
#include <heap.h>
#include <lib/string.h>
#include <log.h>
#include <mem/paging.h>
#include <mem/pmm.h>
#include <panic.h>
#include <sched/spinlock.h>
#include <sched/sync.h>
#include <sched/thread.h>
#include <symbols.h>
#include <x86/cpu.h>
#include <x86/io.h>
#include <x86/irq.h>
#include <x86/probe.h>
#include <x86/stretch.h>

#define ROUNDS      101u
#define BATCH       16u
#define RANGE_PAGES 64u

/* A table's worth of addresses that nothing is mapped at. */
#define SPACE       NOWHERE_BASE

/* What an operation and its counterpart took in a round; the second is 0 where there is none. */
struct ticks {
    uint32_t first, second;
};

struct benchmark {
    const char *first, *second;   /* what is shown; second NULL: none */
    uint32_t operations;          /* of each kind in a round */
    uint32_t size;                /* for those that share a function */
    bool (*begin)(uint32_t size); /* NULL: nothing to do. False, and nothing taken: no memory */
    struct ticks (*round)(uint32_t size);
    void (*end)(void);
};

/* An index whose bound the compiler does not know, or it would unroll loops as it likes. */
static uint32_t batch(void)
{
    uint32_t count = BATCH;
    __asm__("" : "+r"(count));
    return count;
}

static uint32_t now(void)
{
    return (uint32_t)cpu_tsc(); /* no round takes as long as 32 bits last */
}

/* The ticks that `statement` takes BATCH times, the loop included; `i` counts. */
#define TIME(statement)                                                                            \
    ({                                                                                             \
        uint32_t count_ = batch(), start_ = now();                                                 \
        for (uint32_t i = 0; i < count_; i++) {                                                    \
            statement;                                                                             \
            __asm__ volatile("" : : : "memory");                                                   \
        }                                                                                          \
        now() - start_;                                                                            \
    })

static struct ticks round_empty(uint32_t size UNUSED)
{
    return (struct ticks){ TIME(), 0 };
}

static bool lacked_memory; /* a round could not have what it was to measure */

/* ---- Heap ---- */

static void *anchor;

/* A hole that all blocks of a round fit into, so that no pages are mapped while it runs. */
static bool heap_begin(uint32_t size)
{
    void *hole = kmalloc(BATCH * (size + 64));

    anchor = hole != NULL ? kmalloc(BATCH * (size + 64)) : NULL; /* keeps it from the top */
    kfree(hole);
    return anchor != NULL;
}

static struct ticks heap_round(uint32_t size)
{
    void *blocks[BATCH];
    struct ticks ticks;

    ticks.first = TIME(blocks[i] = kmalloc(size));
    for (uint32_t i = 0; i < BATCH; i++)
        lacked_memory |= blocks[i] == NULL;
    ticks.second = TIME(kfree(blocks[i]));
    return ticks;
}

static void heap_end(void)
{
    kfree(anchor);
}

/* ---- Frames and pages ---- */

/* Those that a round without memory did get. */
static struct ticks give_back(const paddr_t *frames)
{
    for (uint32_t i = 0; i < BATCH; i++) {
        if (frames[i] != 0)
            pmm_free_frame(frames[i]);
    }
    return (struct ticks){ 0, 0 };
}

static struct ticks frame_round(uint32_t size UNUSED)
{
    paddr_t frames[BATCH];
    struct ticks ticks;

    ticks.first = TIME(frames[i] = pmm_alloc_frame());
    for (uint32_t i = 0; i < BATCH; i++)
        lacked_memory |= frames[i] == 0;
    if (lacked_memory)
        return give_back(frames);
    ticks.second = TIME(pmm_free_frame(frames[i]));
    return ticks;
}

/* One page stays mapped, and with it the table. What is mapped is never touched. */
static bool map_begin(uint32_t size UNUSED)
{
    return map_page(SPACE, KERNEL_LOAD, 0) == OK;
}

static struct ticks map_round(uint32_t size UNUSED)
{
    int error = OK;
    struct ticks ticks;

    ticks.first = TIME(error |= map_page(SPACE + (1 + i) * PAGE_SIZE, KERNEL_LOAD, 0));
    ticks.second = TIME(error |= unmap_page(SPACE + (1 + i) * PAGE_SIZE));
    ASSERT(error == OK);
    return ticks;
}

static struct ticks map_range_round(uint32_t size)
{
    uint32_t start = now();
    int error = map_range(SPACE + PAGE_SIZE, KERNEL_LOAD, size, 0);
    uint32_t mapped = now();
    ASSERT(error == OK);
    uint32_t again = now();
    unmap_range(SPACE + PAGE_SIZE, size);
    return (struct ticks){ mapped - start, now() - again };
}

static void map_end(void)
{
    int error = unmap_page(SPACE);
    ASSERT(error == OK);
}

/* ---- Traps ---- */

static struct ticks fault_round(uint32_t size UNUSED)
{
    uint32_t word, read = 0;
    const uint32_t *nowhere = (const uint32_t *)(uintptr_t)SPACE;
    struct ticks ticks = { TIME(read += probe_read(nowhere, &word)), 0 };

    ASSERT(read == 0);
    return ticks;
}

static uint32_t handled_at; /* when the handler began */

static void note_time(void)
{
    handled_at = now();
}

static void do_nothing(void)
{
}

static bool interrupt_begin(uint32_t size UNUSED)
{
    irq_register(IRQ_SOFTWARE, do_nothing, "bench");
    return true;
}

static struct ticks interrupt_round(uint32_t size UNUSED)
{
    return (struct ticks){ TIME(irq_raise_software()), 0 };
}

static bool entry_begin(uint32_t size UNUSED)
{
    irq_register(IRQ_SOFTWARE, note_time, "bench");
    return true;
}

/* From the call to the handler's first instruction, and back from its last. */
static struct ticks there_and_back(void (*call)(void))
{
    uint32_t start = now();

    call();
    uint32_t end = now();
    return (struct ticks){ handled_at - start, end - handled_at };
}

static void raise(void)
{
    irq_raise_software();
}

/* What the way through the interrupt takes more than a plain call of its handler. */
static struct ticks entry_round(uint32_t size UNUSED)
{
    struct ticks by_interrupt = there_and_back(raise), by_call = there_and_back(note_time);

    return (struct ticks){ by_interrupt.first - by_call.first,
                           by_interrupt.second - by_call.second };
}

static void interrupt_end(void)
{
    irq_unregister(IRQ_SOFTWARE);
}

/* ---- Threads and locks ---- */

static struct thread *partner;
static volatile bool partner_ends;

static int yield_always(void *arg UNUSED)
{
    while (!partner_ends)
        thread_yield();
    return 0;
}

static bool yield_begin(uint32_t size UNUSED)
{
    partner_ends = false;
    partner = thread_create("bench", yield_always, NULL);
    return partner != NULL;
}

static struct ticks yield_round(uint32_t size UNUSED)
{
    return (struct ticks){ TIME(thread_yield()), 0 };
}

static void yield_end(void)
{
    partner_ends = true;
    thread_join(partner);
}

static struct ticks mutex_round(uint32_t size UNUSED)
{
    static struct mutex mutex = MUTEX_INITIALIZER(mutex);

    return (struct ticks)
    {
        TIME(mutex_lock(&mutex); mutex_unlock(&mutex)), 0
    };
}

static struct ticks spinlock_round(uint32_t size UNUSED)
{
    static struct spinlock lock;

    return (struct ticks)
    {
        TIME(uint32_t flags = spin_lock(&lock); spin_unlock(&lock, flags)), 0
    };
}

/* ---- The table ---- */

#define HEAP(name, size)                                                                           \
    {                                                                                              \
        "kmalloc " name, "kfree " name, BATCH, size, heap_begin, heap_round, heap_end              \
    }

static const struct benchmark empty = { "empty loop", NULL, BATCH, 0, NULL, round_empty, NULL };

static const struct benchmark benchmarks[] = {
    HEAP("32", 32),
    HEAP("256", 256),
    HEAP("1024", 1024),
    HEAP("16384", 16384),
    { "frame alloc", "frame free", BATCH, 0, NULL, frame_round, NULL },
    { "map page", "unmap page", BATCH, 0, map_begin, map_round, map_end },
    { "map 64 pages", "unmap 64 pages", 1, RANGE_PAGES, map_begin, map_range_round, map_end },
    { "page fault", NULL, BATCH, 0, NULL, fault_round, NULL },
    { "interrupt", NULL, BATCH, 0, interrupt_begin, interrupt_round, interrupt_end },
    { "interrupt entry", "interrupt exit", 1, 0, entry_begin, entry_round, interrupt_end },
    { "yield to a thread", NULL, 2 * BATCH, 0, yield_begin, yield_round, yield_end },
    { "mutex lock+unlock", NULL, BATCH, 0, NULL, mutex_round, NULL },
    { "spinlock lock+unlock", NULL, BATCH, 0, NULL, spinlock_round, NULL },
};

/* One kind's samples, in ascending order. */
struct samples {
    uint32_t ticks[ROUNDS];
};

static void insert(struct samples *samples, uint32_t count, uint32_t ticks)
{
    uint32_t at = count;

    for (; at > 0 && samples->ticks[at - 1] > ticks; at--)
        samples->ticks[at] = samples->ticks[at - 1];
    samples->ticks[at] = ticks;
}

static bool run(const struct benchmark *bench, struct samples *first, struct samples *second)
{
    if (bench->begin != NULL && !bench->begin(bench->size))
        return false;
    lacked_memory = false;
    for (uint32_t round = 0; round < ROUNDS && !lacked_memory; round++) {
        struct ticks ticks = bench->round(bench->size);
        insert(first, round, ticks.first);
        insert(second, round, ticks.second);
    }
    if (bench->end != NULL)
        bench->end();
    return !lacked_memory;
}

/* What one of `operations` takes, to the nearest tick, beyond the loop around them. */
static uint32_t one_of(uint32_t ticks, uint32_t operations, uint32_t loop)
{
    return ticks > loop ? (ticks - loop + operations / 2) / operations : 0;
}

static void print(const char *name, const struct samples *samples, uint32_t operations,
                  uint32_t loop)
{
    kprintf("%-24s %10u %10u\n", name, one_of(samples->ticks[0], operations, loop),
            one_of(samples->ticks[ROUNDS / 2], operations, loop));
}

static enum shell_result run_all(void)
{
    static struct samples first, second;

    kprintf("TSC ticks per operation  %10s %10s\n", "least", "median");
    for (uint32_t i = 0; i < ARRAY_SIZE(benchmarks) && !thread_interrupted(); i++) {
        const struct benchmark *bench = &benchmarks[i];
        run(&empty, &first, &second);
        uint32_t loop = bench->operations == 1 ? 0 : first.ticks[0];
        if (!run(bench, &first, &second))
            return shell_error("no memory to measure %s", bench->first);
        print(bench->first, &first, bench->operations, loop);
        if (bench->second != NULL)
            print(bench->second, &second, bench->operations, loop);
    }
    return SHELL_OK;
}

/* ---- Stretches with interrupts off ---- */

static bool get_stretch(uint32_t rank, struct stretch *stretch)
{
    uint32_t flags = interrupts_save();
    bool got = stretch_get(rank, stretch);
    interrupts_restore(flags);
    return got;
}

/* A code address behind a call, or a function's own, in words. */
static void print_place(const char *before, uint32_t address)
{
    const char *name = "?";
    uint32_t offset = 0;

    if (symbol_find(address, &name, &offset))
        kprintf("%s%s+0x%x", before, name, offset);
}

static enum shell_result list_stretches(void)
{
    struct stretch stretch;

    if (!get_stretch(0, &stretch))
        return shell_error("this kernel does not record them: `make bench` builds one that does");
    for (uint32_t rank = 0; get_stretch(rank, &stretch); rank++) {
        kprintf("%10u", stretch.ticks);
        print_place(" from ", stretch.from);
        print_place(" called by ", stretch.caller);
        print_place(" until ", stretch.until);
        kprintf("\n");
    }
    stretch_forget();
    return SHELL_OK;
}

static const char *words(uint32_t argument, uint32_t index)
{
    return argument == 1 && index == 0 ? "stretches" : NULL;
}

SHELL_COMMAND_COMPLETED(bench, "bench [stretches]",
                        "measures the kernel's operations, in ticks of the TSC", "bench", words)
{
    if (argc > 2 || (argc == 2 && strcmp(argv[1], "stretches") != 0))
        return SHELL_USAGE;
    if (!cpu.has_tsc)
        return shell_error("this CPU has no TSC to measure with");
    return argc == 1 ? run_all() : list_stretches();
}
