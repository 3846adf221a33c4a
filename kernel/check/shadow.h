/*
 * What shadow memory says. Pure.
 *
 * Each byte of shadow tells of a granule, 8 bytes at a multiple of 8: 0, all may be touched; 1 to
 * 7, only so many from its start; from 0x80 on, none, and why not. The values of stacks are fixed
 * by the compiler, which writes them itself.
 *
 * Source: GCC Internals, "Target Macros"; the shadow's encoding is described in AddressSanitizer's
 * "Algorithm" (LLVM documentation).
 */
#ifndef CHECK_SHADOW_H
#define CHECK_SHADOW_H

#include <types.h>

#define GRANULE             8u

#define SHADOW_STACK_LEFT   0xf1 /* below a function's first variable */
#define SHADOW_STACK_MIDDLE 0xf2 /* between two */
#define SHADOW_STACK_RIGHT  0xf3 /* above the last */
#define SHADOW_STACK_SCOPE  0xf8 /* a variable whose block has ended */
#define SHADOW_GLOBAL       0xf9 /* behind a global variable */
#define SHADOW_HEAP_LEFT    0xfa /* before a block */
#define SHADOW_HEAP_RIGHT   0xfb /* behind it */
#define SHADOW_HEAP_FREED   0xfd /* a block that was freed, in quarantine */
#define SHADOW_HEAP_NONE    0xfe /* heap memory that belongs to no block */

/* Forbids [start, start + size) for the reason `value`; both multiples of GRANULE. */
void shadow_forbid(vaddr_t start, size_t size, uint8_t value);

/*
 * Allows [start, start + size), and no byte of the last granule behind it; start is a multiple of
 * GRANULE.
 */
void shadow_allow(vaddr_t start, size_t size);

/* The first byte of [start, start + size) that may not be touched. False when all may. */
bool shadow_find_forbidden(vaddr_t start, size_t size, vaddr_t *forbidden);

/*
 * Why that byte may not be touched: what stands in its granule's shadow, or in the following one's
 * if a part of the granule may be. 0 when it may be touched.
 */
uint8_t shadow_reason(vaddr_t address);

/* A reason in words: "use after free". */
const char *shadow_reason_text(uint8_t reason);

#endif
