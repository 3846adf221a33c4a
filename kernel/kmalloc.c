/*
 * kmalloc and kfree: the bare heap (mem/heap_core.h) and a guard behind each allocation.
 *
 * Invariants: every live allocation has a whole guard (mem/guard.h) from the call that made it to
 * the one that gives it back; all that this file asks the heap for it asks with GUARD_SIZE added,
 * so that the heap and its model know nothing of guards.
 *
 * What was freed keeps in its second word who freed it, and a block in its third who had allocated
 * it, until the memory is used again: that is what the report of a double free tells.
 *
 * Pure. Locking as in heap.h; guards are laid and, but by who owns the block, read under its lock.
 */
#include <heap.h>
#include "mem/guard.h"
#include "mem/heap_core.h"
#include "mem/heap_walk.h"
#include <heap_lock.h>
#include <lib/string.h>
#include <mem/starve.h>
#include <panic.h>

/*
 * Who called the function that this stands in, or that it is inlined in. Read where it is needed it
 * takes no register on the way there: so the common ways are always inlined.
 */
#define CALLER        ((vaddr_t)__builtin_return_address(0))
#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Sums with GUARD_SIZE do not wrap below. */
#define REQUEST_MAX   0x7fffffffu

/* ---- Allocating ---- */

/* Bytes that may be used at what is live for sure. The caller holds the spinlock. */
static size_t room_of(const void *ptr)
{
    const struct chunk *chunk = small_chunk_near((vaddr_t)ptr);

    return chunk != NULL ? chunk->size : used_size(payload_block(ptr)) - HEAP_HEAD;
}

/* Guards what the heap has given, if it has. */
static NOINLINE IN_REGISTERS void *guarded(void *ptr, size_t size, vaddr_t owner)
{
    if (ptr == NULL)
        return NULL;

    uint32_t state = heap_lock();
    guard_set((vaddr_t)ptr, room_of(ptr), size, owner);
    heap_unlock(state);
    return ptr;
}

/* A request of 1 byte or more, which asks whether it fails. */
static NOINLINE IN_REGISTERS void *allocate_asking(size_t size, vaddr_t owner)
{
    return starves(STARVE_BLOCK) ? NULL : guarded(heap_alloc(size + GUARD_SIZE), size, owner);
}

/* A request that chunks do not serve, or that has to ask. */
static NOINLINE IN_REGISTERS void *allocate_block(size_t size, vaddr_t owner)
{
    if (UNLIKELY(size - 1 >= REQUEST_MAX))
        return NULL;
    if (UNLIKELY(starve_on))
        return allocate_asking(size, owner);

    void *ptr = heap_alloc_block(size + GUARD_SIZE);
    if (ptr != NULL)
        guard_set((vaddr_t)ptr, used_size(payload_block(ptr)) - HEAP_HEAD, size, owner);
    return ptr;
}

/* A small request for which there is no object. Takes over the lock. */
static NOINLINE IN_REGISTERS void *allocate_without_object(size_t size, vaddr_t owner,
                                                           uint32_t state)
{
    bool may_grow = small_may_grow(small_class_of(size + GUARD_SIZE));

    heap_unlock(state);
    return may_grow ? guarded(heap_alloc_with_chunk(size + GUARD_SIZE), size, owner)
                    : allocate_block(size, owner);
}

/* A request for which there may be an object. */
ALWAYS_INLINE void *allocate_object(size_t size)
{
    uint32_t state = heap_lock();
    struct chunk *chunk = small_partial(size + GUARD_SIZE);
    if (UNLIKELY(chunk == NULL))
        return allocate_without_object(size, CALLER, state);

    void *object = small_lowest(chunk);
    count_used(chunk->size);
    heap_core.allocs++;
    guard_set((vaddr_t)object, chunk->size, size, CALLER);
    if (UNLIKELY(small_take_lowest(chunk)))
        return heap_last_of_chunk(object, chunk, state);
    heap_unlock(state);
    return object;
}

ALWAYS_INLINE void *allocate(size_t size)
{
    return size - 1 < starve_unasked ? allocate_object(size) : allocate_block(size, CALLER);
}

void *kmalloc(size_t size)
{
    return allocate(size);
}

void *kmalloc_aligned(size_t size, size_t align)
{
    if (size - 1 >= REQUEST_MAX || starves(STARVE_BLOCK))
        return NULL;
    return guarded(heap_alloc_aligned(size + GUARD_SIZE, align), size, CALLER);
}

void *kcalloc(size_t count, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(count, size, &total))
        return NULL;

    void *ptr = allocate(total);
    if (ptr != NULL)
        memset(ptr, 0, total);
    return ptr;
}

/* ---- Giving back. Each of these functions takes over the lock. ---- */

/* Says what is wrong behind the payload. The caller holds the spinlock. */
_Noreturn static RARELY void overflowed(const void *ptr, size_t room, const char *caller)
{
    panic_about((vaddr_t)ptr,
                "%s: heap overflow: something wrote behind the block at %p, which has %zu bytes",
                caller, ptr, room - GUARD_SIZE);
}

