/*
 * The kernel's side of mem/mmu.h. Page tables, the directory and frames from pmm_alloc_frame()
 * are identity-mapped, and before paging is on every address is its own.
 *
 * Source: Intel SDM vol 3, "Paging"; vol 2, "INVLPG - Invalidate TLB Entries" and
 * "MOV - Move to/from Control Registers".
 */
#include <mem/mmu.h>
#include <x86/cpu.h>
#include <x86/io.h>

void *phys_to_virt(paddr_t phys)
{
    return (void *)(uintptr_t)phys;
}

paddr_t virt_to_phys(const void *virt)
{
    return (paddr_t)(uintptr_t)virt;
}

void mmu_invalidate_page(vaddr_t virt)
{
    __asm__ volatile("invlpg (%0)" : : "r"(virt) : "memory");
}

/* No entry is global (cpu_init() leaves CR4.PGE off), so loading CR3 spares none. */
void mmu_invalidate_all(void)
{
    __asm__ volatile("movl %0, %%cr3" : : "r"(cpu_read_cr3()) : "memory");
}

void mmu_enable(paddr_t directory)
{
    __asm__ volatile("movl %0, %%cr3" : : "r"(directory) : "memory");
    __asm__ volatile("movl %0, %%cr0\n\t"
                     "jmp 1f\n" /* a 486 wants its prefetch queue emptied */
                     "1:"
                     :
                     : "r"(cpu_read_cr0() | CR0_PG | CR0_WP)
                     : "memory");
}

uint32_t mmu_lock(void)
{
    return interrupts_save();
}

void mmu_unlock(uint32_t state)
{
    interrupts_restore(state);
}
