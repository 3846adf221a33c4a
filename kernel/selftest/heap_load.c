/*
 * The heap under load: the engine of the command heap_test.
 *
 *   1. random operations; every block carries a pattern that is checked before it is given up
 *   2. everything is allocated until NULL comes, then all of it is given back
 *   3. threads do 1 against each other, some yielding in between, some only preempted
 *
 * It adapts to the memory there is and, unless it is told how much to do, to the time: on a slow
 * host it does less.
 */
#include <selftest.h>
#include "mem/layout.h"
#include "selftest/support.h"
#include <check.h>
#include <drivers/timer.h>
#include <heap.h>
#include <lib/string.h>
#include <mem/paging.h>
#include <mem/pmm.h>
#include <sched/thread.h>

#define STOPPED "stopped"

/* Frames that must be free for a NULL from kmalloc to be a failure: the largest blocks fit. */
#define PLENTY  64u

static const char *check_soundness(void)
{
    EXPECT(heap_validate() == HEAP_SOUND);
    EXPECT(pmm_validate() == NULL);
    EXPECT(paging_validate() == PAGING_SOUND);
    return NULL;
}

/* ---- Random operations ---- */

#define SLOTS 24u

struct slot {
    uint8_t *bytes;
    uint32_t size;
    uint8_t seed; /* of the pattern */
};

struct load {
    struct slot slots[SLOTS];
    uint32_t random;
    bool hammers; /* patterns at the ends only: most of the time is the heap's own */
    const char *failure;
};

/* Mostly small, some of pages, few of many pages, so that the heap grows and shrinks. */
static uint32_t random_size(struct load *load)
{
    uint32_t kind = random_next(&load->random) % 32;
    uint32_t value = random_next(&load->random);

    return 1 + value % (kind < 20 ? 256 : kind < 29 ? 2048 : kind < 31 ? 8192 : 24 * KIB);
}

static uint8_t pattern(const struct slot *slot, uint32_t i)
{
    return (uint8_t)(slot->seed + i + (i >> 8));
}

#define END 8u /* bytes with a pattern at either end of a block that is not filled whole */

/* The next byte to fill or check behind `i`. */
static uint32_t following(const struct load *load, const struct slot *slot, uint32_t i)
{
    bool skip = load->hammers && i + 1 == END && slot->size > 2 * END;
    return skip ? slot->size - END : i + 1;
}

static void fill(const struct load *load, struct slot *slot)
{
    for (uint32_t i = 0; i < slot->size; i = following(load, slot, i))
        slot->bytes[i] = pattern(slot, i);
}

/* Whether the first `size` bytes are as they were filled. */
static bool intact(const struct load *load, const struct slot *slot, uint32_t size)
{
    for (uint32_t i = 0; i < size; i = following(load, slot, i)) {
        if (slot->bytes[i] != pattern(slot, i))
            return false;
    }
    return true;
}

static bool all_zero(const uint8_t *bytes, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++) {
        if (bytes[i] != 0)
            return false;
    }
    return true;
}

/* NULL is right only when memory is short. */
static const char *got_null(void)
{
    return pmm_get_stats().free > PLENTY ? "kmalloc returned NULL, but frames are free" : NULL;
}

/* Fills an empty slot by one of the three ways to allocate. */
static const char *fill_slot(struct load *load, struct slot *slot)
{
    uint32_t size = random_size(load), kind = random_next(&load->random) % 8;
    uint32_t align = kind == 0 ? 8u << random_next(&load->random) % 10 : 8;
    uint8_t *bytes = kind == 0   ? kmalloc_aligned(size, align)
                     : kind == 1 ? kcalloc(1, size)
                                 : kmalloc(size);

    if (bytes == NULL)
        return got_null();
    slot->bytes = bytes;
    slot->size = size;
    if ((vaddr_t)bytes % align != 0)
        return "a block is not aligned";
    if (kind == 1 && !load->hammers && !all_zero(bytes, size))
        return "kcalloc gave a block that is not zero";
    slot->seed = (uint8_t)random_next(&load->random);
    fill(load, slot);
    return NULL;
}

static const char *resize_slot(struct load *load, struct slot *slot)
{
    uint32_t size = random_size(load), kept = size < slot->size ? size : slot->size;
    uint8_t *bytes = krealloc(slot->bytes, size);

    if (bytes == NULL)
        return intact(load, slot, slot->size) ? got_null() : "a failed krealloc changed the block";
    slot->bytes = bytes;
    if (!intact(load, slot, kept))
        return "krealloc lost the contents";
    slot->size = size;
    slot->seed = (uint8_t)random_next(&load->random);
    fill(load, slot);
    return NULL;
}