/* Whether what is in front of a block and ends with its size looks like a free block. */
static RARELY IN_REGISTERS bool looks_free(const struct block *block, uint32_t size)
{
    return size % HEAP_ALIGN == 0 && size <= block_address(block) - first_fit.start &&
           block_at(block_address(block) - size)->head == size &&
           first_fit_knows(block_at(block_address(block) - size));
}

/*
 * Whether the block in front looks free though the head says that it is used: then a flag of the
 * head is smashed. What is in front ends in a guard mostly, which is no size.
 */
static inline bool has_free_block_in_front(const struct block *block, uint32_t head)
{
    uint32_t size = ((const uint32_t *)block)[-1];

    return UNLIKELY(size - MIN_BLOCK < first_fit.mapped_size) && !(head & PREV_FREE) &&
           looks_free(block, size);
}

/* Bytes that may be used in a block. */
static inline size_t block_room(uint32_t head)
{
    return (head & ~BLOCK_FLAGS) - HEAP_HEAD;
}

/* Whether nothing has written behind or before a sound block. */
static inline bool block_is_whole(void *ptr, uint32_t head)
{
    return guard_is_whole((vaddr_t)ptr, block_room(head)) &&
           !has_free_block_in_front(payload_block(ptr), head);
}

/* Says what has. */
_Noreturn static RARELY IN_REGISTERS void refuse_block(void *ptr, uint32_t head)
{
    if (!guard_is_whole((vaddr_t)ptr, block_room(head)))
        overflowed(ptr, block_room(head), "kfree");
    panic_about((vaddr_t)ptr,
                "kfree: heap underflow: the head of the block at %p is smashed: 0x%08x", ptr,
                payload_block(ptr)->head);
}

/*
 * Leaves in a block who gave it back, and the last word of its guard, which says who had allocated
 * it. In the smallest block that is overwritten. An object's guard stays where it is.
 */
static inline void leave_names(void *ptr, uint32_t head, vaddr_t caller)
{
    uint32_t *words = ptr;

    words[2] = *guard_word((vaddr_t)ptr, block_room(head));
    words[1] = (uint32_t)caller;
}

/* Gives back the block at `ptr` if it is one and the one in front free. */
static NOINLINE IN_REGISTERS void free_last(void *ptr, uint32_t head, vaddr_t caller,
                                            uint32_t state)
{
    struct block *block = payload_block(ptr);

    if (!head_ends_at_top(block, head) || block_address(block) >= first_fit.top)
        heap_reject(ptr, "kfree");
    if (!block_is_whole(ptr, head))
        refuse_block(ptr, head);
    leave_names(ptr, head, caller);
    bool released = first_fit_release_last(block, head);
    ASSERT(released);
    heap_core.frees++;
    heap_unlock_and_trim(state);
}

/* Gives back the block at `ptr` that ends at the top, the one in front being used. */
static inline void free_top(void *ptr, uint32_t head, vaddr_t caller, uint32_t state)
{
    if (UNLIKELY(!block_is_whole(ptr, head)))
        refuse_block(ptr, head);
    leave_names(ptr, head, caller);
    first_fit_lower_top(payload_block(ptr), head);
    heap_core.frees++;
    heap_unlock_and_trim(state);
}

/* Gives back the block at `ptr` that leaves the top where it is. */
static inline void free_below_top(void *ptr, uint32_t head, vaddr_t caller, uint32_t state)
{
    struct block *block = payload_block(ptr);

    if (UNLIKELY(!head_ends_below_top(block, head)))
        return free_last(ptr, head, caller, state);
    if (UNLIKELY(!block_is_whole(ptr, head)))
        refuse_block(ptr, head);
    leave_names(ptr, head, caller);
    heap_core.frees++;
    first_fit_release_below(block, head);
    heap_unlock(state);
}

/* Gives back what is at `ptr` where no chunk is, so far behind the first head. */
static NOINLINE IN_REGISTERS void free_block(void *ptr, vaddr_t caller, uint32_t offset,
                                             uint32_t state)
{
    if (UNLIKELY(offset >= first_fit.mapped_size) || UNLIKELY((vaddr_t)ptr % HEAP_ALIGN != 0))
        return heap_free_nothing(ptr, state);

    struct block *block = payload_block(ptr);
    uint32_t head = used_head(block);
    if (first_fit_is_last(block, head))
        free_top(ptr, head, caller, state);
    else
        free_below_top(ptr, head, caller, state);
}

/* What lies so far behind the first object of a chunk that it is none of its. */
static NOINLINE IN_REGISTERS void free_beside(void *ptr, const struct chunk *chunk, vaddr_t caller,
                                              uint32_t state)
{
    if ((vaddr_t)ptr - chunk_objects(chunk) < chunk->count * (uint32_t)chunk->size)
        return heap_free_nothing(ptr, state);
    free_block(ptr, caller, heap_offset(ptr), state);
}

