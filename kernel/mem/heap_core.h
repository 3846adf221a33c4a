/*
 * The bare heap: what kmalloc() and kfree() (kernel/kmalloc.c) stand on.
 *
 * It places exactly the bytes that it is asked for, adds nothing to them and knows nothing of who
 * asked: what the model in tests/host/heap_model.c foretells, and what heap-replay measures.
 * Locking as in heap.h.
 */
#ifndef MEM_HEAP_CORE_H
#define MEM_HEAP_CORE_H

#include "mem/small.h"
#include <types.h>

/* Like kmalloc(), kmalloc_aligned() and kfree(), without a guard. */
void *heap_alloc(size_t size) MUST_CHECK;
void *heap_alloc_aligned(size_t size, size_t align) MUST_CHECK;
void heap_free(void *ptr);

/*
 * Resizes a live block or object where it is; maps pages if the wilderness lies behind. An object
 * stays as long as it is large enough. False: nothing has changed. `size`: from 1. Panics, naming
 * `caller`, if `ptr` is not live.
 */
bool heap_resize(void *ptr, size_t size, const char *caller) MUST_CHECK;

/* Bytes that may be used at a live pointer. Panics, naming `caller`, if it is none. */
size_t heap_usable_size(const void *ptr, const char *caller);

/* Whether `ptr` is what was given and is live. Any address is allowed. */
bool heap_core_is_live(const void *ptr);

/* ---- Parts of the common ways, for kmalloc.c. The caller holds the spinlock. ---- */

struct heap_core {
    size_t largest; /* no request above this can be served */
    uint64_t allocs, frees;
    vaddr_t trim_below; /* a top below this leaves more pages unused than are kept */
};

extern struct heap_core heap_core;

/* What a live pointer points to: an object of a chunk, or a block if `chunk` is NULL. */
struct heap_live {
    struct chunk *chunk;
    struct block *block;
};

/*
 * Whether `ptr` is exactly what was given for an object or a block that is live; any value is
 * allowed. Looks at a few words whatever the heap holds.
 */
bool heap_find_live(const void *ptr, struct heap_live *live);

/* Bytes that may be used there. */
static inline size_t heap_live_size(const struct heap_live *live)
{
    return live->chunk != NULL ? live->chunk->size : used_size(live->block) - HEAP_HEAD;
}

/* Where an address lies in the window; at a payload of it or behind, at least HEAP_HEAD. */
static inline uint32_t heap_offset(const void *ptr)
{
    return (uint32_t)((vaddr_t)ptr - first_fit.start);
}

/* A small request for which there is no object. Takes over the lock. */
IN_REGISTERS void *heap_alloc_without_object(size_t size, uint32_t state) MUST_CHECK;

/* heap_alloc() of what is none for small objects. */
IN_REGISTERS void *heap_alloc_block(size_t size) MUST_CHECK;

/* `ptr`, the answer, was a chunk's last idle object. Takes over the lock. */
IN_REGISTERS void *heap_last_of_chunk(void *ptr, struct chunk *chunk, uint32_t state) MUST_CHECK;

/* NULL, or what is not live, which is a panic. Takes over the lock. */
RARELY IN_REGISTERS void heap_free_nothing(void *ptr, uint32_t state);

/* Gives back a sound block; `head`: used_head() of it. Takes over the lock. */
IN_REGISTERS void heap_free_block(struct block *block, uint32_t head, uint32_t state);

/* A chunk that was full or is empty now. `before`: what was idle. Takes over the lock. */
IN_REGISTERS void heap_chunk_changed(struct chunk *chunk, uint32_t before, uint32_t state);

#endif
