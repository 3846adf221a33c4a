/*
 * The kernel heap.
 *
 * Two layers place the bytes, mem/small.h for small requests in front of mem/first_fit.h for all
 * others; here are what they must not know: the lock, pages, figures, and what a pointer is worth.
 *
 * Invariants:
 * - where a block goes depends on the requests alone: mapping a page moves nothing, and what the
 *   pages mapped now cannot serve waits for more pages before it goes anywhere else;
 * - the index (mem/heap_index.h) is mapped for all of [base, mapped).
 *
 * Locking: the spinlock guards both layers and the figures, and is held for a bounded number of
 * steps. Pages are mapped and unmapped outside of it, by the one thread that holds the grow mutex;
 * only that thread changes `mapped`.
 */
#include <heap.h>
#include "mem/first_fit.h"
#include "mem/heap_core.h"
#include "mem/heap_index.h"
#include "mem/heap_walk.h"
#include "mem/layout.h"
#include "mem/small.h"
#include <heap_lock.h>
#include <heap_system.h>
#include <lib/bits.h>
#include <lib/string.h>
#include <panic.h>

/* Pages unused at the top beyond the first are given back, the others kept for what comes next. */
#define TRIM_ABOVE (16u * PAGE_SIZE)
#define TRIM_TO    (8u * PAGE_SIZE)

struct heap_core heap_core;

/* The block that serves a request of 1 to `largest` bytes. */
static inline uint32_t block_size(size_t request)
{
    uint32_t size = round_up(request + HEAP_HEAD, HEAP_ALIGN);

    return size < MIN_BLOCK ? MIN_BLOCK : size;
}

/* ---- Pages ---- */

static vaddr_t lowest_mapped_end(void)
{
    return first_fit.base + HEAP_FIRST_PAGES * PAGE_SIZE;
}

/* Moves the end of the mapped pages. */
static void set_mapped(vaddr_t end)
{
    first_fit_map(end);
    small_map(end);
    heap_core.trim_below =
        end > lowest_mapped_end() && end - first_fit.base > TRIM_ABOVE ? end - TRIM_ABOVE : 0;
}

/* Maps pages until `mapped` reaches `need`, all or none. The caller holds the grow mutex. */
static bool map_up_to(vaddr_t need)
{
    vaddr_t first = first_fit.mapped;

    if (need > first_fit.end)
        return false;

    vaddr_t end = round_up(need, PAGE_SIZE);
    if (end <= first)
        return true;
    if (!heap_index_grow(end - first_fit.base))
        return false;
    if (!heap_system_map(first, (end - first) / PAGE_SIZE)) {
        heap_index_shrink(first - first_fit.base);
        return false;
    }

    uint32_t state = heap_lock();
    set_mapped(end);
    heap_unlock(state);
    return true;
}

/*
 * Gives pages back that the wilderness does not need. It does not wait: if another thread is
 * growing the heap, the pages are about to be used.
 */
NOINLINE void heap_trim(void)
{
    if (!heap_system_try_grow_lock())
        return;

    uint32_t state = heap_lock();
    vaddr_t end = first_fit.mapped;
    vaddr_t keep = round_up(first_fit.top + TRIM_TO, PAGE_SIZE);
    if (keep < lowest_mapped_end())
        keep = lowest_mapped_end();
    if (keep < end)
        set_mapped(keep); /* from here on nobody uses what is above */
    heap_unlock(state);

    if (keep < end) {
        heap_system_unmap(keep, (end - keep) / PAGE_SIZE);
        heap_index_shrink(keep - first_fit.base);
    }
    heap_system_grow_unlock();
}

