/*
 * The page directory and its tables.
 *
 * Tables come from a pool in the kernel image, then from the PMM. table_entries[i] counts what
 * table i holds, so that an emptied table is noticed without reading it; it goes at once, unless it
 * belongs to the identity mapping, whose addresses are never unmapped whole.
 */
#include "mem/page_table.h"
#include <error.h>
#include <mem/mmu.h>
#include <mem/pmm.h>
#include <mem/starve.h>

entry_t page_directory[ENTRIES] __attribute__((aligned(PAGE_SIZE)));
static entry_t pool[MAX_BOOTSTRAP_TABLES][ENTRIES] __attribute__((aligned(PAGE_SIZE)));
static bool pool_used[MAX_BOOTSTRAP_TABLES];
uint16_t table_entries[ENTRIES];
static uint32_t tables;      /* in the directory */
static paddr_t identity_end; /* addresses below keep their tables */

static entry_t *table_at(uint32_t index)
{
    return phys_to_virt(page_directory[index] & PAGE_MASK);
}

static bool keeps_table(uint32_t index)
{
    return index < (identity_end + LARGE_PAGE_SIZE - 1) / LARGE_PAGE_SIZE;
}

void tables_init(paddr_t end)
{
    for (uint32_t i = 0; i < ENTRIES; i++) {
        page_directory[i] = 0;
        table_entries[i] = 0;
    }
    for (uint32_t slot = 0; slot < MAX_BOOTSTRAP_TABLES; slot++)
        pool_used[slot] = false;
    tables = 0;
    identity_end = end;
}

/* ---- Where tables come from ---- */

/* The pool's slot at a physical address, or MAX_BOOTSTRAP_TABLES. */
static uint32_t pool_slot(paddr_t phys)
{
    uint32_t slot = 0;
    while (slot < MAX_BOOTSTRAP_TABLES && virt_to_phys(pool[slot]) != phys)
        slot++;
    return slot;
}

/* A zeroed table from the pool, else from the PMM; 0 when neither has one. */
static paddr_t table_alloc(void)
{
    paddr_t phys = 0;

    if (starves(STARVE_TABLE))
        return 0;
    for (uint32_t slot = 0; slot < MAX_BOOTSTRAP_TABLES && phys == 0; slot++) {
        if (!pool_used[slot]) {
            pool_used[slot] = true;
            phys = virt_to_phys(pool[slot]);
        }
    }
    if (phys == 0)
        phys = pmm_alloc_frame_for(FRAME_TABLES);
    if (phys != 0) {
        entry_t *table = phys_to_virt(phys);
        for (uint32_t i = 0; i < ENTRIES; i++)
            table[i] = 0;
    }
    return phys;
}

void table_free(paddr_t phys)
{
    uint32_t slot = pool_slot(phys);

    if (slot < MAX_BOOTSTRAP_TABLES)
        pool_used[slot] = false;
    else
        pmm_free_frame_of(FRAME_TABLES, phys);
}

/* ---- Entries ---- */

paddr_t directory_phys(void)
{
    return virt_to_phys(page_directory);
}

int table_make(vaddr_t virt)
{
    entry_t *entry = directory_entry(virt);

    if (*entry & ENTRY_PRESENT)
        return ERR_MAPPED;
    paddr_t table = table_alloc();
    if (table == 0)
        return ERR_NO_MEMORY;
    *entry = table | ENTRY_PRESENT | PAGE_WRITE;
    tables++;
    return OK;
}

paddr_t table_loses(vaddr_t virt, uint32_t entries)
{
    uint32_t index = directory_index(virt);

    table_entries[index] -= (uint16_t)entries;
    if (table_entries[index] > 0 || keeps_table(index))
        return 0;

    paddr_t emptied = page_directory[index] & PAGE_MASK;
    page_directory[index] = 0;
    tables--;
    return emptied;
}

/* ---- Looking at it all ---- */

uint32_t tables_in_use(void)
{
    return tables;
}

bool tables_own(paddr_t phys)
{
    bool own = phys == directory_phys();

    for (uint32_t i = 0; i < ENTRIES && !own; i++)
        own = is_table(page_directory[i]) && (page_directory[i] & PAGE_MASK) == phys;
    return own;
}

static enum paging_fault validate_table(uint32_t index)
{
    const entry_t *table = table_at(index);
    paddr_t phys = page_directory[index] & PAGE_MASK;
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

enum paging_fault tables_validate(void)
{
    uint32_t found = 0;

    if (is_table(page_directory[0]) && (table_at(0)[0] & ENTRY_PRESENT))
        return PAGING_PAGE_0;
    for (uint32_t i = 0; i < ENTRIES; i++) {
        if (!is_table(page_directory[i]))
            continue;
        found++;
        enum paging_fault fault = validate_table(i);
        if (fault != PAGING_SOUND)
            return fault;
    }
    return found == tables ? PAGING_SOUND : PAGING_TABLE_COUNT;
}
