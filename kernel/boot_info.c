/*
 * The Multiboot2 block over its whole life: read by its physical address before paging, by a
 * read-only window after it, wherever it lies.
 */
#include <boot_info.h>
#include "mem/layout.h"
#include <mem/paging.h>
#include <mem/sections.h>
#include <mem/window.h>
#include <panic.h>

static struct multiboot2 block;
static paddr_t block_start;
static struct multiboot2_walk region_walk;
static const char *complaint;

const char *boot_info_init(uint32_t magic, paddr_t address)
{
    static const uint32_t empty[2] = { sizeof(empty), 0 };

    enum multiboot2_status status = multiboot2_open(&block, empty, sizeof(empty));
    ASSERT(status == MULTIBOOT2_ITEM);

    if (magic != MULTIBOOT2_MAGIC)
        return "not started by a Multiboot2 loader";
    if (address == 0 || address % 8 != 0)
        return "the Multiboot2 block is not at a multiple of 8";

    struct multiboot2 opened;
    status = multiboot2_open(&opened, (const void *)(uintptr_t)address, 0u - address);
    if (status != MULTIBOOT2_ITEM)
        return multiboot2_status_text(status);
    block = opened;
    block_start = address;
    return NULL;
}

void boot_info_after_paging(void)
{
    /* There was no block: what stands for it needs no window. */
    if (block_start == 0)
        return;

    const void *window = map_window(block_start, block.size, WINDOW_MEMORY);
    if (window == NULL)
        panic("too little memory: the Multiboot2 block cannot be mapped");
    block.info = window;
}

const struct multiboot2 *boot_info(void)
{
    return &block;
}

paddr_t boot_info_start(void)
{
    return block_start;
}

paddr_t boot_info_end(void)
{
    return block_start + block.size;
}

static bool note(enum multiboot2_status status)
{
    if (status != MULTIBOOT2_ITEM && status != MULTIBOOT2_END)
        complaint = multiboot2_status_text(status);
    return status == MULTIBOOT2_ITEM;
}

static void rewind_regions(void *context UNUSED)
{
    region_walk = (struct multiboot2_walk){ 0, 0 };
}

static bool next_region(void *context UNUSED, struct memmap_region *region)
{
    struct multiboot2_region raw;

    while (note(multiboot2_next_region(&block, &region_walk, &raw))) {
        if (memmap_region(raw.base, raw.length, raw.type, region))
            return true;
    }
    return false;
}

struct memmap_source boot_info_regions(void)
{
    return (struct memmap_source){ rewind_regions, next_region, NULL };
}

bool boot_info_next_module(struct multiboot2_walk *walk, struct multiboot2_module *module)
{
    return note(multiboot2_next_module(&block, walk, module));
}

static bool overlap(const struct memmap_region *region, uint64_t start, uint64_t end)
{
    return region->start < end && start < region->end;
}

/* What may be anywhere in RAM, and must not be drawn over. */
static bool overlaps_what_is_used(const struct memmap_region *fb)
{
    struct multiboot2_walk walk = { 0, 0 };
    struct multiboot2_module module;

    if (overlap(fb, 0, VGA_MEMORY_START) || overlap(fb, VGA_MEMORY_END, LOW_MEMORY_END) ||
        overlap(fb, (uintptr_t)_kernel_start, (uintptr_t)_kernel_end) ||
        overlap(fb, block_start, block_start + block.size))
        return true;
    while (boot_info_next_module(&walk, &module)) {
        if (overlap(fb, module.start, module.end))
            return true;
    }
    return false;
}

/* How many frames two ranges share. */
static uint32_t frames_shared(struct memmap_frames a, struct memmap_frames b)
{
    uint32_t first = a.first > b.first ? a.first : b.first;
    uint32_t end = a.end < b.end ? a.end : b.end;

    return end > first ? end - first : 0;
}

static bool takes_most_ram(const struct memmap_region *fb)
{
    struct memmap_frames touched = memmap_frames_touched(fb);
    struct memmap_region region;
    uint64_t ram = 0, taken = 0;

    rewind_regions(NULL);
    while (next_region(NULL, &region)) {
        if (region.type != MEMMAP_AVAILABLE)
            continue;
        struct memmap_frames inside = memmap_frames_inside(&region);
        ram += inside.end - inside.first;
        taken += frames_shared(inside, touched);
    }
    return taken > ram / 2;
}

const char *boot_info_framebuffer_fault(const struct multiboot2_framebuffer *fb)
{
    struct memmap_region region = { .type = MEMMAP_RESERVED };

    if (!multiboot2_framebuffer_range(fb, &region.start, &region.end))
        return "impossible measures";
    if (overlaps_what_is_used(&region))
        return "over memory in use";
    return takes_most_ram(&region) ? "over most of the RAM" : NULL;
}

const char *boot_info_complaint(void)
{
    return complaint;
}