void heap_init(vaddr_t base, size_t size, vaddr_t index)
{
    ASSERT(is_aligned(base, PAGE_SIZE) && is_aligned(size, PAGE_SIZE) &&
           size >= HEAP_FIRST_PAGES * PAGE_SIZE);

    struct heap_index arrays = heap_index_init(index, size);
    memset(&heap_core, 0, sizeof(heap_core));
    heap_core.largest = size;
    first_fit_init(base, base + size, arrays.nodes, arrays.first);
    small_init(arrays.granules);
    if (!map_up_to(lowest_mapped_end()))
        panic("too little memory: no frames for the heap's first pages");
}

size_t heap_index_size(size_t size)
{
    return heap_index_window(size);
}

void heap_use_small(bool use)
{
    uint32_t state = heap_lock();
    small_use(use);
    heap_unlock(state);
}

/* ---- Allocating ---- */

struct request {
    size_t size; /* bytes asked for, 1 to heap_core.largest */
    size_t align;
    bool small;    /* a chunk is to serve it, if its class has or may have one */
    bool no_chunk; /* there was no memory: what is left serves without a new one */
};

/* What a request lacks: pages up to `need`, for a chunk or for itself. */
struct lack {
    vaddr_t need;
    bool chunk;
};

static void *take_block(const struct request *request, struct lack *lack)
{
    uint32_t size = block_size(request->size);
    void *ptr = request->align > HEAP_ALIGN ? first_fit_take_aligned(size, request->align)
                                            : first_fit_take(size);

    if (ptr != NULL)
        return ptr;
    *lack = (struct lack){ first_fit_need(size, request->align), false };
    return NULL;
}

static void *take_object(struct chunk *chunk)
{
    void *object = small_lowest(chunk);

    count_used(chunk->size);
    if (small_take_lowest(chunk))
        small_chunk_is_full(chunk);
    return object;
}

/* Serves a request from the pages that are mapped, or says what they lack. */
static void *try_allocate(const struct request *request, struct lack *lack)
{
    uint32_t class = small_class_of(request->size);

    if (!request->small)
        return take_block(request, lack);
    if (small.partial[class] == NULL && !request->no_chunk && small_may_grow(class)) {
        lack->chunk = true;
        if (!small_add_chunk(class, &lack->need))
            return NULL;
    }
    struct chunk *chunk = small.partial[class];
    return chunk != NULL ? take_object(chunk) : take_block(request, lack);
}

/* Allocates where that may take a chunk or pages that are not there yet. */
static NOINLINE void *allocate(struct request request)
{
    bool growing = false; /* this thread holds the grow mutex */
    bool out_of_memory = false;

    for (;;) {
        struct lack lack = { 0, false };
        uint32_t state = heap_lock();
        void *ptr = try_allocate(&request, &lack);
        bool again = ptr == NULL && out_of_memory && small_give_spare();
        if (ptr != NULL)
            heap_core.allocs++;
        heap_unlock(state);

        if (ptr != NULL || (out_of_memory && !again)) {
            if (growing)
                heap_system_grow_unlock();
            return ptr;
        }
        if (again) {
            /* With one chunk less the request may fit below the top, or the top be lower. */
            out_of_memory = false;
        } else if (!growing) {
            /* While this thread waited, another may have mapped what it needs: search again. */
            heap_system_grow_lock();
            growing = true;
        } else if (!map_up_to(lack.need)) {
            /*
             * Without a chunk the request itself may find a place. Without pages, what another
             * thread freed meanwhile may serve, or a spare chunk that is given back.
             */
            out_of_memory = !lack.chunk;
            request.no_chunk = true;
        }
    }
}

/* A request for which neither a listed block nor the top is ready. Takes over the lock. */
static NOINLINE IN_REGISTERS void *allocate_below(size_t size, uint32_t state)
{
    void *ptr = first_fit_take_below(block_size(size));

    if (ptr == NULL) {
        heap_unlock(state);
        return allocate((struct request){ .size = size, .align = HEAP_ALIGN });
    }
    heap_core.allocs++;
    heap_unlock(state);
    return ptr;
}