static void empty_slot(struct slot *slot)
{
    kfree(slot->bytes);
    slot->bytes = NULL;
}

static const char *operate(struct load *load)
{
    struct slot *slot = &load->slots[random_next(&load->random) % SLOTS];

    if (slot->bytes == NULL)
        return fill_slot(load, slot);
    if (!intact(load, slot, slot->size))
        return "a block lost its contents";
    if (random_next(&load->random) % 4 == 0)
        return resize_slot(load, slot);
    empty_slot(slot);
    return NULL;
}

/* Gives all blocks back; says so if one of them lost its contents. */
static void end_load(struct load *load)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        struct slot *slot = &load->slots[i];
        if (slot->bytes == NULL)
            continue;
        if (load->failure == NULL && !intact(load, slot, slot->size))
            load->failure = "a block lost its contents";
        empty_slot(slot);
    }
}

static void start_load(struct load *load, uint32_t seed)
{
    memset(load, 0, sizeof(*load));
    load->random = seed;
}

#define OPERATIONS     8000u
#define VALIDATE_EVERY 32u
#define OPERATIONS_MS  500u

static bool time_is_up(uint64_t start_ms, uint32_t limit_ms)
{
    return timer_uptime_ms() - start_ms >= limit_ms;
}

static const char *random_operations(struct load *load)
{
    uint64_t start = timer_uptime_ms();

    start_load(load, 0x12345678);
    for (uint32_t i = 1; i <= OPERATIONS && load->failure == NULL; i++) {
        load->failure = operate(load);
        if (i % VALIDATE_EVERY != 0 || load->failure != NULL)
            continue;
        if (heap_validate() != HEAP_SOUND)
            load->failure = "the heap is not sound after random operations";
        if (thread_interrupted())
            load->failure = STOPPED;
        if (time_is_up(start, OPERATIONS_MS))
            break;
    }
    end_load(load);
    return load->failure != NULL ? load->failure : check_soundness();
}

/* ---- Out of memory ---- */

/* What a block that was taken only to have it taken begins and ends with. */
struct taken {
    struct taken *next;
    size_t size;
};

static uint32_t *last_word(struct taken *block)
{
    return (uint32_t *)((vaddr_t)block + block->size) - 1;
}

static uint32_t mark_of(const struct taken *block)
{
    return (uint32_t)(vaddr_t)block ^ 0x5a5a5a5au;
}

static bool take(struct taken **all, size_t size)
{
    struct taken *block = kmalloc(size);

    if (block == NULL)
        return false;
    block->next = *all;
    block->size = size;
    *last_word(block) = mark_of(block);
    *all = block;
    return true;
}

#define LARGE    MIB /* above this a size is tried only if so many frames are free */
#define SMALLEST 32u

/* Takes ever smaller blocks, until the smallest cannot be had. NULL or STOPPED. */
static const char *take_everything(struct taken **all)
{
    for (size_t size = HEAP_MAX / 2; size >= SMALLEST; size /= 2) {
        while (size < LARGE || pmm_get_stats().free >= size / PAGE_SIZE) {
            if (thread_interrupted())
                return STOPPED;
            if (!take(all, size))
                break;
        }
    }
    return NULL;
}

/* Gives everything back; what was wrong, or NULL. */
static const char *give_back(struct taken **all)
{
    const char *wrong = NULL;

    while (*all != NULL) {
        struct taken *block = *all;
        if (*last_word(block) != mark_of(block))
            wrong = "two blocks overlap, or a block lost its contents";
        *all = block->next;
        kfree(block);
    }
    return wrong;
}

static const char *check_refused(void *block)
{
    if (block == NULL)
        return NULL;
    kfree(block);
    return "a block was to be had, though memory had run out";
}

