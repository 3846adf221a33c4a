/*
 * Tests of the PMM on the machine's own memory: what it hands out, and what happens when there is
 * nothing left.
 */
#include <selftest.h>
#include "mem/layout.h"
#include "selftest/support.h"
#include <boot_info.h>
#include <error.h>
#include <mem/paging.h>
#include <mem/pmm.h>
#include <mem/sections.h>

static bool meets(paddr64_t start, paddr64_t end, paddr64_t frame)
{
    return start < end && frame < end && frame + PAGE_SIZE > start;
}

/* Whether the frame lies wholly in one region of available RAM and meets no other region. */
static bool is_available(paddr_t frame)
{
    struct memmap_source source = boot_info_regions();
    struct memmap_region region;
    bool available = false;

    source.rewind(source.context);
    while (source.next(source.context, &region)) {
        if (!meets(region.start, region.end, frame))
            continue;
        if (region.type != MEMMAP_AVAILABLE)
            return false;
        if (frame >= region.start && frame + (paddr64_t)PAGE_SIZE <= region.end)
            available = true;
    }
    return available;
}

static bool meets_a_module(paddr_t frame)
{
    struct multiboot2_walk walk = { 0, 0 };
    struct multiboot2_module module;

    while (boot_info_next_module(&walk, &module)) {
        if (meets(module.start, module.end, frame))
            return true;
    }
    return false;
}

/* What must hold of every frame that is handed out. */
static const char *check_frame(paddr_t frame)
{
    EXPECT(frame % PAGE_SIZE == 0);
    EXPECT(frame >= LOW_MEMORY_END);
    EXPECT(frame < pmm_phys_limit());
    EXPECT(!meets((paddr64_t)(uintptr_t)_kernel_start, (paddr64_t)(uintptr_t)_kernel_end, frame));
    EXPECT(!meets(boot_info_start(), boot_info_end(), frame));
    EXPECT(!meets_a_module(frame));
    EXPECT(is_available(frame));
    EXPECT(pmm_is_allocated(frame));
    return NULL;
}

SELFTEST(pmm_figures, "pmm: figures agree with a recount")
{
    struct pmm_stats stats = pmm_get_stats();

    EXPECT(pmm_validate() == NULL);
    EXPECT(stats.total == stats.reserved + stats.allocated + stats.free);
    EXPECT(stats.total <= pmm_phys_limit() / PAGE_SIZE);
    EXPECT(pmm_phys_limit() <= PMM_MAX_PHYS_ADDR);
    /* The kernel image and the pages below 1 MiB that are RAM. */
    EXPECT(stats.reserved >= (uint32_t)(_kernel_end - _kernel_start) / PAGE_SIZE);
    return NULL;
}

/* ---- A few frames ---- */

#define A_FEW 32u

static const char *check_few(const paddr_t *frames, uint32_t count, bool high)
{
    for (uint32_t i = 0; i < count; i++) {
        const char *wrong = check_frame(frames[i]);
        if (wrong != NULL)
            return wrong;
        EXPECT(!paging_owns_frame(frames[i]));
        EXPECT(high || frames[i] < HEAP_BASE);
        for (uint32_t j = 0; j < i; j++)
            EXPECT(frames[i] != frames[j]);
    }
    return NULL;
}

/* Takes a few frames, checks them, gives them back. */
static const char *take_few(bool high)
{
    struct pmm_stats before = pmm_get_stats();
    paddr_t frames[A_FEW];
    uint32_t count = 0;

    for (; count < A_FEW; count++) {
        frames[count] = high ? pmm_alloc_frame_high() : pmm_alloc_frame();
        if (frames[count] == 0)
            break;
    }

    const char *wrong = check_few(frames, count, high);
    struct pmm_stats taken = pmm_get_stats();
    for (uint32_t i = 0; i < count; i++)
        pmm_free_frame(frames[i]);
    struct pmm_stats after = pmm_get_stats();

    if (wrong != NULL)
        return wrong;
    EXPECT(count > 0);
    EXPECT(taken.free == before.free - count && taken.allocated == before.allocated + count);
    EXPECT(after.free == before.free && after.allocated == before.allocated);
    EXPECT(after.total == before.total && after.reserved == before.reserved);
    EXPECT(pmm_validate() == NULL);
    return NULL;
}

