/*
 * What paging.c needs from the CPU, and nothing more: reaching physical memory, the TLB, CR3 and
 * a lock. The kernel's answers are in kernel/x86/mmu.c; a host test gives its own over fake RAM.
 */
#ifndef MEM_MMU_H
#define MEM_MMU_H

#include <types.h>

/*
 * The address at which page tables and the page directory can be read and written. `phys` is one
 * of the kernel image's or came from pmm_alloc_frame(); nothing else is sure to be reachable.
 */
void *phys_to_virt(paddr_t phys);
paddr_t virt_to_phys(const void *virt); /* the inverse; virt lies in the kernel image */

/* Drops what the TLB holds of the page at `virt`, and all that the CPU knows of tables. */
void mmu_invalidate_page(vaddr_t virt);

/* Drops all that the TLB holds. */
void mmu_invalidate_all(void);

/* Loads CR3 with the directory's physical address and sets CR0.PG and CR0.WP. */
void mmu_enable(paddr_t directory);

/* Mutual exclusion around one change of the tables. Returns what unlocking needs. */
uint32_t mmu_lock(void);
void mmu_unlock(uint32_t state);

#endif