/* Every way to ask must say no, and nothing may break by it. */
static const char *check_without_memory(struct taken *block)
{
    const char *wrong = check_refused(kmalloc(PAGE_SIZE));

    /* A page needs a frame, a table of pages or of the heap's own another. */
    if (wrong == NULL && pmm_get_stats().free >= 8)
        wrong = "kmalloc returned NULL, but frames are free";
    if (wrong == NULL)
        wrong = check_refused(kcalloc(4, PAGE_SIZE));
    if (wrong == NULL)
        wrong = check_refused(kmalloc_aligned(PAGE_SIZE, PAGE_SIZE));
    if (wrong == NULL && block != NULL) {
        size_t size = block->size;
        struct taken copy = *block;
        if (krealloc(block, size + 2 * PAGE_SIZE) != NULL)
            wrong = "krealloc had memory that kmalloc had not";
        else if (memcmp(&copy, block, sizeof(copy)) != 0 || *last_word(block) != mark_of(block))
            wrong = "a krealloc without memory changed the block";
    }
    return wrong != NULL ? wrong : check_soundness();
}

static const char *out_of_memory(struct load *load)
{
    struct taken *all = NULL;
    const char *wrong = NULL;

    /* Somebody else may give memory back at the very moment: not every time. */
    for (uint32_t tries = 0; tries < 3; tries++) {
        wrong = take_everything(&all);
        if (wrong == NULL)
            wrong = check_without_memory(all);
        if (wrong == NULL || thread_interrupted())
            break;
    }
    const char *damaged = give_back(&all);
    if (wrong == NULL)
        wrong = damaged;
    if (wrong == NULL)
        wrong = check_soundness();
    return wrong != NULL ? wrong : random_operations(load);
}

/* ---- Threads ---- */

#define WORKERS            4u
#define THREADS_OPERATIONS 400000u
#define THREADS_MS         1000u

struct worker {
    struct load load;
    struct thread *thread;
    bool yields;
    volatile bool done;
};

static struct worker workers[WORKERS]; /* one test at a time */
static int32_t operations_left;        /* to be done by any of them */

static bool take_operation(void)
{
    return __atomic_fetch_sub(&operations_left, 1, __ATOMIC_RELAXED) > 0;
}

static int work(void *arg)
{
    struct worker *self = arg;

    while (take_operation()) {
        self->load.failure = operate(&self->load);
        if (self->load.failure != NULL)
            break;
        if (self->yields)
            thread_yield();
    }
    end_load(&self->load);
    self->done = true;
    return 0;
}

/* Starts as many as memory allows; returns how many. */
static uint32_t start_workers(void)
{
    uint32_t count = 0;

    while (count < WORKERS) {
        struct worker *worker = &workers[count];
        start_load(&worker->load, 0x9e3779b9u * (count + 1));
        worker->yields = count % 2;
        worker->load.hammers = !worker->yields; /* more often preempted inside the heap */
        worker->done = false;
        worker->thread = thread_create("heap_test", work, worker);
        if (worker->thread == NULL)
            break;
        count++;
    }
    return count;
}

static bool all_done(uint32_t count)
{
    uint32_t done = 0;

    for (uint32_t i = 0; i < count; i++)
        done += workers[i].done;
    return done == count;
}

/* `operations`: as for heap_test_run(). */
static const char *threads(uint32_t operations)
{
    uint32_t wanted = operations != 0 ? operations : THREADS_OPERATIONS;
    __atomic_store_n(&operations_left, (int32_t)wanted, __ATOMIC_RELAXED);
    uint64_t start = timer_uptime_ms();
    uint32_t count = start_workers();
    const char *wrong = count == 0 ? got_null() : NULL;

    while (wrong == NULL && !all_done(count) &&
           (operations != 0 || !time_is_up(start, THREADS_MS))) {
        if (!thread_sleep(TIMER_TICK_MS))
            break;
        if (heap_validate() != HEAP_SOUND)
            wrong = "the heap is not sound while threads use it";
    }
    __atomic_store_n(&operations_left, 0, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < count; i++) {
        thread_join(workers[i].thread);
        if (wrong == NULL)
            wrong = workers[i].load.failure;
    }
    return wrong != NULL ? wrong : check_soundness();
}

/* ---- All of it ---- */

static const char *run_phases(uint32_t operations)
{
    struct load *load = &workers[0].load;
    const char *wrong = random_operations(load);

    if (wrong == NULL)
        wrong = out_of_memory(load);
    if (wrong == NULL)
        wrong = threads(operations);
    return thread_interrupted() ? STOPPED : wrong;
}

const char *heap_test_run(uint32_t operations)
{
    if (!selftest_enter())
        return STOPPED;
    const char *wrong = run_phases(operations);
    selftest_leave();
    return wrong;
}

SELFTEST(heap_load, "heap: random operations, out of memory, and by threads at a time")
{
    return run_phases(BLOCKS_HAVE_RED_ZONES ? 100000 : 1000000); /* those take their time */
}
