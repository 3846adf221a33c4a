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

#define CALLER      ((vaddr_t)__builtin_return_address(0))

/* Sums with GUARD_SIZE do not wrap below. */
#define REQUEST_MAX 0x7fffffffu

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

/* A small request for which there is no object. Takes over the lock. */
static NOINLINE IN_REGISTERS void *allocate_without_object(size_t size, vaddr_t owner,
                                                           uint32_t state)
{
    return guarded(heap_alloc_without_object(size + GUARD_SIZE, state), size, owner);
}

static NOINLINE IN_REGISTERS void *allocate_block(size_t size, vaddr_t owner)
{
    if (size - 1 >= REQUEST_MAX)
        return NULL;

    void *ptr = heap_alloc_block(size + GUARD_SIZE);
    if (ptr != NULL)
        guard_set((vaddr_t)ptr, used_size(payload_block(ptr)) - HEAP_HEAD, size, owner);
    return ptr;
}

static inline void *allocate(size_t size, vaddr_t owner)
{
    if (starves(STARVE_BLOCK))
        return NULL;
    if (size - 1 >= small.guarded)
        return allocate_block(size, owner);

    uint32_t state = heap_lock();
    struct chunk *chunk = small.partial[small_number_of(size + GUARD_SIZE)];
    if (UNLIKELY(chunk == NULL))
        return allocate_without_object(size, owner, state);

    uint32_t idle = chunk->idle, room = chunk->size;
    vaddr_t object = (vaddr_t)small_take(chunk, idle);
    heap_core.allocs++;
    guard_set(object, room, size, owner);
    if (UNLIKELY(small_others(idle) == 0))
        return heap_last_of_chunk((void *)object, chunk, state);
    heap_unlock(state);
    return (void *)object;
}

