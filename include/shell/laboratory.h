/*
 * What the memory laboratory owns: frames, heap blocks and mappings that its commands made. They
 * may be given back and written to; what the kernel itself uses may not.
 *
 * The records are static, so that a command that fails changes no figure. Commands run on the
 * shell's thread only, so nothing here locks.
 */
#ifndef SHELL_LABORATORY_H
#define SHELL_LABORATORY_H

#include <types.h>

/* Heap blocks that can be remembered at a time. */
#define LAB_BLOCKS 4096u

void lab_add_frame(paddr_t frame);
void lab_remove_frame(paddr_t frame);
bool lab_owns_frame(paddr_t frame);

/* Whether one more block can be remembered; lab_add_block() asserts it. */
bool lab_has_room(void);
void lab_add_block(vaddr_t block);
bool lab_remove_block(vaddr_t block);

/* Whether [address, address + length) lies in the payload of a block of the laboratory. */
bool lab_owns_heap(vaddr_t address, size_t length);

/* The laboratory's first frame at or above an address, or 0. */
paddr_t lab_next_frame(paddr_t from);

/* The laboratory's mapping of a frame: its virtual address, or 0. */
vaddr_t lab_mapping_of(paddr_t frame);

/* The lowest page at which the laboratory has mapped a frame of its own, and the frame; or 0. */
vaddr_t lab_mapping_of_any(paddr_t *frame);

/*
 * Why a page of physical memory must not be written to, in a few words: "holds a page table". NULL
 * if the laboratory may have it: its own frames, free RAM, VGA memory, and what is not RAM.
 */
const char *lab_forbids(paddr64_t phys);

#endif
