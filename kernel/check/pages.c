/*
 * The pages of shadow memory.
 *
 * 128 entries of the page directory make up the shadow of 4 GiB. Most lead to one table, which is
 * full of entries for one page of zeros: what is read there may be touched, and a write faults.
 * What the kernel forbids lies in few places: its own data, the heap, the stacks. Their shadow has
 * tables of its own, part of the image, in which a page of zeros makes room for a real one as the
 * heap grows and stacks come and go.
 *
 * Paging leaves these tables alone: their directory entries are foreign to it.
 */
#include "check/pages.h"
#include "check/place.h"
#include "check/shadow.h"
#include "mem/page_table.h"
#include <check.h>
#include <lib/string.h>
#include <mem/mmu.h>
#include <mem/pmm.h>
#include <mem/sections.h>
#include <panic.h>

/* What a page and a table of shadow tell of. */
#define PAGE_TELLS_OF  ((vaddr_t)PAGE_SIZE << SHADOW_SHIFT)
#define TABLE_TELLS_OF ((vaddr_t)LARGE_PAGE_SIZE << SHADOW_SHIFT)

/* The image lies in the first table's part, heap and stacks in the following ones. */
#define FIRST_OWN      (HEAP_BASE / TABLE_TELLS_OF)
#define END_OWN        ((STACKS_END + TABLE_TELLS_OF - 1) / TABLE_TELLS_OF)

#define PAGE_ALIGNED   __attribute__((aligned(PAGE_SIZE)))

static PAGE_ALIGNED uint8_t zeros[PAGE_SIZE];
static PAGE_ALIGNED entry_t zero_table[ENTRIES];
static PAGE_ALIGNED entry_t image_table[ENTRIES];
static PAGE_ALIGNED entry_t own_tables[END_OWN - FIRST_OWN][ENTRIES];

static uint32_t heap_frames; /* of the heap's shadow; guarded by mmu_lock() */

static bool in_heap(vaddr_t address)
{
    return address - HEAP_BASE < HEAP_MAX;
}

/* Shadow is counted with what it tells of. */
static enum frame_owner owner_of(vaddr_t address)
{
    if (address < (vaddr_t)_kernel_end)
        return FRAME_KERNEL;
    return in_heap(address) ? FRAME_HEAP : FRAME_STACKS;
}

static entry_t zero_entry(void)
{
    return virt_to_phys(zeros) | ENTRY_PRESENT;
}

static void fill(entry_t *table)
{
    for (uint32_t i = 0; i < ENTRIES; i++)
        table[i] = zero_entry();
}

/* The table in which the shadow of an address has its entry. */
static entry_t *table_of(vaddr_t address)
{
    uint32_t index = (uint32_t)(address / TABLE_TELLS_OF);

    if (index == 0)
        return image_table;
    return index >= FIRST_OWN && index < END_OWN ? own_tables[index - FIRST_OWN] : zero_table;
}

static entry_t *entry_of(vaddr_t address)
{
    return &table_of(address)[address / PAGE_TELLS_OF % ENTRIES];
}

/* Puts a page that can be written, all zero, in the place of zeros. False without a frame. */
static bool cover_page(vaddr_t address)
{
    paddr_t frame = pmm_alloc_frame_high_for(owner_of(address));

    if (frame == 0)
        return false;
    vaddr_t page = (vaddr_t)shadow_of(address) & PAGE_MASK;
    uint32_t state = mmu_lock();
    *entry_of(address) = frame | ENTRY_PRESENT | PAGE_WRITE;
    mmu_invalidate_page(page);
    memset((void *)page, 0, PAGE_SIZE);
    heap_frames += in_heap(address);
    mmu_unlock(state);
    return true;
}

static void uncover_page(vaddr_t address)
{
    uint32_t state = mmu_lock();
    paddr_t frame = *entry_of(address) & PAGE_MASK;
    *entry_of(address) = zero_entry();
    mmu_invalidate_page((vaddr_t)shadow_of(address) & PAGE_MASK);
    heap_frames -= in_heap(address);
    mmu_unlock(state);
    pmm_free_frame_of(owner_of(address), frame);
}

static bool is_covered(vaddr_t address)
{
    return (*entry_of(address) & PAGE_MASK) != virt_to_phys(zeros);
}

/* Heap, stacks and the image: what else there is has nothing that is forbidden. */
static bool may_be_covered(vaddr_t address)
{
    return address < (vaddr_t)_kernel_end || in_heap(address) ||
           address - STACKS_BASE < STACKS_END - STACKS_BASE;
}

bool check_cover(vaddr_t start, vaddr_t end)
{
    if (!may_be_covered(start))
        return true;
    for (vaddr_t at = start - start % PAGE_TELLS_OF; at < end; at += PAGE_TELLS_OF) {
        if (is_covered(at) || cover_page(at))
            continue;
        check_uncover(start, at);
        return false;
    }
    if (in_heap(start))
        shadow_forbid(start, end - start, SHADOW_HEAP_NONE);
    return true;
}

void check_uncover(vaddr_t start, vaddr_t end)
{
    vaddr_t first = start + (PAGE_TELLS_OF - 1 - (start - 1) % PAGE_TELLS_OF);

    if (!may_be_covered(start))
        return;
    for (vaddr_t at = first; at < end; at += PAGE_TELLS_OF) {
        if (is_covered(at))
            uncover_page(at);
    }
}

uint32_t check_heap_frames(void)
{
    return heap_frames;
}

void shadow_pages_init(void)
{
    fill(zero_table);
    fill(image_table);
    for (uint32_t i = 0; i < END_OWN - FIRST_OWN; i++)
        fill(own_tables[i]);

    uint32_t state = mmu_lock();
    for (vaddr_t at = SHADOW_BASE; at < SHADOW_END; at += LARGE_PAGE_SIZE) {
        vaddr_t tells_of = (at - SHADOW_BASE) << SHADOW_SHIFT;
        *directory_entry(at) =
            virt_to_phys(table_of(tells_of)) | ENTRY_PRESENT | ENTRY_FOREIGN | PAGE_WRITE;
    }
    mmu_invalidate_all();
    mmu_unlock(state);

    if (!check_cover((vaddr_t)_rodata_start, (vaddr_t)_kernel_end))
        panic("too little memory: no frames for the shadow of the kernel's data");
}