void *kmalloc(size_t size)
{
    return allocate(size, CALLER);
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

    void *ptr = allocate(total, CALLER);
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

static inline void check_guard(const void *ptr, size_t room)
{
    if (UNLIKELY(!guard_is_whole((vaddr_t)ptr, room)))
        overflowed(ptr, room, "kfree");
}

/*
 * Leaves in a block who gave it back and, if there is room, who had allocated it. In an object the
 * guard goes on saying the latter.
 */
static inline void leave_names(void *ptr, size_t room, vaddr_t caller)
{
    uint32_t *words = ptr;

    if (room >= 16)
        words[2] = (uint32_t)guard_owner(guard_of((vaddr_t)ptr, room));
    words[1] = (uint32_t)caller;
}

/* A flag of its head says that the block in front is used. Whether that looks free all the same. */
static inline bool has_free_block_in_front(const struct block *block)
{
    uint32_t size = ((const uint32_t *)block)[-1];

    return !(used_head(block) & PREV_FREE) && size >= MIN_BLOCK && size % HEAP_ALIGN == 0 &&
           size <= block_address(block) - first_fit.start &&
           block_at(block_address(block) - size)->head == size &&
           first_fit_knows(block_at(block_address(block) - size));
}

/* Gives back what is at `ptr` where no chunk is. */
static NOINLINE IN_REGISTERS void free_block(void *ptr, vaddr_t caller, uint32_t state)
{
    struct block *block = payload_block(ptr);

    if (UNLIKELY(!is_mapped((vaddr_t)ptr)) || UNLIKELY((vaddr_t)ptr % HEAP_ALIGN != 0) ||
        UNLIKELY(!block_is_sound(block))) {
        heap_free_nothing(ptr, state);
        return;
    }

    uint32_t head = used_head(block);
    size_t room = (head & ~BLOCK_FLAGS) - HEAP_HEAD;
    check_guard(ptr, room);
    if (UNLIKELY(has_free_block_in_front(block)))
        panic_about((vaddr_t)ptr,
                    "kfree: heap underflow: the head of the block at %p is smashed: 0x%08x", ptr,
                    block->head);
    leave_names(ptr, room, caller);
    heap_free_block(block, head, state);
}

/* What lies so far behind a chunk's first object is none. */
static NOINLINE IN_REGISTERS void free_beside(void *ptr, vaddr_t caller, uint32_t state)
{
    if (small_chunk_near((vaddr_t)ptr) == NULL)
        return free_block(ptr, caller, state);
    heap_free_nothing(ptr, state);
}

/* Gives back what lies so far behind a chunk's first object. */
static inline void free_at(void *ptr, uint32_t distance, struct chunk *chunk, vaddr_t caller,
                           uint32_t state)
{
    uint32_t index = small_index(chunk, distance);
    if (UNLIKELY(index >= chunk->count))
        return free_beside(ptr, caller, state);

    uint32_t before = chunk->idle, idle = before | 1u << index;
    if (UNLIKELY(idle == before)) {
        heap_free_nothing(ptr, state);
        return;
    }
    check_guard(ptr, chunk->size);
    ((uint32_t *)ptr)[1] = (uint32_t)caller;
    small_give(chunk, idle);
    heap_core.frees++;
    if (UNLIKELY(before == 0) || UNLIKELY(idle == chunk->all))
        return heap_chunk_changed(chunk, before, state);
    heap_unlock(state);
}

/* The last chunk that touches the granule begins behind `ptr`, or none does. */
static NOINLINE IN_REGISTERS void free_before(void *ptr, vaddr_t caller, uint32_t state)
{
    uint32_t entry = small_last_entry((vaddr_t)ptr);

    if (entry != 0)
        entry = small_entry_before((vaddr_t)ptr);
    if (entry == 0)
        return free_block(ptr, caller, state);
    free_at(ptr, small_distance((vaddr_t)ptr, entry), entry_chunk(entry), caller, state);
}

static inline void release(void *ptr, vaddr_t caller)
{
    uint32_t state = heap_lock();
    uint32_t offset = heap_offset(ptr);

    if (offset >= small.covered)
        return free_block(ptr, caller, state);

    uint32_t entry = small.table[offset / GRANULE_SIZE];
    uint32_t distance = small_distance((vaddr_t)ptr, entry);
    if (distance >= CHUNK_MAX)
        return free_before(ptr, caller, state);
    free_at(ptr, distance, entry_chunk(entry), caller, state);
}

void kfree(void *ptr)
{
    release(ptr, CALLER);
}

/* ---- Resizing ---- */

void *krealloc(void *ptr, size_t size)
{
    if (ptr == NULL)
        return allocate(size, CALLER);
    if (size == 0) {
        release(ptr, CALLER);
        return NULL;
    }

    size_t room = heap_usable_size(ptr, "krealloc");
    if (!guard_is_whole((vaddr_t)ptr, room))
        overflowed(ptr, room, "krealloc");
    if (size > REQUEST_MAX || starves(STARVE_BLOCK))
        return NULL;
    if (heap_resize(ptr, size + GUARD_SIZE, "krealloc"))
        return guarded(ptr, size, CALLER);

    void *copy = allocate(size, CALLER);
    if (copy != NULL) {
        size_t kept = guard_end(guard_of((vaddr_t)ptr, room)) - (vaddr_t)ptr;
        memcpy(copy, ptr, kept < size ? kept : size);
        release(ptr, CALLER);
    }
    return copy;
}

size_t kmalloc_usable_size(const void *ptr)
{
    size_t room = heap_usable_size(ptr, "kmalloc_usable_size");
    if (!guard_is_whole((vaddr_t)ptr, room))
        overflowed(ptr, room, "kmalloc_usable_size");
    return guard_end(guard_of((vaddr_t)ptr, room)) - (vaddr_t)ptr;
}

bool heap_is_live(const void *ptr)
{
    return heap_core_is_live(ptr);
}

bool heap_next_allocation(vaddr_t payload, struct heap_allocation *allocation)
{
    struct heap_live live;
    size_t room = 0;
    uint32_t state = heap_lock();
    bool is_block = payload != 0 && heap_find_live((void *)payload, &live) && live.chunk == NULL;
    vaddr_t from = is_block ? payload + used_size(live.block) : payload + 1;
    bool found = (payload == 0 || from > payload) &&
                 heap_walk_next_live(payload == 0 ? 0 : from, &allocation->payload, &room);

    if (found) {
        const struct guard *guard = guard_of(allocation->payload, room);
        bool guarded =
            guard_end_is_sound(guard, guard_end(guard)) && guard_end(guard) > allocation->payload;
        allocation->size = guarded ? guard_end(guard) - allocation->payload : room;
        allocation->owner = guarded ? guard_owner(guard) : 0;
    }
    heap_unlock(state);
    return found;
}