/* Says what is wrong with an object whose guard is not whole: it was overflowed, or is free. */
static RARELY IN_REGISTERS void refuse_object(void *ptr, const struct chunk *chunk, uint32_t state)
{
    if (heap_find_live(ptr, &(struct heap_live){ NULL, NULL }))
        overflowed(ptr, chunk->size, "kfree");
    heap_free_nothing(ptr, state);
}

/* Gives back what lies so far behind a chunk's first object. `caller`: 0 for CALLER. */
ALWAYS_INLINE void free_at(void *ptr, uint32_t distance, struct chunk *chunk, vaddr_t caller,
                           uint32_t state)
{
    uint32_t index = small_index(chunk, distance);
    if (UNLIKELY(index >= chunk->count))
        return free_beside(ptr, chunk, caller != 0 ? caller : CALLER, state);

    if (UNLIKELY(!guard_is_whole((vaddr_t)ptr, chunk->size)))
        return refuse_object(ptr, chunk, state);

    uint32_t idle = chunk->idle;
    if (UNLIKELY(test_and_set_bit(&idle, index)))
        return heap_free_nothing(ptr, state);
    ((uint32_t *)ptr)[1] = (uint32_t)(caller != 0 ? caller : CALLER);
    small_give(chunk, idle);
    heap_core.frees++;

    uint32_t others = idle & (idle - 1);
    if (UNLIKELY(others == 0) || UNLIKELY(idle == chunk->all))
        return heap_chunk_changed(chunk, others, state);
    heap_unlock(state);
}

/* The last chunk that touches the granule begins behind `ptr`, or none does. */
static NOINLINE IN_REGISTERS void free_before(void *ptr, uint32_t entry, vaddr_t caller,
                                              uint32_t state)
{
    if (entry != 0)
        entry = small_entry_before((vaddr_t)ptr);
    if (entry == 0)
        return free_block(ptr, caller, heap_offset(ptr), state);
    free_at(ptr, small_distance((vaddr_t)ptr, entry), entry_chunk(entry), caller, state);
}

ALWAYS_INLINE void release(void *ptr)
{
    uint32_t state = heap_lock();
    uint32_t offset = heap_offset(ptr);

    if (offset >= small.covered)
        return free_block(ptr, CALLER, offset, state);

    uint32_t entry = small.table[offset / GRANULE_SIZE];
    uint32_t distance = small_distance((vaddr_t)ptr, entry);
    if (distance >= CHUNK_MAX)
        return free_before(ptr, entry, CALLER, state);
    free_at(ptr, distance, entry_chunk(entry), 0, state);
}

void kfree(void *ptr)
{
    release(ptr);
}

/* ---- Resizing ---- */

/* What was asked for at a pointer. Panics, naming `caller`, if it is not live or not whole. */
static size_t size_of(const void *ptr, const char *caller)
{
    size_t room = heap_usable_size(ptr, caller), size;

    if (!guard_is_whole((vaddr_t)ptr, room))
        overflowed(ptr, room, caller);
    (void)guard_tells_size((vaddr_t)ptr, room, &size);
    return size;
}

/* Guards what was resized where it is. The former canary must not stand for one of this size. */
static void guard_again(void *ptr, size_t former, size_t size, vaddr_t owner)
{
    uint32_t state = heap_lock();
    size_t room = room_of(ptr);

    if (former + GUARD_SIZE <= room)
        guard_clear((vaddr_t)ptr, former);
    guard_set((vaddr_t)ptr, room, size, owner);
    heap_unlock(state);
}

void *krealloc(void *ptr, size_t size)
{
    if (ptr == NULL)
        return allocate(size);
    if (size == 0) {
        release(ptr);
        return NULL;
    }

    size_t former = size_of(ptr, "krealloc");
    if (size > REQUEST_MAX || starves(STARVE_BLOCK))
        return NULL;
    if (heap_resize(ptr, size + GUARD_SIZE, "krealloc")) {
        guard_again(ptr, former, size, CALLER);
        return ptr;
    }

    void *copy = allocate(size);
    if (copy != NULL) {
        memcpy(copy, ptr, former < size ? former : size);
        release(ptr);
    }
    return copy;
}

size_t kmalloc_usable_size(const void *ptr)
{
    return size_of(ptr, "kmalloc_usable_size");
}

bool heap_is_live(const void *ptr)
{
    return heap_core_is_live(ptr);
}

bool heap_next_allocation(vaddr_t payload, struct heap_allocation *allocation)
{
    size_t room = 0;
    uint32_t state = heap_lock();
    bool found = heap_live_behind(payload, &allocation->payload, &room);

    if (found) {
        vaddr_t at = allocation->payload;
        allocation->owner = guard_owner(at, room);
        if (allocation->owner == 0 || !guard_tells_size(at, room, &allocation->size))
            allocation->size = room;
    }
    heap_unlock(state);
    return found;
}
