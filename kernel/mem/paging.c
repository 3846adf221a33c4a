/*
 * The page directory and its tables.
 *
 * table_entries[i] counts the entries of table i, so that an emptied table is noticed without
 * reading it. Every change of a present entry invalidates its page; a page that becomes present
 * needs it too, for a CPU may remember that a page was absent (Intel SDM vol 3, "Invalidation of
 * TLBs and Paging-Structure Caches").
 */
#include <mem/paging.h>
#include "mem/layout.h"
#include <error.h>
#include <mem/mmu.h>
#include <mem/pmm.h>
#include <panic.h>

#define ENTRIES          1024u

#define ENTRY_PRESENT    (1u << 0)
#define ENTRY_LARGE      (1u << 7)

#define LARGE_PHYS_END   (1ull << 40) /* PSE-36 gives 40 address bits at most */
#define LARGE_HIGH_SHIFT 13           /* entry bits 20:13 are address bits 39:32 */
#define LARGE_HIGH_MASK  0xffu
#define LARGE_LOW_MASK   0xffc00000u

typedef uint32_t entry_t;

static entry_t directory[ENTRIES] __attribute__((aligned(PAGE_SIZE)));
static entry_t pool[MAX_BOOTSTRAP_TABLES][ENTRIES] __attribute__((aligned(PAGE_SIZE)));
static bool pool_used[MAX_BOOTSTRAP_TABLES];
static uint16_t table_entries[ENTRIES];
static uint32_t tables; /* in the directory */
static paddr_t identity_end;
static bool enabled;

static uint32_t directory_index(vaddr_t virt)
{
    return (uint32_t)(virt / LARGE_PAGE_SIZE);
}

static uint32_t table_index(vaddr_t virt)
{
    return (uint32_t)(virt / PAGE_SIZE % ENTRIES);
}

static bool aligned(paddr64_t address, uint32_t size)
{
    return address % size == 0;
}

static bool is_table(entry_t entry)
{
    return (entry & ENTRY_PRESENT) && !(entry & ENTRY_LARGE);
}

static entry_t *table_at(uint32_t index)
{
    return phys_to_virt(directory[index] & PAGE_MASK);
}

/* The pool's slot at a physical address, or MAX_BOOTSTRAP_TABLES. */
static uint32_t pool_slot(paddr_t phys)
{
    uint32_t slot = 0;
    while (slot < MAX_BOOTSTRAP_TABLES && virt_to_phys(pool[slot]) != phys)
        slot++;
    return slot;
}

/* A zeroed table from the pool, else from the PMM; 0 when neither has one. */
static paddr_t alloc_table(void)
{
    paddr_t phys = 0;

    for (uint32_t slot = 0; slot < MAX_BOOTSTRAP_TABLES && phys == 0; slot++) {
        if (!pool_used[slot]) {
            pool_used[slot] = true;
            phys = virt_to_phys(pool[slot]);
        }
    }
    if (phys == 0)
        phys = pmm_alloc_frame();
    if (phys != 0) {
        entry_t *table = phys_to_virt(phys);
        for (uint32_t i = 0; i < ENTRIES; i++)
            table[i] = 0;
    }
    return phys;
}

static void free_table(paddr_t phys)
{
    uint32_t slot = pool_slot(phys);
    if (slot < MAX_BOOTSTRAP_TABLES)
        pool_used[slot] = false;
    else
        pmm_free_frame(phys);
}

/* The entry of a page, or NULL where it has no table. */
static entry_t *find_entry(vaddr_t virt)
{
    uint32_t index = directory_index(virt);
    return is_table(directory[index]) ? &table_at(index)[table_index(virt)] : NULL;
}

/* A table belongs to the identity mapping for good: those addresses are never unmapped whole. */
static bool keeps_table(uint32_t index)
{
    return index < (identity_end + LARGE_PAGE_SIZE - 1) / LARGE_PAGE_SIZE;
}

static int map_locked(vaddr_t virt, paddr_t phys, uint32_t flags)
{
    uint32_t index = directory_index(virt);

    if (directory[index] & ENTRY_LARGE)
        return ERR_MAPPED;
    if (!(directory[index] & ENTRY_PRESENT)) {
        paddr_t table = alloc_table();
        if (table == 0)
            return ERR_NO_MEMORY;
        directory[index] = table | ENTRY_PRESENT | PAGE_WRITE;
        tables++;
    }

    entry_t *entry = find_entry(virt);
    if (*entry & ENTRY_PRESENT)
        return ERR_MAPPED;
    *entry = phys | flags | ENTRY_PRESENT;
    table_entries[index]++;
    mmu_invalidate_page(virt);
    return OK;
}

static int unmap_locked(vaddr_t virt)
{
    uint32_t index = directory_index(virt);
    entry_t *entry = find_entry(virt);

    if (entry == NULL || !(*entry & ENTRY_PRESENT))
        return ERR_NOT_MAPPED;
    *entry = 0;
    table_entries[index]--;

    paddr_t emptied = 0;
    if (table_entries[index] == 0 && !keeps_table(index)) {
        emptied = directory[index] & PAGE_MASK;
        directory[index] = 0;
        tables--;
    }
    /* Before the table serves as something else, the CPU must have forgotten it. */
    mmu_invalidate_page(virt);
    if (emptied != 0)
        free_table(emptied);
    return OK;
}

int map_page(vaddr_t virt, paddr_t phys, uint32_t flags)
{
    if (!aligned(virt, PAGE_SIZE) || !aligned(phys, PAGE_SIZE))
        return ERR_UNALIGNED;
    if (virt < PAGE_SIZE || (flags & ~PAGE_FLAGS) != 0)
        return ERR_RANGE;

    uint32_t state = mmu_lock();
    int error = map_locked(virt, phys, flags);
    mmu_unlock(state);
    return error;
}

