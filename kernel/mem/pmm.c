/*
 * The PMM: the machine's memory map and the kernel's own reservations, entered into the bitmap,
 * and beside the bitmap who owns what was handed out.
 */
#include <mem/pmm.h>
#include "mem/layout.h"
#include "mem/owners.h"
#include <boot_info.h>
#include <lib/bits.h>
#include <lib/string.h>
#include <log.h>
#include <mem/frames.h>
#include <mem/memmap.h>
#include <mem/sections.h>
#include <mem/starve.h>
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
static struct owners owners; /* likewise */
static struct spinlock lock;
static uint64_t left_out;

const char *frame_owner_text(enum frame_owner owner)
{
    static const char *const texts[FRAME_OWNERS] = { "nobody", "kernel",  "page tables", "heap",
                                                     "stacks", "drivers", "laboratory" };
    return texts[owner];
}

/* ---- The start ---- */

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

static _Noreturn void panic_too_little(void)
{
    panic("too little memory: %u KiB are free, RoninOS needs %u KiB",
          frames_free_count(&frames) * (PAGE_SIZE / KIB), MIN_FREE_FRAMES * (PAGE_SIZE / KIB));
}

/* The record of owners takes a four-thousandth of the memory, in a row and for good. */
static void make_owners(void)
{
    uint32_t pages = (frames.end + PAGE_SIZE - 1) / PAGE_SIZE;
    uint32_t first = frames_alloc_run(&frames, pages, 1, FRAMES_HIGH_FIRST);

    if (!frames_free_run(&frames, first, pages))
        panic_too_little(); /* there is no such run */
    frames_reserve(&frames, first, first + pages);
    owners_init(&owners, (uint8_t *)(vaddr_t)(first * PAGE_SIZE), frames.end);
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
    make_owners();
    pmm_dump_stats();
    if (frames_free_count(&frames) < MIN_FREE_FRAMES)
        panic_too_little();
}

paddr_t pmm_phys_limit(void)
{
    return frames.end * PAGE_SIZE;
}

/* ---- Handing out ---- */

/* The lock held. */
static inline paddr_t handed_out(uint32_t first, uint32_t count, enum frame_owner owner)
{
    if (first == FRAMES_NONE)
        return 0; /* "none", for frame 0 is always reserved */
    owners_take(&owners, first, count, owner);
    return first * PAGE_SIZE;
}

static inline paddr_t alloc_low(enum frame_owner owner)
{
    if (starves(STARVE_FRAME))
        return 0;

    uint32_t flags = spin_lock(&lock);
    paddr_t phys = handed_out(frames_alloc(&frames, FRAMES_LOW), 1, owner);
    spin_unlock(&lock, flags);
    return phys;
}

static inline paddr_t alloc_high(enum frame_owner owner)
{
    if (starves(STARVE_FRAME))
        return 0;

    uint32_t flags = spin_lock(&lock);
    uint32_t frame = frames_alloc(&frames, FRAMES_HIGH);
    if (frame == FRAMES_NONE)
        frame = frames_alloc(&frames, FRAMES_LOW);
    paddr_t phys = handed_out(frame, 1, owner);
    spin_unlock(&lock, flags);
    return phys;
}

paddr_t pmm_alloc_frame_for(enum frame_owner owner)
{
    return alloc_low(owner);
}

paddr_t pmm_alloc_frame(void)
{
    return alloc_low(FRAME_KERNEL);
}

paddr_t pmm_alloc_frame_high_for(enum frame_owner owner)
{
    return alloc_high(owner);
}

paddr_t pmm_alloc_frame_high(void)
{
    return alloc_high(FRAME_KERNEL);
}

paddr_t pmm_alloc_run(uint32_t pages, uint32_t align, paddr_t below)
{
    ASSERT(is_power_of_two(align));

    uint32_t limit = (below < HEAP_BASE ? below : HEAP_BASE) / PAGE_SIZE;
    if (starves(STARVE_FRAME))
        return 0;

    uint32_t flags = spin_lock(&lock);
    uint32_t first =
        frames_alloc_run(&frames, pages, align > PAGE_SIZE ? align / PAGE_SIZE : 1, limit);
    paddr_t phys = handed_out(first, pages, FRAME_DRIVERS);
    spin_unlock(&lock, flags);
    return phys;
}

