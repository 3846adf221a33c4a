/*
 * The page directory and its tables: 32-bit paging with 4 KiB pages, no PAE, so no NX either.
 *
 * One address space for all threads. Page tables come from a pool in the kernel image
 * (MAX_BOOTSTRAP_TABLES), then from the PMM; a table that holds no entry any more goes back where
 * it came from, those of the identity mapping excepted. 4 MiB entries serve only windows above
 * 4 GiB (PSE-36).
 *
 * All functions lock for themselves and may be called with interrupts on or off, but not from an
 * interrupt handler. The lock, and with it interrupts off, is held for one table's 1024 entries at
 * most, however long a range is. Pure but for what mem/mmu.h and mem/pmm.h give.
 *
 * Source: Intel SDM vol 3, "32-Bit Paging".
 */
#ifndef MEM_PAGING_H
#define MEM_PAGING_H

#include <mem/pmm.h>
#include <types.h>

#define MAX_BOOTSTRAP_TABLES 8

/* Flags of a mapping; the hardware's own bits. All pages are present and the kernel's. */
#define PAGE_WRITE           (1u << 1)
#define PAGE_WRITE_THROUGH   (1u << 3)
#define PAGE_CACHE_DISABLE   (1u << 4)

/*
 * The two together choose an entry of the PAT. Entry 1 is write-combining where the CPU has a PAT
 * (cpu_init() sets it), write-through elsewhere; entry 3 is uncached everywhere. The first four
 * entries do without the PAT bit, which stands elsewhere in 4 MiB entries.
 */
#define PAGE_WRITE_COMBINING PAGE_WRITE_THROUGH
#define PAGE_UNCACHED        (PAGE_CACHE_DISABLE | PAGE_WRITE_THROUGH)

#define PAGE_LABORATORY      (1u << 9) /* ignored by the CPU: the shell's `map` made this mapping */
#define PAGE_FLAGS           (PAGE_WRITE | PAGE_WRITE_THROUGH | PAGE_CACHE_DISABLE | PAGE_LABORATORY)

struct translation {
    bool mapped;
    bool large;     /* by a 4 MiB entry */
    paddr64_t phys; /* of the very address asked for, offset included */
    uint32_t flags; /* PAGE_* */
};

/*
 * Builds the identity mapping [PAGE_SIZE, min(phys_limit, HEAP_BASE)), all of it writable, and
 * turns paging on with CR0.WP. Page 0 stays unmapped. phys_limit: end of the managed RAM, a
 * multiple of PAGE_SIZE. Panics when the machine has too little memory for the tables.
 */
void paging_init(paddr_t phys_limit);

/* Whether paging_init() has turned paging on. */
bool paging_enabled(void);

/* The end of the identity mapping. */
paddr_t paging_identity_end(void);

/*
 * Maps one page. virt, phys: multiples of PAGE_SIZE, virt not page 0; flags: PAGE_*.
 * ERR_UNALIGNED, ERR_RANGE (page 0, unknown flags), ERR_MAPPED, ERR_NO_MEMORY (no frame for a
 * table); after an error nothing has changed.
 */
int map_page(vaddr_t virt, paddr_t phys, uint32_t flags) MUST_CHECK;

/* Unmaps one 4 KiB page. ERR_UNALIGNED, ERR_NOT_MAPPED. The frame stays its owner's. */
int unmap_page(vaddr_t virt) MUST_CHECK;

/*
 * Maps `pages` pages one after another. All or nothing: what was mapped before an error is
 * undone. Errors as of map_page(); ERR_RANGE as well when either range wraps.
 */
int map_range(vaddr_t virt, paddr_t phys, uint32_t pages, uint32_t flags) MUST_CHECK;

/* Unmaps `pages` pages, all of which must be mapped: panics otherwise. */
void unmap_range(vaddr_t virt, uint32_t pages);

/*
 * Memory at addresses of its own: maps `pages` pages, each on a frame fresh from
 * pmm_alloc_frame_high_for() that owner, which nobody else reaches; contents are undefined. All or
 * nothing. Errors as of map_range(); ERR_NO_MEMORY as well when the frames do not suffice.
 */
int map_new_pages(vaddr_t virt, uint32_t pages, uint32_t flags, enum frame_owner owner) MUST_CHECK;

/* Undoes map_new_pages(), in pieces if wanted: unmaps the pages and gives their frames back. */
void unmap_and_free_pages(vaddr_t virt, uint32_t pages, enum frame_owner owner);

/* Takes the right to write from every mapped page of [start, end); both multiples of PAGE_SIZE. */
void paging_protect(vaddr_t start, vaddr_t end);

/*
 * Maps 4 MiB by one directory entry. virt, phys: multiples of LARGE_PAGE_SIZE; phys below 1 TiB.
 * The caller has made sure that the CPU has PSE-36 and reaches the address. ERR_UNALIGNED,
 * ERR_RANGE, ERR_MAPPED. Source: Intel SDM vol 3, "32-Bit Paging", PSE-36.
 */
int map_large_page(vaddr_t virt, paddr64_t phys, uint32_t flags) MUST_CHECK;

/* ERR_UNALIGNED, ERR_NOT_MAPPED. */
int unmap_large_page(vaddr_t virt) MUST_CHECK;

/* What the address means now. */
struct translation translate(vaddr_t virt);

struct mapped_page {
    vaddr_t virt;
    struct translation to;
};

/*
 * The first mapped page at or above `from`, a multiple of PAGE_SIZE; a 4 MiB entry counts as one
 * page. False when there is none.
 */
bool paging_next_page(vaddr_t from, struct mapped_page *page);

/* Whether the frame holds the directory or a page table. */
bool paging_owns_frame(paddr_t phys);

/* Page directory and page tables in use, in frames; those of the bootstrap pool included. */
uint32_t paging_table_frames(void);

enum paging_fault {
    PAGING_SOUND,
    PAGING_PAGE_0,      /* page 0 is mapped */
    PAGING_ENTRY_COUNT, /* a table's entries differ from its count */
    PAGING_EMPTY_TABLE, /* a table outside the identity mapping holds nothing */
    PAGING_TABLE_COUNT, /* tables in the directory differ from the figure */
    PAGING_TABLE_FRAME, /* a table is neither of the pool nor an allocated frame */
    PAGING_IDENTITY,    /* an address of the identity mapping leads elsewhere */
};

/* Recounts everything. Slow: reads every table. */
enum paging_fault paging_validate(void);

#endif
