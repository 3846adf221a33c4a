/*
 * Mapping: what the entries of the page tables say.
 *
 * A range is changed table by table: one walk for each, all its entries in a row, one decision on
 * what the TLB has to forget. Interrupts are off for one table at a time, so for 1024 entries at
 * most, however long the range is. In its table a range is mapped or unmapped whole or not at all.
 *
 * Every change of a present entry invalidates its page; a page that becomes present needs it too,
 * for a CPU may remember that a page was absent (Intel SDM vol 3, "Invalidation of TLBs and
 * Paging-Structure Caches").
 */
#include <mem/paging.h>
#include "mem/layout.h"
#include "mem/page_table.h"
#include <error.h>
#include <mem/mmu.h>
#include <mem/pmm.h>
#include <panic.h>

#define LARGE_PHYS_END    (1ull << 40) /* PSE-36 gives 40 address bits at most */
#define LARGE_HIGH_SHIFT  13           /* entry bits 20:13 are address bits 39:32 */
#define LARGE_HIGH_MASK   0xffu
#define LARGE_LOW_MASK    0xffc00000u

/*
 * Up to so many pages are invalidated one by one, more by forgetting the whole TLB. The latter
 * costs what has to be looked up again: the 32 entries of a 486, or the few dozen pages that the
 * kernel touches soon on a CPU whose TLB is larger. A lookup costs less than INVLPG there and more
 * on the old ones; 32 is about where the two meet.
 */
#define INVALIDATE_SINGLY 32u

static paddr_t identity_end;
static bool enabled;

static bool aligned(paddr64_t address, uint32_t size)
{
    return address % size == 0;
}

/* Whether `pages` pages from `address` on end within 4 GiB. */
static bool fits(uint32_t address, uint32_t pages)
{
    return pages <= (0xffffffffu - address) / PAGE_SIZE + 1;
}

/* How many of the pages from `virt` on lie in its table. */
static uint32_t pages_in_table(vaddr_t virt, uint32_t pages)
{
    uint32_t rest = ENTRIES - table_index(virt);
    return pages < rest ? pages : rest;
}

static inline void invalidate(vaddr_t virt, uint32_t pages)
{
    if (pages > INVALIDATE_SINGLY) {
        mmu_invalidate_all();
        return;
    }
    for (uint32_t i = 0; i < pages; i++)
        mmu_invalidate_page(virt + i * PAGE_SIZE);
}

/* ---- Within one table, the lock held ---- */

/* How many of the entries are present. */
static inline uint32_t count_present(const entry_t *entry, uint32_t pages)
{
    uint32_t present = 0;
    for (uint32_t i = 0; i < pages; i++)
        present += entry[i] & ENTRY_PRESENT;
    return present;
}

/* What the pages of a range are to lead to. */
struct target {
    enum frame_owner owner; /* each to a frame of its own, fresh from the PMM, for this owner */
    paddr_t next;           /* for FRAME_NOBODY: to these, one after another */
};

/* Makes entries present, as far as there are frames for them. Returns how many. */
static inline uint32_t set_entries(entry_t *entry, uint32_t pages, struct target *target,
                                   uint32_t bits)
{
    uint32_t done = 0;

    for (; target->owner == FRAME_NOBODY && done < pages; done++, target->next += PAGE_SIZE)
        entry[done] = target->next | bits;
    for (; done < pages; done++) {
        paddr_t frame = pmm_alloc_frame_high_for(target->owner);
        if (frame == 0)
            break;
        entry[done] = frame | bits;
    }
    return done;
}

/*
 * Entries that are present become empty; what they lead to goes back to the PMM if it has an owner.
 * A table that holds nothing any more goes too.
 */
static inline void clear_entries(vaddr_t virt, entry_t *entry, uint32_t pages,
                                 enum frame_owner owner)
{
    bool free_frames = owner != FRAME_NOBODY;

    /* An entry that is not present may keep its address, until nobody can reach the frame. */
    for (uint32_t i = 0; i < pages; i++)
        entry[i] &= free_frames ? PAGE_MASK : 0;

    paddr_t emptied = table_loses(virt, pages);
    /* Before anything serves as something else, the CPU must have forgotten it: the table too. */
    invalidate(virt, pages == 0 ? 1 : pages);
    for (uint32_t i = 0; free_frames && i < pages; i++) {
        pmm_free_frame_of(owner, entry[i]);
        entry[i] = 0;
    }
    if (emptied != 0)
        table_free(emptied);
}