NOINLINE IN_REGISTERS void *heap_alloc_block(size_t size)
{
    if (size - 1 >= heap_core.largest)
        return NULL;

    uint32_t state = heap_lock(), bytes = block_size(size);
    void *ptr;
    if (first_fit_lists(bytes)) {
        heap_core.allocs++;
        ptr = first_fit_take_listed(bytes);
    } else if (first_fit_top_serves(bytes)) {
        heap_core.allocs++;
        ptr = first_fit_take_top(bytes);
    } else {
        return allocate_below(size, state);
    }
    heap_unlock(state);
    return ptr;
}

NOINLINE IN_REGISTERS void *heap_last_of_chunk(void *ptr, struct chunk *chunk, uint32_t state)
{
    small_chunk_is_full(chunk);
    heap_unlock(state);
    return ptr;
}

NOINLINE IN_REGISTERS void *heap_alloc_with_chunk(size_t size)
{
    return allocate((struct request){ .size = size, .align = HEAP_ALIGN, .small = true });
}

/* A small request for which there is no object. Takes over the lock. */
static NOINLINE IN_REGISTERS void *allocate_without_object(size_t size, uint32_t state)
{
    bool may_grow = small_may_grow(small_class_of(size));

    heap_unlock(state);
    return may_grow && size != 0 ? heap_alloc_with_chunk(size) : heap_alloc_block(size);
}

/* A request that a chunk serves, if its class has or may have one. */
static NOINLINE IN_REGISTERS void *allocate_small(size_t size)
{
    uint32_t state = heap_lock();
    struct chunk *chunk = small_partial(size);

    if (UNLIKELY(chunk == NULL))
        return allocate_without_object(size, state);

    void *ptr = small_lowest(chunk);
    count_used(chunk->size);
    heap_core.allocs++;
    if (UNLIKELY(small_take_lowest(chunk)))
        return heap_last_of_chunk(ptr, chunk, state);
    heap_unlock(state);
    return ptr;
}

void *heap_alloc(size_t size)
{
    return small_serves(size) ? allocate_small(size) : heap_alloc_block(size);
}

void *heap_alloc_aligned(size_t size, size_t align)
{
    if (size - 1 >= heap_core.largest || !is_power_of_two(align) || align > HEAP_MAX_ALIGN)
        return NULL;
    if (align <= HEAP_ALIGN)
        return heap_alloc(size);
    return allocate((struct request){ .size = size, .align = align });
}

/* ---- Pointers ---- */

_Noreturn RARELY IN_REGISTERS void heap_reject(const void *ptr, const char *caller)
{
    switch (heap_walk_find((vaddr_t)ptr)) {
    case HEAP_WALK_OUTSIDE:
        panic_about((vaddr_t)ptr, "%s: invalid free of %p, which is not from the heap", caller,
                    ptr);
    case HEAP_WALK_FREE:
        panic_about((vaddr_t)ptr, "%s: double free of %p, which lies in free memory", caller, ptr);
    case HEAP_WALK_SMASHED:
        panic_about((vaddr_t)ptr,
                    "%s: heap underflow: the head of the block at %p is smashed: 0x%08x", caller,
                    ptr, payload_block(ptr)->head);
    case HEAP_WALK_INSIDE:
    default:
        panic_about((vaddr_t)ptr, "%s: invalid free of %p, which lies inside a block", caller, ptr);
    }
}

RARELY IN_REGISTERS void heap_free_nothing(void *ptr, uint32_t state)
{
    if (ptr != NULL)
        heap_reject(ptr, "kfree");
    heap_unlock(state);
}

/* Counts that the top has come down. Takes over the lock. */
static inline void freed_last(uint32_t state)
{
    heap_core.frees++;
    heap_unlock_and_trim(state);
}

/* Gives back the block at `ptr` if it is one and the one in front free. Takes over the lock. */
static NOINLINE IN_REGISTERS void free_last(void *ptr, uint32_t head, uint32_t state)
{
    if (first_fit_release_last(payload_block(ptr), head))
        freed_last(state);
    else
        heap_free_nothing(ptr, state);
}