SELFTEST(pmm_low_frames, "pmm: low frames are distinct, usable RAM that nobody else uses")
{
    return take_few(false);
}

SELFTEST(pmm_high_frames, "pmm: so are the frames for mapped memory")
{
    return take_few(true);
}

SELFTEST(pmm_reuse, "pmm: the lowest free frame is handed out first")
{
    paddr_t first = pmm_alloc_frame();
    paddr_t second = pmm_alloc_frame();

    if (second == 0) {
        if (first != 0)
            pmm_free_frame(first);
        return "fewer than two frames are free";
    }
    pmm_free_frame(first);
    bool was_allocated = pmm_is_allocated(first);
    paddr_t again = pmm_alloc_frame();
    pmm_free_frame(again);
    pmm_free_frame(second);
    EXPECT(first < second);
    EXPECT(!was_allocated);
    EXPECT(again == first);
    return NULL;
}

SELFTEST(pmm_states, "pmm: what was never handed out does not count as allocated")
{
    EXPECT(!pmm_is_allocated(0));
    EXPECT(!pmm_is_allocated(VGA_MEMORY_START));
    EXPECT(!pmm_is_allocated((paddr_t)(uintptr_t)_kernel_start));
    EXPECT(!pmm_is_allocated(pmm_phys_limit()));
    EXPECT(!pmm_is_allocated((paddr_t)PAGE_MASK));
    return NULL;
}

/* ---- Runs ---- */

#define RUN 16u /* frames, and 64 KiB */

static const char *check_run(paddr_t run, paddr_t below)
{
    EXPECT(run % (RUN * PAGE_SIZE) == 0);
    EXPECT(run + RUN * PAGE_SIZE <= below);
    for (uint32_t i = 0; i < RUN; i++) {
        const char *wrong = check_frame(run + i * PAGE_SIZE);
        if (wrong != NULL)
            return wrong;
        EXPECT(!paging_owns_frame(run + i * PAGE_SIZE));
        EXPECT(run + i * PAGE_SIZE < HEAP_BASE);
    }
    return NULL;
}

SELFTEST(pmm_run, "pmm: frames in a row, aligned and below a limit, whole and in pieces")
{
    struct pmm_stats before = pmm_get_stats();
    paddr_t run = pmm_alloc_run(RUN, RUN * PAGE_SIZE, 0xffffffff);

    EXPECT(run != 0);
    const char *wrong = check_run(run, pmm_phys_limit());
    paddr_t lower = pmm_alloc_run(RUN, RUN * PAGE_SIZE, run + RUN * PAGE_SIZE);
    pmm_free_frame_of(FRAME_DRIVERS, run + PAGE_SIZE);
    bool freed_alone = !pmm_is_allocated(run + PAGE_SIZE);
    pmm_free_run(run, 1);
    pmm_free_run(run + 2 * PAGE_SIZE, RUN - 2);
    paddr_t again = pmm_alloc_run(RUN, RUN * PAGE_SIZE, run + RUN * PAGE_SIZE);
    if (again != 0)
        pmm_free_run(again, RUN);

    if (wrong != NULL)
        return wrong;
    EXPECT(lower == 0); /* it was the lowest */
    EXPECT(freed_alone);
    EXPECT(again == run);
    EXPECT(pmm_alloc_run(1, PAGE_SIZE, LOW_MEMORY_END) == 0);
    EXPECT(pmm_alloc_run(0, PAGE_SIZE, HEAP_BASE) == 0);
    EXPECT(pmm_get_stats().free == before.free);
    EXPECT(pmm_validate() == NULL);
    return NULL;
}

/* ---- All frames ---- */

