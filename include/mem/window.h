/*
 * Windows: virtual addresses for physical memory that is not identity-mapped.
 *
 * A window's virtual address has nothing to do with its physical one. Below 4 GiB windows are
 * made of 4 KiB pages; one that reaches above is made of 4 MiB pages, where the CPU has PSE-36.
 * At most WINDOWS_MAX windows at a time.
 */
#ifndef MEM_WINDOW_H
#define MEM_WINDOW_H

#include <types.h>

#define WINDOWS_MAX 64

enum window_type {
    WINDOW_MEMORY,      /* RAM and firmware tables: cached, read-only */
    WINDOW_MEMORY_RW,   /* RAM: cached, writable */
    WINDOW_DEVICE,      /* registers: uncached, writable */
    WINDOW_FRAMEBUFFER, /* pixels: write-combining where the CPU can, else uncached; writable */
};

/*
 * Maps [phys, phys + length) and returns the address of its first byte; phys need not be aligned.
 * NULL, and nothing changed, when the range is empty, wraps or is out of this CPU's reach, when
 * there is no room or no frame for a table. Not from interrupt handlers.
 */
void *map_window(paddr64_t phys, uint32_t length, enum window_type type) MUST_CHECK;

/* Undoes map_window(); `address` is what it returned, anything else panics. */
void unmap_window(const void *address);

/*
 * What this CPU can do. pse36_address_bits: its physical address width where it has PSE-36, 0
 * where windows above 4 GiB cannot be had. write_combining: whether PAGE_WRITE_COMBINING does what
 * it says. Called once, before the first window.
 */
void window_init(uint32_t pse36_address_bits, bool write_combining);

/* The window that the address lies in, [*start, *end); false if none. For diagnosis: no lock. */
bool window_find(vaddr_t address, vaddr_t *start, vaddr_t *end);

enum window_fault {
    WINDOW_SOUND,
    WINDOW_ORDER,    /* windows overlap, are not in address order, or lie outside of their range */
    WINDOW_UNMAPPED, /* a page of a window is not mapped, or by the wrong kind of entry */
    WINDOW_STRAY,    /* something is mapped between the windows */
};

/* Checks the table against what is mapped. No window may be mapped or unmapped meanwhile. */
enum window_fault window_validate(void);

#endif
