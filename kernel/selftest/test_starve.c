/*
 * Every user of memory without the first piece of it, without the second, and so on until nothing
 * fails any more; each time once for that piece alone, and once for all from it on. However far a
 * user has come, it gives back what it has: afterwards all is as before, and sound.
 */
#include <selftest.h>
#include "mem/layout.h"
#include "selftest/support.h"
#include <error.h>
#include <heap.h>
#include <lib/printf.h>
#include <lib/string.h>
#include <mem/paging.h>
#include <mem/pmm.h>
#include <mem/starve.h>
#include <mem/window.h>
#include <sched/thread.h>

#define REQUESTS_MAX 100u /* no user here makes as many */
#define FRAMES       3u
#define SPACE_TABLES 3u
#define OVER_TABLES  (2u * LARGE_PAGE_SIZE / PAGE_SIZE + 2u) /* pages that meet three tables */

/* The last page in front of a table's border, in address space that nobody uses. */
static vaddr_t before_border(void)
{
    vaddr_t space = unused_space(SPACE_TABLES + 1);
    return space != 0 ? space + LARGE_PAGE_SIZE - PAGE_SIZE : 0;
}

/* ---- The users: NULL, or what they saw that must not be ---- */

static const char *use_frames(void)
{
    paddr_t frames[FRAMES], high[FRAMES];

    for (uint32_t i = 0; i < FRAMES; i++) {
        frames[i] = pmm_alloc_frame();
        high[i] = pmm_alloc_frame_high();
    }
    paddr_t run = pmm_alloc_run(4, PAGE_SIZE, HEAP_BASE);
    for (uint32_t i = 0; i < FRAMES; i++) {
        if (frames[i] != 0)
            pmm_free_frame(frames[i]);
        if (high[i] != 0)
            pmm_free_frame(high[i]);
    }
    if (run != 0)
        pmm_free_run(run, 4);
    return NULL;
}

static const char *use_page(void)
{
    vaddr_t page = before_border();
    int error = map_page(page, KERNEL_LOAD, 0);

    EXPECT(error == OK || error == ERR_NO_MEMORY);
    EXPECT(translate(page).mapped == (error == OK));
    EXPECT(error != OK || unmap_page(page) == OK);
    return NULL;
}

static const char *use_range(void)
{
    vaddr_t start = before_border();
    int error = map_range(start, KERNEL_LOAD, OVER_TABLES, 0);

    EXPECT(error == OK || error == ERR_NO_MEMORY);
    EXPECT(translate(start).mapped == (error == OK));
    if (error == OK)
        unmap_range(start, OVER_TABLES);
    return NULL;
}

static const char *use_new_pages(void)
{
    vaddr_t start = before_border();
    int error = map_new_pages(start, FRAMES, PAGE_WRITE, FRAME_KERNEL);

    EXPECT(error == OK || error == ERR_NO_MEMORY);
    EXPECT(translate(start).mapped == (error == OK));
    if (error == OK)
        unmap_and_free_pages(start, FRAMES, FRAME_KERNEL);
    return NULL;
}

/* Nothing looks through it, so it does not matter what is there. */
static const char *use_window(void)
{
    const void *window = map_window(SHADOW_BASE, OVER_TABLES * PAGE_SIZE, WINDOW_DEVICE);

    EXPECT(window == NULL || translate((vaddr_t)window).phys == SHADOW_BASE);
    if (window != NULL)
        unmap_window(window);
    return NULL;
}

static const char *use_heap(void)
{
    static const size_t sizes[] = { 1, 24, 256, 300, 5000, 100000 };
    void *blocks[ARRAY_SIZE(sizes)], *aligned = kmalloc_aligned(100, 64);
    uint8_t *zeros = kcalloc(10, 10);
    const char *wrong = NULL;

    for (uint32_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        blocks[i] = kmalloc(sizes[i]);
        if (blocks[i] != NULL)
            memset(blocks[i], (int)i, sizes[i]);
    }
    for (uint32_t i = 0; i < 100 && zeros != NULL; i++)
        wrong = zeros[i] == 0 ? wrong : "kcalloc gave bytes that are not zero";
    for (uint32_t i = 0; i < ARRAY_SIZE(sizes); i++)
        kfree(blocks[i]);
    kfree(zeros);
    kfree(aligned);
    return wrong;
}