int unmap_page(vaddr_t virt)
{
    if (!aligned(virt, PAGE_SIZE))
        return ERR_UNALIGNED;

    uint32_t state = mmu_lock();
    int error = unmap_locked(virt);
    mmu_unlock(state);
    return error;
}

/* Whether `pages` pages from `address` on end within 4 GiB. */
static bool fits(uint32_t address, uint32_t pages)
{
    return pages <= (0xffffffffu - address) / PAGE_SIZE + 1;
}

int map_range(vaddr_t virt, paddr_t phys, uint32_t pages, uint32_t flags)
{
    if (!fits((uint32_t)virt, pages) || !fits(phys, pages))
        return ERR_RANGE;

    for (uint32_t done = 0; done < pages; done++) {
        int error = map_page(virt + done * PAGE_SIZE, phys + done * PAGE_SIZE, flags);
        if (error != OK) {
            unmap_range(virt, done);
            return error;
        }
    }
    return OK;
}

void unmap_range(vaddr_t virt, uint32_t pages)
{
    for (uint32_t i = 0; i < pages; i++) {
        int error = unmap_page(virt + i * PAGE_SIZE);
        ASSERT(error == OK);
    }
}

void paging_protect(vaddr_t start, vaddr_t end)
{
    ASSERT(aligned(start, PAGE_SIZE) && aligned(end, PAGE_SIZE));

    uint32_t state = mmu_lock();
    for (vaddr_t virt = start; virt < end; virt += PAGE_SIZE) {
        entry_t *entry = find_entry(virt);
        if (entry == NULL || !(*entry & ENTRY_PRESENT))
            continue;
        *entry &= ~PAGE_WRITE;
        mmu_invalidate_page(virt);
    }
    mmu_unlock(state);
}

int map_large_page(vaddr_t virt, paddr64_t phys, uint32_t flags)
{
    if (!aligned(virt, LARGE_PAGE_SIZE) || !aligned(phys, LARGE_PAGE_SIZE))
        return ERR_UNALIGNED;
    if (virt < LARGE_PAGE_SIZE || phys >= LARGE_PHYS_END || (flags & ~PAGE_FLAGS) != 0)
        return ERR_RANGE;

    uint32_t state = mmu_lock();
    entry_t *entry = &directory[directory_index(virt)];
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
    entry_t *entry = &directory[directory_index(virt)];
    bool mapped = (*entry & ENTRY_PRESENT) && (*entry & ENTRY_LARGE);
    if (mapped) {
        *entry = 0;
        mmu_invalidate_page(virt);
    }
    mmu_unlock(state);
    return mapped ? OK : ERR_NOT_MAPPED;
}

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
    entry_t large = directory[directory_index(virt)];
    entry_t *entry = find_entry(virt);
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
    bool in_table = is_table(directory[directory_index(virt)]);
    return in_table ? PAGE_SIZE : LARGE_PAGE_SIZE - virt % LARGE_PAGE_SIZE;
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
    for (uint32_t i = 0; i < ENTRIES; i++) {
        directory[i] = 0;
        table_entries[i] = 0;
    }
    for (uint32_t slot = 0; slot < MAX_BOOTSTRAP_TABLES; slot++)
        pool_used[slot] = false;
    tables = 0;
    enabled = false;
    identity_end = phys_limit < HEAP_BASE ? phys_limit : HEAP_BASE;

    int error = map_range(PAGE_SIZE, PAGE_SIZE, identity_end / PAGE_SIZE - 1, PAGE_WRITE);
    if (error != OK)
        panic("too little memory: no frame for the page tables of %u KiB", identity_end / KIB);
    mmu_enable(virt_to_phys(directory));
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
    bool owns = phys == virt_to_phys(directory);

    uint32_t state = mmu_lock();
    for (uint32_t i = 0; i < ENTRIES && !owns; i++)
        owns = is_table(directory[i]) && (directory[i] & PAGE_MASK) == phys;
    mmu_unlock(state);
    return owns;
}

uint32_t paging_table_frames(void)
{
    return tables + 1;
}

static enum paging_fault validate_table(uint32_t index)
{
    const entry_t *table = table_at(index);
    paddr_t phys = directory[index] & PAGE_MASK;
    uint32_t present = 0;

    for (uint32_t i = 0; i < ENTRIES; i++) {
        paddr_t page = index * LARGE_PAGE_SIZE + i * PAGE_SIZE;

        if (!(table[i] & ENTRY_PRESENT))
            continue;
        present++;
        if (page < identity_end && (table[i] & PAGE_MASK) != page)
            return PAGING_IDENTITY;
    }
    if (present != table_entries[index])
        return PAGING_ENTRY_COUNT;
    if (present == 0 && !keeps_table(index))
        return PAGING_EMPTY_TABLE;
    if (pool_slot(phys) == MAX_BOOTSTRAP_TABLES && !pmm_is_allocated(phys))
        return PAGING_TABLE_FRAME;
    return PAGING_SOUND;
}

static enum paging_fault validate_locked(void)
{
    uint32_t found = 0;

    if (is_table(directory[0]) && (table_at(0)[0] & ENTRY_PRESENT))
        return PAGING_PAGE_0;
    for (uint32_t i = 0; i < ENTRIES; i++) {
        if (!is_table(directory[i]))
            continue;
        found++;
        enum paging_fault fault = validate_table(i);
        if (fault != PAGING_SOUND)
            return fault;
    }
    return found == tables ? PAGING_SOUND : PAGING_TABLE_COUNT;
}

enum paging_fault paging_validate(void)
{
    uint32_t state = mmu_lock();
    enum paging_fault fault = validate_locked();
    mmu_unlock(state);
    return fault;
}