/* ---- Taking back ---- */

/* Says why `caller` does not take a frame back from an owner. */
static _Noreturn void refuse(const char *caller, enum frame_owner owner, paddr_t phys)
{
    enum frames_state state =
        phys % PAGE_SIZE == 0 ? frames_state(&frames, phys / PAGE_SIZE) : FRAME_HOLE_OR_RESERVED;

    if (state == FRAME_FREE)
        panic("%s: double free of the frame 0x%08x, which is free", caller, phys);
    if (state == FRAME_ALLOCATED)
        panic("%s: wrong owner: the frame 0x%08x belongs to: %s, and was given back by: %s", caller,
              phys, frame_owner_text(pmm_owner(phys)), frame_owner_text(owner));
    panic("%s: invalid free of 0x%08x, which is not a frame that was handed out", caller, phys);
}

static inline void free_frame(enum frame_owner owner, paddr_t phys)
{
    uint32_t frame = phys / PAGE_SIZE;
    uint32_t flags = spin_lock(&lock);
    bool freed =
        phys % PAGE_SIZE == 0 && owners_of(&owners, frame) == owner && frames_free(&frames, frame);
    if (freed)
        owners_give(&owners, frame, 1, owner);
    spin_unlock(&lock, flags);
    if (!freed)
        refuse("pmm_free_frame", owner, phys);
}

void pmm_free_frame_of(enum frame_owner owner, paddr_t phys)
{
    free_frame(owner, phys);
}

void pmm_free_frame(paddr_t phys)
{
    free_frame(FRAME_KERNEL, phys);
}

void pmm_free_run(paddr_t phys, uint32_t pages)
{
    uint32_t first = phys / PAGE_SIZE;
    uint32_t flags = spin_lock(&lock);
    uint32_t count = owners_run(&owners, first, pages, FRAME_DRIVERS);
    bool freed = phys % PAGE_SIZE == 0 && count == pages && frames_free_run(&frames, first, pages);
    if (freed)
        owners_give(&owners, first, pages, FRAME_DRIVERS);
    spin_unlock(&lock, flags);
    if (!freed)
        refuse("pmm_free_run", FRAME_DRIVERS, phys + (count < pages ? count : 0) * PAGE_SIZE);
}

/* ---- Looking at it ---- */

bool pmm_is_allocated(paddr_t phys)
{
    uint32_t flags = spin_lock(&lock);
    bool allocated = frames_state(&frames, phys / PAGE_SIZE) == FRAME_ALLOCATED;
    spin_unlock(&lock, flags);
    return allocated;
}

enum frame_owner pmm_owner(paddr_t phys)
{
    return owners_of(&owners, phys / PAGE_SIZE);
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
    memcpy(stats.owned, owners.owned, sizeof(stats.owned));
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

static const char *frames_fault_text(enum frames_fault fault)
{
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

static const char *owners_fault_text(enum owners_fault fault)
{
    switch (fault) {
    case OWNERS_SOUND:
        return NULL;
    case OWNERS_UNKNOWN:
        return "the owner of a frame is none that there is";
    case OWNERS_NONE:
        return "an allocated frame has no owner";
    case OWNERS_STRAY:
        return "a frame that is not allocated has an owner";
    case OWNERS_COUNT:
        return "the frames of an owner differ from a recount";
    }
    return "unknown fault";
}

const char *pmm_validate(void)
{
    uint32_t flags = spin_lock(&lock);
    enum frames_fault fault = frames_validate(&frames);
    enum owners_fault owners_fault = owners_validate(&owners, &frames);
    spin_unlock(&lock, flags);

    return fault != FRAMES_SOUND ? frames_fault_text(fault) : owners_fault_text(owners_fault);
}
