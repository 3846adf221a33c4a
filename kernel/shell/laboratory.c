/*
 * The laboratory's records and its judgement of what must be left alone.
 */
#include <shell/laboratory.h>
#include "mem/heap_core.h"
#include "mem/layout.h"
#include <boot_info.h>
#include <heap.h>
#include <mem/paging.h>
#include <mem/pmm.h>
#include <mem/sections.h>
#include <panic.h>

#define FRAMES (PMM_MAX_PHYS_ADDR / PAGE_SIZE)

static uint32_t frames[FRAMES / 32]; /* a bit for each frame that `frame alloc` gave */
static vaddr_t blocks[LAB_BLOCKS];   /* what `kmalloc` gave, in no order */
static uint32_t block_count;

void lab_add_frame(paddr_t frame)
{
    uint32_t number = frame / PAGE_SIZE;
    frames[number / 32] |= 1u << number % 32;
}

void lab_remove_frame(paddr_t frame)
{
    uint32_t number = frame / PAGE_SIZE;
    frames[number / 32] &= ~(1u << number % 32);
}

bool lab_owns_frame(paddr_t frame)
{
    uint32_t number = frame / PAGE_SIZE;
    return number < FRAMES && (frames[number / 32] >> number % 32 & 1) != 0;
}

paddr_t lab_next_frame(paddr_t from)
{
    for (uint32_t number = from / PAGE_SIZE; number < FRAMES; number++) {
        if (frames[number / 32] == 0)
            number |= 31; /* the last of its word */
        else if (lab_owns_frame(number * PAGE_SIZE))
            return number * PAGE_SIZE;
    }
    return 0;
}

bool lab_has_room(void)
{
    return block_count < LAB_BLOCKS;
}

void lab_add_block(vaddr_t block)
{
    ASSERT(lab_has_room());
    blocks[block_count++] = block;
}

bool lab_remove_block(vaddr_t block)
{
    for (uint32_t i = 0; i < block_count; i++) {
        if (blocks[i] == block) {
            blocks[i] = blocks[--block_count];
            return true;
        }
    }
    return false;
}

bool lab_owns_heap(vaddr_t address, size_t length)
{
    for (uint32_t i = 0; i < block_count; i++) {
        size_t usable = heap_usable_size((const void *)blocks[i], "the laboratory");
        if (address >= blocks[i] && address - blocks[i] <= usable &&
            length <= usable - (address - blocks[i]))
            return true;
    }
    return false;
}

/* The first mapping that the laboratory made at or behind an address. */
static bool next_mapping(vaddr_t from, struct mapped_page *page)
{
    while (from != 0 && paging_next_page(from, page)) {
        if (page->to.flags & PAGE_LABORATORY)
            return true;
        from = page->virt + PAGE_SIZE; /* 0 behind the last page */
    }
    return false;
}

vaddr_t lab_mapping_of(paddr_t frame)
{
    struct mapped_page page = { 0, { false, false, 0, 0 } };

    while (next_mapping(page.virt + PAGE_SIZE, &page)) {
        if (page.to.phys == frame)
            return page.virt;
    }
    return 0;
}

vaddr_t lab_mapping_of_any(paddr_t *frame)
{
    struct mapped_page page = { 0, { false, false, 0, 0 } };

    while (next_mapping(page.virt + PAGE_SIZE, &page)) {
        *frame = (paddr_t)page.to.phys;
        if (page.to.phys < PMM_MAX_PHYS_ADDR && lab_owns_frame(*frame))
            return page.virt;
    }
    return 0;
}

static bool holds_boot_data(paddr64_t page)
{
    struct multiboot2_walk walk = { 0, 0 };
    struct multiboot2_module module;

    if (page + PAGE_SIZE > boot_info_start() && page < boot_info_end())
        return true;
    while (boot_info_next_module(&walk, &module)) {
        if (page + PAGE_SIZE > module.start && page < module.end)
            return true;
    }
    return false;
}

static bool reserved_by_firmware(paddr64_t page)
{
    struct memmap_source source = boot_info_regions();
    struct memmap_region region;

    source.rewind(source.context);
    while (source.next(source.context, &region)) {
        if (region.type != MEMMAP_AVAILABLE && page + PAGE_SIZE > region.start && page < region.end)
            return true;
    }
    return false;
}

const char *lab_forbids(paddr64_t phys)
{
    paddr64_t page = phys & ~(paddr64_t)(PAGE_SIZE - 1);

    if (page >= (uintptr_t)_kernel_start && page < (uintptr_t)_kernel_end)
        return "belongs to the kernel's image";
    if (page < LOW_MEMORY_END && (page < VGA_MEMORY_START || page >= VGA_MEMORY_END))
        return "belongs to the BIOS";
    if (holds_boot_data(page))
        return "holds what the boot loader left";
    if (reserved_by_firmware(page))
        return "is reserved by firmware";
    if (page >= PMM_MAX_PHYS_ADDR)
        return NULL;
    if (paging_owns_frame((paddr_t)page))
        return "holds a page table";
    if (pmm_is_allocated((paddr_t)page) && !lab_owns_frame((paddr_t)page))
        return "is in use by the kernel";
    return NULL;
}
