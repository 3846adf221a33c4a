/*
 * The page directory and its tables as a data structure: which tables there are, where they come
 * from, and how many entries each holds. What the entries say is paging.c's business, and address.c's
 * to show. Nobody else includes this but the checking build's shadow (check/pages.c), whose tables
 * are its own.
 *
 * The caller holds mmu_lock() around every function here but tables_init() and tables_in_use().
 */
#ifndef MEM_PAGE_TABLE_H
#define MEM_PAGE_TABLE_H

#include "mem/layout.h"
#include <mem/mmu.h>
#include <mem/paging.h>
#include <types.h>

/* Of the directory, and of each table. */
#define ENTRIES       1024u

/* Intel SDM vol 3, "32-Bit Paging", formats of the entries. */
#define ENTRY_PRESENT (1u << 0)
#define ENTRY_LARGE   (1u << 7)
#define ENTRY_FOREIGN                                                                              \
    (1u << 9) /* ignored by the CPU: leads to a table that paging.c leaves alone */

typedef uint32_t entry_t;

/* The data, here so that a page's entry is found without a call. */
extern entry_t page_directory[ENTRIES];
extern uint16_t table_entries[ENTRIES]; /* present entries of each table */

static inline uint32_t directory_index(vaddr_t virt)
{
    return (uint32_t)(virt / LARGE_PAGE_SIZE);
}

static inline uint32_t table_index(vaddr_t virt)
{
    return (uint32_t)(virt / PAGE_SIZE % ENTRIES);
}

static inline bool is_table(entry_t entry)
{
    return (entry & (ENTRY_PRESENT | ENTRY_LARGE | ENTRY_FOREIGN)) == ENTRY_PRESENT;
}

/* The directory's entry for an address: empty, a table, a foreign one, or a 4 MiB page. */
static inline entry_t *directory_entry(vaddr_t virt)
{
    return &page_directory[directory_index(virt)];
}

/* The entry of the page at `virt`, its table's following ones behind it; NULL without a table. */
static inline entry_t *table_entry(vaddr_t virt)
{
    entry_t table = *directory_entry(virt);
    return is_table(table) ? (entry_t *)phys_to_virt(table & PAGE_MASK) + table_index(virt) : NULL;
}

/* Counts entries of the table of `virt` that have become present. */
static inline void table_gains(vaddr_t virt, uint32_t entries)
{
    table_entries[directory_index(virt)] += (uint16_t)entries;
}

/* No table yet. Those below identity_end will stay when they are empty. */
void tables_init(paddr_t identity_end);

/* The physical address of the directory. */
paddr_t directory_phys(void);

/*
 * Puts an empty table where none is. ERR_MAPPED where a 4 MiB page is, ERR_NO_MEMORY when neither
 * the pool nor the PMM has a frame.
 */
int table_make(vaddr_t virt) MUST_CHECK;

/*
 * Counts entries that are present no longer. A table that has none left is taken out of the
 * directory, and its physical address returned: the caller gives it to table_free() when the TLB
 * has forgotten it. 0 if the table stays.
 */
paddr_t table_loses(vaddr_t virt, uint32_t entries) MUST_CHECK;

/* Gives a table back to the pool or the PMM. */
void table_free(paddr_t phys);

/* Tables in the directory. */
uint32_t tables_in_use(void);

/* Whether the frame holds the directory or one of its tables. */
bool tables_own(paddr_t phys);

/* Recounts everything, and checks that the identity mapping leads where it should. */
enum paging_fault tables_validate(void);

#endif
