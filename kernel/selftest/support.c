/*
 * What the in-kernel tests share.
 */
#include "selftest/support.h"
#include "mem/layout.h"
#include <check.h>
#include <error.h>
#include <heap.h>
#include <lib/bits.h>
#include <mem/mmu.h>
#include <mem/paging.h>
#include <mem/pmm.h>
#include <mem/window.h>
#include <panic.h>
#include <sched/sync.h>
#include <sched/thread.h>

/* ---- One at a time ---- */

static struct mutex one_at_a_time = MUTEX_INITIALIZER(one_at_a_time);

bool selftest_enter(void)
{
    while (!mutex_try_lock(&one_at_a_time)) {
        if (!thread_sleep(10))
            return false;
    }
    return true;
}

void selftest_leave(void)
{
    mutex_unlock(&one_at_a_time);
}

/* ---- Figures ---- */

#define SPARE     (128u * KIB) /* more than the heap keeps mapped above its blocks */

/*
 * A size that the heap tries for, with what guards and red zones add to it, but that no heap which
 * holds the threads' records can have.
 */
#define TOO_LARGE (HEAP_MAX - 256)

void trim_heap(void)
{
    check_heap_drain();
    kfree(kmalloc(TOO_LARGE)); /* takes spare chunks back before it says NULL */
    kfree(kmalloc(heap_get_stats().largest_free + SPARE)); /* leaves many pages unused at the top */
    check_heap_drain();
}

static uint32_t count_threads(void)
{
    struct thread_info info;
    uint32_t count = 0;

    for (uint32_t id = 0; thread_next(id, &info); id = info.id + 1)
        count++;
    return count;
}

static uint32_t count_mapped(vaddr_t from)
{
    struct mapped_page page;
    uint32_t count = 0;

    while (from != 0 && paging_next_page(from, &page)) {
        count++;
        from = page.virt + (page.to.large ? LARGE_PAGE_SIZE : PAGE_SIZE); /* may wrap to 0 */
    }
    return count;
}

struct figures figures_take(void)
{
    trim_heap();

    struct heap_stats heap = heap_get_stats();
    return (struct figures){
        .frames = pmm_get_stats().free + (uint32_t)(heap.total / PAGE_SIZE) + check_heap_frames(),
        .tables = paging_table_frames(),
        .mapped = count_mapped(STACKS_BASE),
        .threads = count_threads(),
        .heap_used = heap.used,
        .heap_blocks = heap.blocks,
    };
}

static const char *difference(const struct figures *before)
{
    struct figures now = figures_take();

    if (now.threads != before->threads)
        return "the number of threads changed";
    if (now.mapped != before->mapped)
        return "the number of mapped pages changed";
    if (now.tables != before->tables)
        return "the number of page tables changed";
    if (now.heap_blocks != before->heap_blocks)
        return "the number of heap blocks changed";
    if (now.heap_used != before->heap_used)
        return "the bytes in heap blocks changed";
    if (now.frames != before->frames)
        return "the number of free frames changed";
    return NULL;
}

const char *figures_compare(const struct figures *before)
{
    const char *changed = difference(before);

    for (uint32_t tries = 0; changed != NULL && tries < 20; tries++) {
        thread_sleep(10);
        thread_yield();
        changed = difference(before);
    }
    return changed;
}

const char *memory_fault(void)
{
    const char *frames = pmm_validate();

    if (frames != NULL)
        return frames;
    if (paging_validate() != PAGING_SOUND)
        return "the page tables are not sound";
    if (window_validate() != WINDOW_SOUND)
        return "the windows are not sound";
    return heap_validate() == HEAP_SOUND ? NULL : "the heap is not sound";
}

uint32_t random_next(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* ---- Hoards ---- */

/* What a frame holds while it is hoarded: a frame that was handed out twice shows by it. */
struct hoarded {
    paddr_t self, next;
};

void hoard_add(struct hoard *hoard, paddr_t frame)
{
    struct hoarded *words = phys_to_virt(frame);

    words->self = frame;
    words->next = hoard->head;
    hoard->head = frame;
    hoard->count++;
}

void hoard_low_frames(struct hoard *hoard)
{
    paddr_t frame;

    while ((frame = pmm_alloc_frame()) != 0)
        hoard_add(hoard, frame);
}

const char *hoard_release_one(struct hoard *hoard)
{
    paddr_t frame = hoard->head;

    if (frame == 0 || !pmm_is_allocated(frame))
        return "a frame was handed out twice";
    struct hoarded words = *(struct hoarded *)phys_to_virt(frame);
    if (words.self != frame)
        return "somebody wrote into an allocated frame";
    hoard->head = words.next;
    hoard->count--;
    pmm_free_frame(frame);
    return NULL;
}

const char *hoard_release(struct hoard *hoard)
{
    const char *wrong = NULL;

    while (hoard->count > 0 && wrong == NULL)
        wrong = hoard_release_one(hoard);
    return wrong != NULL || hoard->head == 0 ? wrong : "a frame was handed out twice";
}

/* ---- Virtual space ---- */

vaddr_t unused_space(uint32_t count)
{
    vaddr_t size = count * LARGE_PAGE_SIZE;

    for (vaddr_t start = SHADOW_END; 0u - start > size;) {
        struct mapped_page page;
        if (!paging_next_page(start, &page) || page.virt - start >= size)
            return start;
        start = round_down(page.virt, LARGE_PAGE_SIZE) + LARGE_PAGE_SIZE;
        if (start < SHADOW_END)
            return 0;
    }
    return 0;
}

void unmap_everything(vaddr_t start, vaddr_t end)
{
    struct mapped_page page;

    while (paging_next_page(start, &page) && page.virt < end) {
        int error = unmap_page(page.virt);
        ASSERT(error == OK);
    }
}