/* Gives back the block at `ptr` that leaves the top where it is. Takes over the lock. */
static NOINLINE IN_REGISTERS void free_below_top(void *ptr, uint32_t head, uint32_t state)
{
    struct block *block = payload_block(ptr);

    if (UNLIKELY(!head_ends_below_top(block, head)))
        return free_last(ptr, head, state);
    heap_core.frees++;
    first_fit_release_below(block, head);
    heap_unlock(state);
}

/*
 * Gives back the block at `ptr`, where no chunk is, so far behind the first head. Takes over the
 * lock.
 */
static NOINLINE IN_REGISTERS void free_block(void *ptr, uint32_t offset, uint32_t state)
{
    if (UNLIKELY(offset >= first_fit.mapped_size) || UNLIKELY((vaddr_t)ptr % HEAP_ALIGN != 0))
        return heap_free_nothing(ptr, state);

    struct block *block = payload_block(ptr);
    uint32_t head = used_head(block);
    if (!first_fit_is_last(block, head))
        return free_below_top(ptr, head, state);
    first_fit_lower_top(block, head);
    freed_last(state);
}

/* What lies so far behind a chunk's first object is none. Takes over the lock. */
static NOINLINE IN_REGISTERS void free_beside(void *ptr, uint32_t distance,
                                              const struct chunk *chunk, uint32_t state)
{
    if (distance < chunk->count * (uint32_t)chunk->size)
        return heap_free_nothing(ptr, state);
    free_block(ptr, heap_offset(ptr), state);
}

NOINLINE IN_REGISTERS void heap_chunk_changed(struct chunk *chunk, uint32_t others, uint32_t state)
{
    if (others == 0)
        small_chunk_has_room(chunk);
    if (chunk->idle != chunk->all)
        return heap_unlock(state);
    small_chunk_is_empty(chunk);
    heap_unlock_and_trim(state);
}

/* Gives back what lies so far behind a chunk's first object. Takes over the lock. */
static inline void free_at(void *ptr, uint32_t distance, struct chunk *chunk, uint32_t state)
{
    uint32_t index = small_index(chunk, distance);
    if (UNLIKELY(index >= chunk->count))
        return free_beside(ptr, distance, chunk, state);

    uint32_t before = chunk->idle, idle = before;
    if (UNLIKELY(test_and_set_bit(&idle, index)))
        return heap_free_nothing(ptr, state);
    small_give(chunk, idle);
    heap_core.frees++;
    if (UNLIKELY(before == 0) || UNLIKELY(idle == chunk->all))
        return heap_chunk_changed(chunk, before, state);
    heap_unlock(state);
}

/* The last chunk that touches the granule begins behind `ptr`, or none does. Takes over the lock.
 */
static NOINLINE IN_REGISTERS void free_before(void *ptr, uint32_t entry, uint32_t state)
{
    if (entry != 0)
        entry = small_entry_before((vaddr_t)ptr);
    if (entry == 0)
        return free_block(ptr, heap_offset(ptr), state);
    free_at(ptr, small_distance((vaddr_t)ptr, entry), entry_chunk(entry), state);
}

void heap_free(void *ptr)
{
    uint32_t state = heap_lock();

    uint32_t offset = heap_offset(ptr);
    if (offset >= small.covered)
        return free_block(ptr, offset, state);

    uint32_t entry = small.table[offset / GRANULE_SIZE];
    uint32_t distance = small_distance((vaddr_t)ptr, entry);
    if (distance >= CHUNK_MAX)
        return free_before(ptr, entry, state);
    free_at(ptr, distance, entry_chunk(entry), state);
}