static inline int map_in_table(vaddr_t virt, uint32_t pages, struct target *target, uint32_t flags)
{
    entry_t *entry = table_entry(virt);

    if (entry == NULL) {
        int error = table_make(virt);
        if (error != OK)
            return error;
        entry = table_entry(virt);
    }
    if (count_present(entry, pages) != 0)
        return ERR_MAPPED;

    uint32_t done = set_entries(entry, pages, target, flags | ENTRY_PRESENT);
    table_gains(virt, done);
    if (done < pages) {
        clear_entries(virt, entry, done, target->owner);
        return ERR_NO_MEMORY;
    }
    invalidate(virt, pages);
    return OK;
}

static inline int unmap_in_table(vaddr_t virt, uint32_t pages, enum frame_owner owner)
{
    entry_t *entry = table_entry(virt);

    if (entry == NULL || count_present(entry, pages) != pages)
        return ERR_NOT_MAPPED;
    clear_entries(virt, entry, pages, owner);
    return OK;
}

static void protect_in_table(vaddr_t virt, uint32_t pages)
{
    entry_t *entry = table_entry(virt);
    uint32_t changed = 0;

    for (uint32_t i = 0; entry != NULL && i < pages; i++) {
        changed |= entry[i] & PAGE_WRITE;
        entry[i] &= ~PAGE_WRITE;
    }
    if (changed != 0)
        invalidate(virt, pages);
}

/* ---- Ranges: table by table ---- */

static void unmap_pages(vaddr_t virt, uint32_t pages, enum frame_owner owner)
{
    for (uint32_t part; pages > 0; pages -= part, virt += part * PAGE_SIZE) {
        part = pages_in_table(virt, pages);
        uint32_t state = mmu_lock();
        int error = unmap_in_table(virt, part, owner);
        mmu_unlock(state);
        ASSERT(error == OK);
    }
}

/* All or nothing. */
static int map_pages(vaddr_t virt, uint32_t pages, struct target target, uint32_t flags)
{
    for (uint32_t done = 0, part; done < pages; done += part) {
        vaddr_t rest = virt + done * PAGE_SIZE;

        part = pages_in_table(rest, pages - done);
        uint32_t state = mmu_lock();
        int error = map_in_table(rest, part, &target, flags);
        mmu_unlock(state);
        if (error != OK) {
            unmap_pages(virt, done, target.owner);
            return error;
        }
    }
    return OK;
}

/* What is wrong with mapping the range, if anything. */
static int check_range(vaddr_t virt, uint32_t pages, uint32_t flags)
{
    if (!aligned(virt, PAGE_SIZE))
        return ERR_UNALIGNED;
    if (virt < PAGE_SIZE || !fits((uint32_t)virt, pages) || (flags & ~PAGE_FLAGS) != 0)
        return ERR_RANGE;
    return OK;
}

int map_range(vaddr_t virt, paddr_t phys, uint32_t pages, uint32_t flags)
{
    int error = check_range(virt, pages, flags);

    if (error != OK)
        return error;
    if (!aligned(phys, PAGE_SIZE))
        return ERR_UNALIGNED;
    if (!fits(phys, pages))
        return ERR_RANGE;
    return map_pages(virt, pages, (struct target){ FRAME_NOBODY, phys }, flags);
}

void unmap_range(vaddr_t virt, uint32_t pages)
{
    unmap_pages(virt, pages, FRAME_NOBODY);
}

int map_new_pages(vaddr_t virt, uint32_t pages, uint32_t flags, enum frame_owner owner)
{
    int error = check_range(virt, pages, flags);

    ASSERT(owner != FRAME_NOBODY);
    return error != OK ? error : map_pages(virt, pages, (struct target){ owner, 0 }, flags);
}

void unmap_and_free_pages(vaddr_t virt, uint32_t pages, enum frame_owner owner)
{
    ASSERT(owner != FRAME_NOBODY);
    unmap_pages(virt, pages, owner);
}

int map_page(vaddr_t virt, paddr_t phys, uint32_t flags)
{
    int error = check_range(virt, 1, flags);

    if (error != OK)
        return error;
    if (!aligned(phys, PAGE_SIZE))
        return ERR_UNALIGNED;

    struct target target = { FRAME_NOBODY, phys };
    uint32_t state = mmu_lock();
    error = map_in_table(virt, 1, &target, flags);
    mmu_unlock(state);
    return error;
}

int unmap_page(vaddr_t virt)
{
    if (!aligned(virt, PAGE_SIZE))
        return ERR_UNALIGNED;

    uint32_t state = mmu_lock();
    int error = unmap_in_table(virt, 1, FRAME_NOBODY);
    mmu_unlock(state);
    return error;
}

