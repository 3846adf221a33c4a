/*
 * The one map of the address space, for C, assembly and the linker script.
 *
 *   0x00000000 - 0x00001000  never mapped: a NULL access faults and is named
 *   0x00001000 - 0x18000000  identity mapping, up to min(end of managed RAM, HEAP_BASE)
 *   0x18000000 - 0x38000000  the heap, mapped page by page
 *   0x38000000 - 0x39000000  the heap's index
 *   0x39000000 - 0x3fc00000  thread stacks, each above a guard page that stays unmapped
 *   0x3fc00000 - 0x40000000  never mapped: for tests, and for `crash`
 *   0x40000000 - 0x80000000  windows onto what is not identity-mapped (map_window)
 *   0x80000000 - 0xa0000000  the checking build's shadow memory (kernel/check/), else free
 *   0xa0000000 - 0xffffffff  free: the memory laboratory's `map` may use it, like what lies
 *                            between the identity mapping and the heap on small machines
 *
 * Only plain numbers stand here, because the assembler and the linker read them too.
 */
#ifndef MEM_LAYOUT_H
#define MEM_LAYOUT_H

#define PAGE_SHIFT        12
#define PAGE_SIZE         0x1000
#define PAGE_MASK         0xfffff000

/* What one entry of the page directory covers. */
#define LARGE_PAGE_SIZE   0x400000

/* GRUB loads the image here. Image and .bss stay below 4 MiB: firmware may own 0x806000 and up. */
#define KERNEL_LOAD       0x00100000

/* The BIOS area, video memory and ROMs: reserved whole, whatever firmware says of it. */
#define LOW_MEMORY_END    0x00100000

/* VGA memory, the only part of low memory that the kernel writes to. */
#define VGA_MEMORY_START  0x000a0000
#define VGA_MEMORY_END    0x000c0000

/* The PMM manages frames below this. 512 MiB keeps the bitmap at 16 KiB. */
#define PMM_MAX_PHYS_ADDR 0x20000000

/* The identity mapping ends where the heap begins, so that the two never meet. */
#define HEAP_BASE         0x18000000
/* All RAM that the PMM can manage fits into the window. */
#define HEAP_MAX          0x20000000

#define HEAP_INDEX_BASE   0x38000000
#define HEAP_INDEX_END    0x39000000

#define STACKS_BASE       0x39000000
#define STACKS_END        0x3fc00000
/*
 * A slot is a guard page and the stack above it. Red zones make frames larger: in the checking
 * build a slot has 32 KiB, which are those of one page of shadow.
 */
#ifdef CHECK
#define STACK_SIZE 0x7000
#else
#define STACK_SIZE 0x4000
#endif
#define STACK_SLOT_SIZE (PAGE_SIZE + STACK_SIZE)

#define NOWHERE_BASE    0x3fc00000
#define NOWHERE_END     0x40000000

#define WINDOWS_BASE    0x40000000
#define WINDOWS_END     0x80000000

#define SHADOW_BASE     0x80000000
#define SHADOW_END      0xa0000000
/* A byte of shadow tells of 8 bytes: the byte for `address` is at SHADOW_BASE + address / 8. */
#define SHADOW_SHIFT    3

/* The stack that start.S sets up; kernel_main and later the idle thread run on it. */
#define BOOT_STACK_SIZE STACK_SIZE

#endif
