/*
 * The PMM: the machine's memory map and the kernel's own reservations, entered into the bitmap.
 */
#include <mem/pmm.h>
#include "mem/layout.h"
#include <boot_info.h>
#include <lib/bits.h>
#include <log.h>
#include <mem/frames.h>
#include <mem/memmap.h>
#include <mem/sections.h>
#include <panic.h>
#include <sched/spinlock.h>

/*
 * What the rest of the boot needs at the least: page tables beyond the pool's, the heap's first
 * pages and what is allocated there, the threads' stacks.
 */
#define MIN_FREE_FRAMES 64u

_Static_assert(FRAMES_MAX == PMM_MAX_PHYS_ADDR / PAGE_SIZE &&
                   FRAMES_HIGH_FIRST == HEAP_BASE / PAGE_SIZE,
               "frames.h has these numbers of its own");

static struct frames frames; /* guarded by `lock` */
static struct spinlock lock;
static uint64_t left_out;

/* Every frame that [start, end) touches. Modules may lie anywhere below 4 GiB: 64-bit sums. */
static void reserve(paddr64_t start, paddr64_t end)
{
    struct memmap_region region = { start, end, MEMMAP_RESERVED };

    if (start < end) {
        struct memmap_frames range = memmap_frames_touched(&region);
        frames_reserve(&frames, range.first, range.end);
    }
}

static void reserve_what_is_occupied(void)
{
    struct multiboot2_walk walk = { 0, 0 };
    struct multiboot2_module module;
    struct multiboot2_framebuffer fb;

    reserve(0, LOW_MEMORY_END);
    reserve((uintptr_t)_kernel_start, (uintptr_t)_kernel_end);
    reserve(boot_info_start(), boot_info_end());
    while (boot_info_next_module(&walk, &module))
        reserve(module.start, module.end);
    if (multiboot2_framebuffer(boot_info(), &fb) && boot_info_framebuffer_fault(&fb) == NULL)
        reserve(fb.address, fb.address + (uint64_t)fb.pitch * fb.height);
}

static void print_memory_map(const struct memmap_source *source)
{
    struct memmap_region region;

    klog("memory map:");
    source->rewind(source->context);
    while (source->next(source->context, &region))
        klog("  0x%016llx - 0x%016llx  %s", region.start, region.end - 1,
             memmap_type_text(region.type));
}

void pmm_init(uint32_t mb_magic, paddr_t mb_info_addr)
{
    const char *wrong = boot_info_init(mb_magic, mb_info_addr);
    if (wrong != NULL)
        panic("cannot start: %s (EAX 0x%08x, EBX 0x%08x)", wrong, mb_magic, mb_info_addr);

    struct memmap_source source = boot_info_regions();
    print_memory_map(&source);

    frames_init(&frames);
    left_out = memmap_enter(&source, &frames);
    reserve_what_is_occupied();
    if (boot_info_complaint() != NULL)
        klog_warning("Multiboot2: the rest of the block is not used: %s", boot_info_complaint());
    pmm_dump_stats();

    if (frames_free_count(&frames) < MIN_FREE_FRAMES)
        panic("too little memory: %u KiB are free, RoninOS needs %u KiB",
              frames_free_count(&frames) * (PAGE_SIZE / KIB), MIN_FREE_FRAMES * (PAGE_SIZE / KIB));
}

paddr_t pmm_phys_limit(void)
{
    return frames.end * PAGE_SIZE;
}

/* Tries one zone, then the other if `fallback`; 0 is "none", for frame 0 is always reserved. */
static paddr_t alloc(enum frames_zone zone, bool fallback)
{
    uint32_t flags = spin_lock(&lock);
    uint32_t frame = frames_alloc(&frames, zone);
    if (frame == FRAMES_NONE && fallback)
        frame = frames_alloc(&frames, zone == FRAMES_LOW ? FRAMES_HIGH : FRAMES_LOW);
    spin_unlock(&lock, flags);
    return frame == FRAMES_NONE ? 0 : frame * PAGE_SIZE;
}

paddr_t pmm_alloc_frame(void)
{
    return alloc(FRAMES_LOW, false);
}

paddr_t pmm_alloc_frame_high(void)
{
    return alloc(FRAMES_HIGH, true);
}

void pmm_free_frame(paddr_t phys)
{
    uint32_t flags = spin_lock(&lock);
    bool freed = phys % PAGE_SIZE == 0 && frames_free(&frames, phys / PAGE_SIZE);
    spin_unlock(&lock, flags);
    if (!freed)
        panic("pmm_free_frame: 0x%08x is not an allocated frame", phys);
}

paddr_t pmm_alloc_run(uint32_t pages, uint32_t align, paddr_t below)
{
    ASSERT(is_power_of_two(align));

    uint32_t limit = (below < HEAP_BASE ? below : HEAP_BASE) / PAGE_SIZE;
    uint32_t flags = spin_lock(&lock);
    uint32_t first =
        frames_alloc_run(&frames, pages, align > PAGE_SIZE ? align / PAGE_SIZE : 1, limit);
    spin_unlock(&lock, flags);
    return first == FRAMES_NONE ? 0 : first * PAGE_SIZE;
}

void pmm_free_run(paddr_t phys, uint32_t pages)
{
    uint32_t flags = spin_lock(&lock);
    bool freed = phys % PAGE_SIZE == 0 && frames_free_run(&frames, phys / PAGE_SIZE, pages);
    spin_unlock(&lock, flags);
    if (!freed)
        panic("pmm_free_run: 0x%08x is not the first of %u allocated frames", phys, pages);
}

bool pmm_is_allocated(paddr_t phys)
{
    uint32_t flags = spin_lock(&lock);
    bool allocated = frames_state(&frames, phys / PAGE_SIZE) == FRAME_ALLOCATED;
    spin_unlock(&lock, flags);
    return allocated;
}

struct pmm_stats pmm_get_stats(void)
{
    uint32_t flags = spin_lock(&lock);
    struct pmm_stats stats = {
        .total = frames.total,
        .reserved = frames.reserved,
        .allocated = frames.allocated,
        .free = frames_free_count(&frames),
        .left_out = left_out,
    };
    spin_unlock(&lock, flags);
    return stats;
}

void pmm_dump_stats(void)
{
    struct pmm_stats stats = pmm_get_stats();

    klog("PMM: %u KiB managed, %u KiB free, %u KiB reserved, %u KiB allocated",
         stats.total * (PAGE_SIZE / KIB), stats.free * (PAGE_SIZE / KIB),
         stats.reserved * (PAGE_SIZE / KIB), stats.allocated * (PAGE_SIZE / KIB));
    if (stats.left_out != 0)
        klog("PMM: %llu KiB above %u MiB are left out", stats.left_out / KIB,
             PMM_MAX_PHYS_ADDR / MIB);
}

const char *pmm_validate(void)
{
    uint32_t flags = spin_lock(&lock);
    enum frames_fault fault = frames_validate(&frames);
    spin_unlock(&lock, flags);

    switch (fault) {
    case FRAMES_SOUND:
        return NULL;
    case FRAMES_FREE_COUNT:
        return "free frames differ from a recount";
    case FRAMES_ALLOCATED_COUNT:
        return "allocated frames differ from a recount";
    case FRAMES_FIXED_FREE:
        return "a reserved frame is marked free";
    case FRAMES_PAST_END:
        return "a frame past the end is marked RAM";
    case FRAMES_WORDS:
        return "the second level of the bitmap differs from the first";
    case FRAMES_GROUPS:
        return "the third level of the bitmap differs from the second";
    }
    return "unknown fault";
}