static const char *check_all(const struct hoard *hoard, const struct pmm_stats *before,
                             uint32_t others)
{
    struct pmm_stats now = pmm_get_stats();

    EXPECT(pmm_alloc_frame() == 0);
    EXPECT(hoard->count + others + now.free == before->free);
    EXPECT(now.allocated == before->allocated + hoard->count + others);
    EXPECT(pmm_validate() == NULL);
    return NULL;
}

SELFTEST(pmm_all_low, "pmm: low frames run out, and all of them come back")
{
    struct pmm_stats before = pmm_get_stats();
    struct hoard hoard = { 0, 0 };
    const char *wrong = NULL;
    paddr_t frame;

    while ((frame = pmm_alloc_frame()) != 0) {
        hoard_add(&hoard, frame);
        if (wrong == NULL)
            wrong = frame < HEAP_BASE ? check_frame(frame) : "a low frame lies in the heap's range";
    }
    if (wrong == NULL)
        wrong = check_all(&hoard, &before, 0);

    const char *lost = hoard_release(&hoard);
    EXPECT(pmm_get_stats().free == before.free);
    return wrong != NULL ? wrong : lost;
}

/*
 * Frames that are reached by a mapping only are remembered by one: the pages of a free stretch of
 * address space, one after another. Its page tables need frames too, which come back with it.
 */
#define SPACE_TABLES ((PMM_MAX_PHYS_ADDR - HEAP_BASE) / LARGE_PAGE_SIZE + 1)

static const char *take_high(vaddr_t space, uint32_t *count)
{
    for (*count = 0; *count < SPACE_TABLES * (LARGE_PAGE_SIZE / PAGE_SIZE); ++*count) {
        paddr_t frame = pmm_alloc_frame_high();
        if (frame == 0)
            return "no frame at all, though low ones were free";
        if (frame < HEAP_BASE) {
            pmm_free_frame(frame);
            return NULL; /* high ones are used up */
        }
        if (map_page(space + *count * PAGE_SIZE, frame, PAGE_WRITE) != OK) {
            pmm_free_frame(frame);
            return "no frame for a page table, though low ones were free";
        }
        const char *wrong = check_frame(frame);
        if (wrong != NULL) {
            ++*count;
            return wrong;
        }
    }
    return "there are more high frames than memory";
}

/* With the high frames taken, the low ones serve instead until all are gone. */
static const char *take_rest(uint32_t others, const struct pmm_stats *before)
{
    struct hoard hoard = { 0, 0 };
    paddr_t frame;
    const char *wrong = NULL;

    while ((frame = pmm_alloc_frame_high()) != 0) {
        if (frame >= HEAP_BASE) {
            pmm_free_frame(frame);
            wrong = "a high frame came after low ones";
            break;
        }
        hoard_add(&hoard, frame);
    }
    if (wrong == NULL)
        wrong = check_all(&hoard, before, others);
    if (wrong == NULL && pmm_get_stats().free != 0)
        wrong = "frames are free, but none is handed out";

    const char *lost = hoard_release(&hoard);
    return wrong != NULL ? wrong : lost;
}

SELFTEST(pmm_all_high, "pmm: high frames go first, then low ones, until none is left")
{
    struct pmm_stats before = pmm_get_stats();
    uint32_t count, tables = paging_table_frames();
    vaddr_t space = unused_space(SPACE_TABLES);

    EXPECT(space != 0);
    const char *wrong = take_high(space, &count);
    /* Tables may come from the pool, so what went is counted, not computed. */
    if (wrong == NULL)
        wrong = take_rest(before.free - pmm_get_stats().free, &before);
    for (uint32_t i = 0; i < count; i++) {
        paddr_t frame = (paddr_t)translate(space + i * PAGE_SIZE).phys;
        unmap_range(space + i * PAGE_SIZE, 1);
        pmm_free_frame(frame);
    }
    EXPECT(pmm_get_stats().free == before.free);
    EXPECT(paging_table_frames() == tables);
    EXPECT(pmm_phys_limit() <= HEAP_BASE || count > 0);
    return wrong;
}
