/*
 * What the boot loader handed over: the Multiboot2 block, kept reachable after paging is on.
 */
#ifndef BOOT_INFO_H
#define BOOT_INFO_H

#include <mem/memmap.h>
#include <multiboot2.h>

/*
 * Opens the block. Paging must be off: every physical address can be read then. Returns NULL, or
 * in words what is wrong; the block then counts as empty.
 */
const char *boot_info_init(uint32_t magic, paddr_t address);

/*
 * Maps the block by a window that stays, one of the first. It also keeps the page table of the
 * first few MiB of windows alive, so that small windows can be had when memory is used up.
 */
void boot_info_after_paging(void);

/* The block: always a valid one, empty if there was none. */
const struct multiboot2 *boot_info(void);

/* The block's physical place, [start, end). */
paddr_t boot_info_start(void);
paddr_t boot_info_end(void);

/* The regions of its memory map, broken and empty entries left out. */
struct memmap_source boot_info_regions(void);

/*
 * The next module. Returns false behind the last. Empty modules are given too, with start = end.
 */
bool boot_info_next_module(struct multiboot2_walk *walk, struct multiboot2_module *module);

/*
 * Why a framebuffer is not to be believed, in words, or NULL. Its measures may be impossible; or
 * it lies over the kernel, the block, a module or low memory other than VGA's, or over more than
 * half of the RAM. One that is believed and lies in RAM has to be reserved.
 */
const char *boot_info_framebuffer_fault(const struct multiboot2_framebuffer *fb);

/* In words how the walks over regions and modules ended when a tag was broken; else NULL. */
const char *boot_info_complaint(void);

#endif
