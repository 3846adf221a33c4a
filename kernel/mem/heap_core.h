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
#include <heap_lock.h>
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

/*
 * The first live object or block behind the one at `payload`, or of all if that is 0, and the bytes
 * that may be used there; false if there is none. The caller holds heap_lock().
 */
bool heap_live_behind(vaddr_t payload, vaddr_t *next, size_t *room);

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

/* heap_alloc() of a small request whose class has no object, but may have a chunk. */
IN_REGISTERS void *heap_alloc_with_chunk(size_t size) MUST_CHECK;

/* heap_alloc() of what is none for small objects. */
IN_REGISTERS void *heap_alloc_block(size_t size) MUST_CHECK;

/* `ptr`, the answer, was a chunk's last idle object. Takes over the lock. */
IN_REGISTERS void *heap_last_of_chunk(void *ptr, struct chunk *chunk, uint32_t state) MUST_CHECK;

/* Says what is wrong with a pointer that is not live. */
_Noreturn RARELY IN_REGISTERS void heap_reject(const void *ptr, const char *caller);

/* NULL, or what is not live, which is a panic. Takes over the lock. */
RARELY IN_REGISTERS void heap_free_nothing(void *ptr, uint32_t state);

/*
 * Gives pages back that the wilderness does not need. It does not wait: if another thread is
 * growing the heap, the pages are about to be used. The caller does not hold the spinlock.
 */
void heap_trim(void);

/* Ends what may have brought the top down. Takes over the lock. */
static inline void heap_unlock_and_trim(uint32_t state)
{
    bool surplus = first_fit.top < heap_core.trim_below;

    heap_unlock(state);
    if (UNLIKELY(surplus))
        heap_trim();
}

/*
 * An object was given back to a chunk that was full, or has no live one now. `others`: 0 if no
 * other object of it is idle. Takes over the lock.
 */
IN_REGISTERS void heap_chunk_changed(struct chunk *chunk, uint32_t others, uint32_t state);

#endif