bool heap_find_live(const void *ptr, struct heap_live *live)
{
    vaddr_t address = (vaddr_t)ptr;

    *live = (struct heap_live){ NULL, payload_block(ptr) };
    if (address % HEAP_ALIGN != 0 || !is_mapped(address))
        return false;

    struct chunk *chunk = small_chunk_near(address);
    if (chunk == NULL)
        return block_is_sound(live->block);
    live->chunk = chunk;
    uint32_t index = small_index(chunk, (uint32_t)(address - chunk_objects(chunk)));
    return index < chunk->count && !small_is_idle(chunk, index);
}

bool heap_resize(void *ptr, size_t size, const char *caller)
{
    bool growing = false;

    if (size > heap_core.largest)
        return false;
    for (;;) {
        struct heap_live live;
        vaddr_t need = 0;
        uint32_t state = heap_lock();
        if (!heap_find_live(ptr, &live))
            heap_reject(ptr, caller);
        bool done = live.chunk != NULL ? size <= live.chunk->size
                                       : first_fit_resize(live.block, block_size(size), &need);
        bool surplus = first_fit.top < heap_core.trim_below;
        heap_unlock(state);

        bool retry = !done && need != 0;
        if (retry && !growing) {
            heap_system_grow_lock();
            growing = true;
            continue;
        }
        if (retry && map_up_to(need))
            continue;
        if (growing)
            heap_system_grow_unlock();
        if (surplus)
            heap_trim();
        return done;
    }
}

size_t heap_usable_size(const void *ptr, const char *caller)
{
    struct heap_live live;
    uint32_t state = heap_lock();
    if (!heap_find_live(ptr, &live))
        heap_reject(ptr, caller);
    size_t size = heap_live_size(&live);
    heap_unlock(state);
    return size;
}

/* ---- Looking at it ---- */

bool heap_core_is_live(const void *ptr)
{
    struct heap_live live;
    uint32_t state = heap_lock();
    bool is_live = heap_find_live(ptr, &live);
    heap_unlock(state);
    return is_live;
}

bool heap_live_behind(vaddr_t payload, vaddr_t *next, size_t *room)
{
    struct heap_live live;
    bool is_block = heap_find_live((void *)payload, &live) && live.chunk == NULL;
    vaddr_t from = is_block ? payload + used_size(live.block) : payload + 1;

    return from > payload && heap_walk_next_live(from, next, room);
}

bool heap_next_block(vaddr_t payload, struct heap_block *block)
{
    uint32_t state = heap_lock();
    bool found = heap_walk_next(payload, block);
    heap_unlock(state);
    return found;
}

struct heap_stats heap_get_stats(void)
{
    uint32_t state = heap_lock();
    size_t largest = first_fit_largest();
    size_t wilderness = round_down(first_fit.mapped - first_fit.top, HEAP_ALIGN);
    size_t extent = first_fit.reach - first_fit.base;
    struct heap_stats stats = {
        .mapped = first_fit.mapped - first_fit.base,
        .total = first_fit.mapped - first_fit.base + heap_index_mapped(),
        .used = bytes_used(),
        .peak = first_fit.usage.peak,
        .largest_free = largest > wilderness ? largest : wilderness,
        .blocks = (size_t)(heap_core.allocs - heap_core.frees),
        .extent = extent,
        .index = heap_index_bytes(extent) + small.reach / GRANULE_SIZE * sizeof(uint32_t) +
                 sizeof(heap_core) + sizeof(first_fit) + sizeof(small),
        .allocs = heap_core.allocs,
        .frees = heap_core.frees,
    };
    heap_unlock(state);
    return stats;
}

enum heap_fault heap_validate(void)
{
    size_t live;
    uint32_t state = heap_lock();
    enum heap_fault fault = heap_walk_validate(&live);
    if (fault == HEAP_SOUND && first_fit.usage.below > first_fit.usage.peak)
        fault = HEAP_USED_COUNT;
    if (fault == HEAP_SOUND && heap_core.allocs - heap_core.frees != live)
        fault = HEAP_BLOCK_COUNT;
    heap_unlock(state);
    return fault;
}
