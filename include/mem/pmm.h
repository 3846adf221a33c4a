/*
 * The physical memory manager: 4 KiB frames below PMM_MAX_PHYS_ADDR.
 *
 * Each frame that is handed out has an owner, which alone may give it back: `leaks` lists them.
 *
 * Taken from the start: low memory below 1 MiB, the kernel image, the Multiboot2 block, modules
 * and the framebuffer. All functions lock for themselves (interrupts off for a bounded time) and
 * may be called anywhere.
 */
#ifndef MEM_PMM_H
#define MEM_PMM_H

#include <types.h>

enum frame_owner {
    FRAME_NOBODY, /* free, reserved, or no RAM */
    FRAME_KERNEL, /* what pmm_alloc_frame() gave */
    FRAME_TABLES, /* page tables beyond the bootstrap pool */
    FRAME_HEAP,   /* and its index */
    FRAME_STACKS,
    FRAME_DRIVERS,
    FRAME_LABORATORY, /* the shell's `frame alloc` */
    FRAME_OWNERS,
};

/* "kernel", "page tables", ...: lower case, in the plural where there is one. */
const char *frame_owner_text(enum frame_owner owner);

struct pmm_stats {      /* in frames */
    uint32_t total;     /* RAM that the PMM manages: reserved + allocated + free */
    uint32_t reserved;  /* occupied from the start */
    uint32_t allocated; /* handed out */
    uint32_t free;
    uint32_t owned[FRAME_OWNERS]; /* the allocated ones by owner */
    uint64_t left_out; /* bytes of available RAM that lie at or above PMM_MAX_PHYS_ADDR */
};

/*
 * Reads the memory map and the reservations. Panics on a wrong magic, on a block without usable
 * memory and on a machine that is too small. Must be called before anything is allocated.
 */
void pmm_init(uint32_t mb_magic, paddr_t mb_info_addr);

/* The end of the managed RAM: the highest frame's end. */
paddr_t pmm_phys_limit(void);

/*
 * A frame that is safe to use by its identity address (below HEAP_BASE); its contents are
 * undefined. 0 when there is none: frame 0 is always reserved. The kernel owns it.
 */
paddr_t pmm_alloc_frame(void) MUST_CHECK;

/* The same for another owner, which is not FRAME_NOBODY. */
paddr_t pmm_alloc_frame_for(enum frame_owner owner) MUST_CHECK;

/*
 * A frame for memory that is reached by a mapping of its own (heap, stacks): at or above HEAP_BASE
 * if there is one, else any. 0 when there is none.
 */
paddr_t pmm_alloc_frame_high(void) MUST_CHECK;

/* The same for another owner, which is not FRAME_NOBODY. */
paddr_t pmm_alloc_frame_high_for(enum frame_owner owner) MUST_CHECK;

/*
 * Gives a frame of the kernel's back. Panics if it is free ("double free"), was never handed out
 * ("invalid free") or belongs to somebody else ("wrong owner").
 */
void pmm_free_frame(paddr_t phys);

/* The same for a frame of another owner. */
void pmm_free_frame_of(enum frame_owner owner, paddr_t phys);

/*
 * Memory that a device reaches by its physical address: `pages` frames in a row, at a multiple of
 * `align` bytes (a power of two), ending at or below `below`; safe to use by their identity
 * address. The lowest such run; contents are undefined. 0 when there is none, or when pages is 0.
 * The search may read the whole bitmap with interrupts off, so it is for bringing a device up.
 * Drivers own the frames.
 */
paddr_t pmm_alloc_run(uint32_t pages, uint32_t align, paddr_t below) MUST_CHECK;

/*
 * Gives back drivers' frames that lie in a row, usually those of one pmm_alloc_run(); each may as
 * well go alone, by pmm_free_frame_of(). Panics as that does if any of them cannot be given back.
 */
void pmm_free_run(paddr_t phys, uint32_t pages);

/* Whether the frame is RAM that was handed out and not given back. */
bool pmm_is_allocated(paddr_t phys);

/* Whose the frame is; any address is allowed. */
enum frame_owner pmm_owner(paddr_t phys);

/* The figures at this moment. */
struct pmm_stats pmm_get_stats(void);

/* Prints the figures. */
void pmm_dump_stats(void);

/* NULL if the bitmap, the owners and all figures agree with a recount, else what does not. */
const char *pmm_validate(void);

#endif