void paging_protect(vaddr_t start, vaddr_t end)
{
    ASSERT(aligned(start, PAGE_SIZE) && aligned(end, PAGE_SIZE));

    while (start < end) {
        uint32_t pages = pages_in_table(start, (uint32_t)(end - start) / PAGE_SIZE);
        uint32_t state = mmu_lock();
        protect_in_table(start, pages);
        mmu_unlock(state);
        start += pages * PAGE_SIZE;
    }
}

/* ---- 4 MiB pages ---- */

int map_large_page(vaddr_t virt, paddr64_t phys, uint32_t flags)
{
    if (!aligned(virt, LARGE_PAGE_SIZE) || !aligned(phys, LARGE_PAGE_SIZE))
        return ERR_UNALIGNED;
    if (virt < LARGE_PAGE_SIZE || phys >= LARGE_PHYS_END || (flags & ~PAGE_FLAGS) != 0)
        return ERR_RANGE;

    uint32_t state = mmu_lock();
    entry_t *entry = directory_entry(virt);
    bool free = !(*entry & ENTRY_PRESENT);
    if (free) {
        *entry = (uint32_t)(phys & LARGE_LOW_MASK) |
                 (uint32_t)(phys >> 32 & LARGE_HIGH_MASK) << LARGE_HIGH_SHIFT | flags |
                 ENTRY_LARGE | ENTRY_PRESENT;
        mmu_invalidate_page(virt);
    }
    mmu_unlock(state);
    return free ? OK : ERR_MAPPED;
}

int unmap_large_page(vaddr_t virt)
{
    if (!aligned(virt, LARGE_PAGE_SIZE))
        return ERR_UNALIGNED;

    uint32_t state = mmu_lock();
    entry_t *entry = directory_entry(virt);
    bool mapped = (*entry & ENTRY_PRESENT) && (*entry & ENTRY_LARGE);
    if (mapped) {
        *entry = 0;
        mmu_invalidate_page(virt);
    }
    mmu_unlock(state);
    return mapped ? OK : ERR_NOT_MAPPED;
}

/* ---- What is mapped ---- */

static struct translation translate_large(entry_t entry, vaddr_t virt)
{
    paddr64_t high = entry >> LARGE_HIGH_SHIFT & LARGE_HIGH_MASK;
    paddr64_t base = high << 32 | (entry & LARGE_LOW_MASK);
    return (struct translation){ true, true, base + virt % LARGE_PAGE_SIZE, entry & PAGE_FLAGS };
}

struct translation translate(vaddr_t virt)
{
    struct translation result = { false, false, 0, 0 };

    uint32_t state = mmu_lock();
    entry_t large = *directory_entry(virt);
    const entry_t *entry = table_entry(virt);
    if ((large & ENTRY_PRESENT) && (large & ENTRY_LARGE))
        result = translate_large(large, virt);
    else if (entry != NULL && (*entry & ENTRY_PRESENT))
        result = (struct translation){ true, false, (*entry & PAGE_MASK) + virt % PAGE_SIZE,
                                       *entry & PAGE_FLAGS };
    mmu_unlock(state);
    return result;
}

/* How far a search may step from an address where nothing is mapped: a page, or a whole table. */
static uint32_t step_from(vaddr_t virt)
{
    entry_t entry = *directory_entry(virt);
    return is_table(entry) ? PAGE_SIZE : LARGE_PAGE_SIZE - virt % LARGE_PAGE_SIZE;
}

bool paging_next_page(vaddr_t from, struct mapped_page *page)
{
    for (uint64_t virt = from; virt <= 0xffffffffu; virt += step_from((vaddr_t)virt)) {
        struct translation to = translate((vaddr_t)virt);
        if (to.mapped) {
            *page = (struct mapped_page){ (vaddr_t)virt, to };
            return true;
        }
    }
    return false;
}

void paging_init(paddr_t phys_limit)
{
    enabled = false;
    identity_end = phys_limit < HEAP_BASE ? phys_limit : HEAP_BASE;
    tables_init(identity_end);

    int error = map_range(PAGE_SIZE, PAGE_SIZE, identity_end / PAGE_SIZE - 1, PAGE_WRITE);
    if (error != OK)
        panic("too little memory: no frame for the page tables of %u KiB", identity_end / KIB);
    mmu_enable(directory_phys());
    enabled = true;
}

bool paging_enabled(void)
{
    return enabled;
}

paddr_t paging_identity_end(void)
{
    return identity_end;
}

bool paging_owns_frame(paddr_t phys)
{
    uint32_t state = mmu_lock();
    bool owns = tables_own(phys);
    mmu_unlock(state);
    return owns;
}

uint32_t paging_table_frames(void)
{
    return tables_in_use() + 1;
}

enum paging_fault paging_validate(void)
{
    uint32_t state = mmu_lock();
    enum paging_fault fault = tables_validate();
    mmu_unlock(state);
    return fault;
}