/* In place, past a neighbour, and over the heap's end. */
static const char *use_realloc(void)
{
    uint32_t *words = kmalloc(sizeof(*words)), *behind = kmalloc(300);
    const char *wrong = NULL;

    if (words != NULL)
        *words = KERNEL_LOAD;
    for (size_t size = 8; size <= 40000 && words != NULL; size *= 3) {
        uint32_t *larger = krealloc(words, size);
        words = larger != NULL ? larger : words;
        wrong = *words == KERNEL_LOAD ? wrong : "krealloc lost the contents";
    }
    kfree(words);
    kfree(behind);
    return wrong;
}

static int end_at_once(void *arg)
{
    return *(int *)arg;
}

static vaddr_t lowest_stack; /* that a thread gets */

static const char *use_thread(void)
{
    int seven = 7;
    struct thread *thread = thread_create("starved", end_at_once, &seven);
    vaddr_t stack = thread != NULL ? thread->stack : lowest_stack;

    EXPECT(thread == NULL || thread_join(thread) == 7);
    if (lowest_stack == 0)
        lowest_stack = stack;
    EXPECT(stack == lowest_stack); /* no slot of the stacks' window was kept */
    return NULL;
}

/* ---- Without each piece ---- */

/* One run; *failed: whether there was a request that failed. */
static const char *run_without(const char *(*use)(void), uint32_t at, bool forever, bool *failed)
{
    struct figures before = figures_take();

    starve_begin(at, forever);
    const char *wrong = use();
    starve_end();
    *failed = starve_get().failed != 0;
    if (wrong == NULL)
        wrong = figures_compare(&before);
    return wrong != NULL ? wrong : memory_fault();
}

static const char *starve_use(const char *(*use)(void), uint32_t least)
{
    static char text[80];

    for (uint32_t forever = 0; forever <= 1; forever++) {
        bool failed = true;
        for (uint32_t at = 1; failed; at++) {
            const char *wrong =
                at <= REQUESTS_MAX ? run_without(use, at, forever, &failed) : "it asks too often";
            if (wrong == NULL && !failed && at <= least)
                wrong = "too few requests were seen";
            if (wrong == NULL)
                continue;
            ksnprintf(text, sizeof(text), "without request %u%s: %s", at,
                      forever ? " and all behind it" : "", wrong);
            return text;
        }
    }
    return NULL;
}

/* `least`: requests that the user makes at the least. */
#define STARVED(id, title, use, least)                                                             \
    SELFTEST(starve_##id, "starve: " title)                                                        \
    {                                                                                              \
        return starve_use(use, least);                                                             \
    }

STARVED(frames, "frames, low and high, and runs of them", use_frames, 2 * FRAMES + 1)
STARVED(page, "a page whose table is not there", use_page, 1)
STARVED(range, "a range over three tables", use_range, 3)
STARVED(new_pages, "pages with frames, over two tables", use_new_pages, 2 + FRAMES)
STARVED(window, "a window over three tables", use_window, 2)
STARVED(heap, "blocks and objects of all sizes", use_heap, 8 + 50000 / PAGE_SIZE)
STARVED(realloc, "blocks that grow", use_realloc, 8)

SELFTEST(starve_thread, "starve: a thread: its record and its stack")
{
    lowest_stack = 0;
    const char *wrong = use_thread();
    return wrong != NULL ? wrong : starve_use(use_thread, 1 + STACK_SIZE / PAGE_SIZE);
}

SELFTEST(starve_kinds, "starve: a table of the pool or the PMM, a frame and a block are told apart")
{
    vaddr_t page = before_border();

    starve_begin(1, false);
    EXPECT(map_page(page, KERNEL_LOAD, 0) == ERR_NO_MEMORY);
    EXPECT(starve_get().first == STARVE_TABLE && !starve_get().on);
    starve_begin(1, false);
    EXPECT(pmm_alloc_frame() == 0);
    EXPECT(starve_get().first == STARVE_FRAME);
    starve_begin(1, false);
    EXPECT(kmalloc(1) == NULL);
    EXPECT(starve_get().first == STARVE_BLOCK);
    return NULL;
}
