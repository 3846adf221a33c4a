/*
 * The kernel heap: an address-ordered first-fit free list.
 *
 *   base        head                head                 top                mapped
 *    |  4 bytes | size+USED payload | size next  (free)  | wilderness ...    | not mapped ... |
 *
 * A block is a 4-byte head and its payload; payloads lie at multiples of 8. Blocks follow each
 * other without a gap from base + 4 to `top`. Free blocks form a singly linked list in address
 * order whose link is the first word of the payload.
 *
 * Invariants:
 * - no two free blocks touch, and none touches the wilderness, which begins where the last used
 *   block ends;
 * - pages [base, mapped) are mapped, and top <= mapped;
 * - mapping a page moves no block: where a block goes depends on the requests alone.
 *
 * Locking: the spinlock guards the structure. Pages are mapped and unmapped outside of it, by the
 * one thread that holds the grow mutex; only that thread changes `mapped`.
 */
#include <heap.h>
#include <heap_system.h>
#include <lib/bits.h>
#include <lib/string.h>
#include <panic.h>
#include "mem/layout.h"

#define ALIGN      8u
#define HEAD       4u
#define MIN_BLOCK  16u
#define USED       1u

/* Pages unused at the top beyond the first are given back, the others kept for what comes next. */
#define TRIM_ABOVE (16u * PAGE_SIZE)
#define TRIM_TO    (8u * PAGE_SIZE)

struct block {
    uint32_t head;      /* size | USED */
    struct block *next; /* free blocks only; in a used block the payload begins here */
};

static struct {
    vaddr_t base, end;  /* the window */
    vaddr_t mapped;     /* end of the mapped pages; changed under both locks */
    vaddr_t top;        /* where the wilderness's first block would have its head */
    struct block *free; /* address order */
    size_t used, peak, blocks;
    uint64_t allocs, frees;
} heap;

/* ---- Blocks ---- */

static vaddr_t at(const struct block *block)
{
    return (vaddr_t)block;
}

static size_t size_of(const struct block *block)
{
    return block->head & ~(ALIGN - 1);
}

static bool is_used(const struct block *block)
{
    return block->head & USED;
}

static vaddr_t end_of(const struct block *block)
{
    return at(block) + size_of(block);
}

static vaddr_t payload_of(const struct block *block)
{
    return at(block) + HEAD;
}

static struct block *first_block(void)
{
    return (struct block *)(heap.base + HEAD);
}

/* The block that serves a request: 0 when no window could hold it. */
static size_t block_size(size_t request)
{
    if (request == 0 || request > heap.end - heap.base)
        return 0;

    size_t size = round_up(request + HEAD, ALIGN);
    return size < MIN_BLOCK ? MIN_BLOCK : size;
}

/* ---- The free list ---- */

/* The last free block that begins below `address`, or NULL. */
static struct block *free_before(vaddr_t address)
{
    struct block *before = NULL;
    for (struct block *block = heap.free; block != NULL && at(block) < address; block = block->next)
        before = block;
    return before;
}

/* Enters [start, start + size) as free: merged with what is free around it, or into the top. */
static void release(vaddr_t start, size_t size)
{
    struct block **link = &heap.free;
    while (*link != NULL && end_of(*link) < start)
        link = &(*link)->next;

    struct block *next = *link;
    if (next != NULL && end_of(next) == start) {
        start = at(next);
        size += size_of(next);
        next = next->next;
    }
    if (next != NULL && start + size == at(next)) {
        size += size_of(next);
        next = next->next;
    }
    if (start + size == heap.top) {
        heap.top = start;
        *link = NULL;
        return;
    }

    struct block *block = (struct block *)start;
    block->head = (uint32_t)size;
    block->next = next;
    *link = block;
}

/* ---- Taking ---- */

static void count_alloc(const struct block *block)
{
    heap.used += size_of(block);
    heap.peak = heap.used > heap.peak ? heap.used : heap.peak;
    heap.blocks++;
    heap.allocs++;
}

/*
 * The first place for a head at or above `start` such that its payload is aligned and the gap in
 * front can be a free block or is none.
 */
static vaddr_t place_aligned(vaddr_t start, size_t align)
{
    vaddr_t head = round_up(start + HEAD, align) - HEAD;
    while (head != start && head - start < MIN_BLOCK)
        head += align;
    return head;
}

/* Cuts a used block of `size` bytes at `head` out of a free one; the rests become free again. */
static struct block *take_free(struct block **link, vaddr_t head, size_t size)
{
    struct block *free = *link;
    vaddr_t end = end_of(free);
    struct block *rest = free->next;

    if (end - (head + size) >= MIN_BLOCK) {
        struct block *tail = (struct block *)(head + size);
        tail->head = (uint32_t)(end - (head + size));
        tail->next = rest;
        rest = tail;
    } else {
        size = end - head;
    }

    if (head != at(free)) {
        free->head = (uint32_t)(head - at(free));
        free->next = rest;
    } else {
        *link = rest;
    }

    struct block *block = (struct block *)head;
    block->head = (uint32_t)size | USED;
    return block;
}

/* Takes a block of `size` bytes at `head` from the wilderness, which must be mapped that far. */
static struct block *take_top(vaddr_t head, size_t size)
{
    struct block *block = (struct block *)head;
    vaddr_t gap = heap.top;

    block->head = (uint32_t)size | USED;
    heap.top = head + size;
    if (gap != head)
        release(gap, head - gap);
    return block;
}

/*
 * Finds a place for a block of `size` bytes. `align` above ALIGN asks for a free block with room
 * for any alignment, as the specification counts it. Returns NULL, with *need the address up to
 * which the wilderness would have to be mapped, when no page that is mapped now can serve.
 */
static struct block *try_take(size_t size, size_t align, vaddr_t *need)
{
    size_t room = align > ALIGN ? size + align + ALIGN : size;

    for (struct block **link = &heap.free; *link != NULL; link = &(*link)->next) {
        if (size_of(*link) >= room)
            return take_free(link, place_aligned(at(*link), align), size);
    }

    vaddr_t head = place_aligned(heap.top, align);
    *need = head + size;
    return *need <= heap.mapped ? take_top(head, size) : NULL;
}

/* ---- Pages ---- */

/* Maps pages until `mapped` reaches `need`, all or none. The caller holds the grow mutex. */
static bool map_up_to(vaddr_t need)
{
    vaddr_t first = heap.mapped;
    vaddr_t page = first;

    if (need > heap.end)
        return false;
    while (page < need && heap_system_map(page))
        page += PAGE_SIZE;
    if (page < need) {
        while (page > first) {
            page -= PAGE_SIZE;
            heap_system_unmap(page);
        }
        return false;
    }

    uint32_t state = heap_system_lock();
    heap.mapped = page;
    heap_system_unlock(state);
    return true;
}

static vaddr_t lowest_mapped_end(void)
{
    return heap.base + HEAP_FIRST_PAGES * PAGE_SIZE;
}

/* Whether enough pages lie unused at the top to be worth giving back. */
static bool has_surplus(void)
{
    return heap.mapped > lowest_mapped_end() && heap.mapped - heap.top > TRIM_ABOVE;
}

/*
 * Gives pages back that the wilderness does not need. It does not wait: if another thread is
 * growing the heap, the pages are about to be used.
 */
static void trim(void)
{
    if (!heap_system_try_grow_lock())
        return;

    uint32_t state = heap_system_lock();
    vaddr_t page = heap.mapped;
    vaddr_t keep = round_up(heap.top + TRIM_TO, PAGE_SIZE);
    if (keep < lowest_mapped_end())
        keep = lowest_mapped_end();
    if (keep < page)
        heap.mapped = keep; /* from here on nobody uses them */
    heap_system_unlock(state);

    while (page > keep) {
        page -= PAGE_SIZE;
        heap_system_unmap(page);
    }
    heap_system_grow_unlock();
}

/* ---- The public functions ---- */

void heap_init(vaddr_t base, size_t size)
{
    ASSERT(is_aligned(base, PAGE_SIZE) && is_aligned(size, PAGE_SIZE) &&
           size >= HEAP_FIRST_PAGES * PAGE_SIZE);

    memset(&heap, 0, sizeof(heap));
    heap.base = base;
    heap.end = base + size;
    heap.mapped = base;
    heap.top = base + HEAD;
    if (!map_up_to(lowest_mapped_end()))
        panic("too little memory: no frames for the heap's first pages");
}

static void *allocate(size_t size, size_t align)
{
    bool growing = false; /* this thread holds the grow mutex */
    bool out_of_memory = false;

    for (;;) {
        vaddr_t need = 0;
        uint32_t state = heap_system_lock();
        struct block *block = try_take(size, align, &need);
        if (block != NULL)
            count_alloc(block);
        heap_system_unlock(state);

        if (block != NULL || out_of_memory) {
            if (growing)
                heap_system_grow_unlock();
            return block != NULL ? (void *)payload_of(block) : NULL;
        }
        if (!growing) {
            /* While this thread waited, another may have mapped what it needs: search again. */
            heap_system_grow_lock();
            growing = true;
        } else {
            /* Where that fails a block freed meanwhile may still serve: search a last time. */
            out_of_memory = !map_up_to(need);
        }
    }
}

void *kmalloc(size_t size)
{
    size_t block = block_size(size);
    return block == 0 ? NULL : allocate(block, ALIGN);
}

void *kmalloc_aligned(size_t size, size_t align)
{
    size_t block = block_size(size);

    if (block == 0 || !is_power_of_two(align) || align > HEAP_MAX_ALIGN)
        return NULL;
    return allocate(block, align < ALIGN ? ALIGN : align);
}

void *kcalloc(size_t count, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(count, size, &total))
        return NULL;

    void *ptr = kmalloc(total);
    if (ptr != NULL)
        memset(ptr, 0, total);
    return ptr;
}

/*
 * The first block whose payload lies at or behind `address`; NULL: the wilderness. A head is
 * checked before it is believed: a smashed one would lead the walk anywhere, or nowhere.
 */
static struct block *walk_to(vaddr_t address)
{
    for (vaddr_t head = at(first_block()); head < heap.top;) {
        struct block *block = (struct block *)head;

        if (size_of(block) < MIN_BLOCK || size_of(block) > heap.top - head)
            panic("heap: the head of the block at %p is smashed: 0x%08x", (void *)payload_of(block),
                  block->head);
        if (payload_of(block) >= address)
            return block;
        head = end_of(block);
    }
    return NULL;
}

/* The live block of a payload; panics if there is none. The caller holds the spinlock. */
static struct block *live_block(const void *ptr, const char *caller)
{
    vaddr_t address = (vaddr_t)ptr;
    struct block *block = walk_to(address);
    struct block *around = free_before(address);

    if (address < heap.base + ALIGN || address >= heap.end)
        panic("%s: invalid free of %p, which is not from the heap", caller, ptr);
    if (block == NULL || (around != NULL && address < end_of(around)))
        panic("%s: double free of %p, which lies in free memory", caller, ptr);
    if (payload_of(block) != address)
        panic("%s: invalid free of %p, which lies inside a block", caller, ptr);
    return block;
}

void kfree(void *ptr)
{
    if (ptr == NULL)
        return;

    uint32_t state = heap_system_lock();
    struct block *block = live_block(ptr, "kfree");
    heap.used -= size_of(block);
    heap.blocks--;
    heap.frees++;
    release(at(block), size_of(block));
    bool surplus = has_surplus();
    heap_system_unlock(state);

    if (surplus)
        trim();
}

/* Changes a used block's size, and the figures with it. */
static void set_size(struct block *block, size_t size)
{
    heap.used = heap.used - size_of(block) + size;
    heap.peak = heap.used > heap.peak ? heap.used : heap.peak;
    block->head = (uint32_t)size | USED;
}

static void shrink(struct block *block, size_t size)
{
    size_t tail = size_of(block) - size;

    if (tail >= MIN_BLOCK) {
        set_size(block, size);
        release(at(block) + size, tail);
    }
}

/* Grows a block into the free block or the mapped wilderness behind it. */
static bool grow_in_place(struct block *block, size_t size, vaddr_t *need)
{
    size_t more = size - size_of(block);
    struct block **link = &heap.free;

    *need = 0;
    if (end_of(block) == heap.top) {
        *need = at(block) + size;
        if (*need > heap.mapped)
            return false;
        heap.top = *need;
        set_size(block, size);
        return true;
    }
    while (*link != NULL && at(*link) < end_of(block))
        link = &(*link)->next;
    if (*link == NULL || at(*link) != end_of(block) || size_of(*link) < more)
        return false;

    struct block *taken = take_free(link, at(*link), more);
    set_size(block, size_of(block) + size_of(taken));
    return true;
}

/* Resizes in place if that is possible; maps pages if the wilderness lies behind the block. */
static bool resize_in_place(void *ptr, size_t size, size_t *old_size)
{
    vaddr_t need = 0;
    bool growing = false;

    for (;;) {
        uint32_t state = heap_system_lock();
        struct block *block = live_block(ptr, "krealloc");
        bool done = size <= size_of(block);
        *old_size = size_of(block);
        if (done)
            shrink(block, size);
        else
            done = grow_in_place(block, size, &need);
        bool surplus = has_surplus();
        heap_system_unlock(state);

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
            trim();
        return done;
    }
}

void *krealloc(void *ptr, size_t size)
{
    size_t old_size;

    if (ptr == NULL)
        return kmalloc(size);
    if (size == 0) {
        kfree(ptr);
        return NULL;
    }

    size_t block = block_size(size);
    if (block == 0)
        return NULL;
    if (resize_in_place(ptr, block, &old_size))
        return ptr;

    void *copy = kmalloc(size);
    if (copy != NULL) {
        memcpy(copy, ptr, old_size - HEAD);
        kfree(ptr);
    }
    return copy;
}

size_t kmalloc_usable_size(const void *ptr)
{
    uint32_t state = heap_system_lock();
    size_t size = size_of(live_block(ptr, "kmalloc_usable_size")) - HEAD;
    heap_system_unlock(state);
    return size;
}

/* ---- Looking at it ---- */

bool heap_is_live(const void *ptr)
{
    uint32_t state = heap_system_lock();
    struct block *block = walk_to((vaddr_t)ptr);
    bool live = block != NULL && payload_of(block) == (vaddr_t)ptr && is_used(block);
    heap_system_unlock(state);
    return live;
}

/* What is mapped of the wilderness: the largest block that it can serve without a new page. */
static size_t top_size(void)
{
    return round_down(heap.mapped - heap.top, ALIGN);
}

bool heap_next_block(vaddr_t payload, struct heap_block *out)
{
    uint32_t state = heap_system_lock();
    struct block *block = walk_to(payload);
    bool found = true;

    if (block != NULL)
        *out = (struct heap_block){ payload_of(block), size_of(block),
                                    is_used(block) ? HEAP_USED : HEAP_FREE };
    else if (payload <= heap.top + HEAD)
        *out = (struct heap_block){ heap.top + HEAD, top_size(), HEAP_TOP };
    else
        found = false;
    heap_system_unlock(state);
    return found;
}

struct heap_stats heap_get_stats(void)
{
    uint32_t state = heap_system_lock();
    size_t largest = top_size();
    for (const struct block *block = heap.free; block != NULL; block = block->next)
        largest = size_of(block) > largest ? size_of(block) : largest;
    struct heap_stats stats = {
        .total = heap.mapped - heap.base,
        .used = heap.used,
        .peak = heap.peak,
        .largest_free = largest,
        .blocks = heap.blocks,
        .allocs = heap.allocs,
        .frees = heap.frees,
    };
    heap_system_unlock(state);
    return stats;
}

static enum heap_fault validate_locked(void)
{
    const struct block *expected = heap.free;
    size_t used = 0, blocks = 0;
    bool after_free = false;

    if (heap.top < heap.base + HEAD || heap.top > heap.mapped || heap.mapped > heap.end)
        return HEAP_BAD_TOP;
    for (vaddr_t head = at(first_block()); head < heap.top;) {
        const struct block *block = (const struct block *)head;

        if (size_of(block) < MIN_BLOCK || size_of(block) > heap.top - head ||
            (block->head & (ALIGN - 1) & ~USED) != 0)
            return HEAP_BAD_SIZE;
        if (is_used(block)) {
            used += size_of(block);
            blocks++;
        } else {
            if (after_free)
                return HEAP_UNMERGED;
            if (block != expected)
                return HEAP_BAD_LIST;
            expected = block->next;
        }
        after_free = !is_used(block);
        head = end_of(block);
    }
    if (expected != NULL)
        return HEAP_BAD_LIST;
    if (after_free)
        return HEAP_FREE_BELOW_TOP;
    if (used != heap.used || used > heap.peak)
        return HEAP_USED_COUNT;
    if (blocks != heap.blocks || heap.allocs - heap.frees != blocks)
        return HEAP_BLOCK_COUNT;
    return HEAP_SOUND;
}

enum heap_fault heap_validate(void)
{
    uint32_t state = heap_system_lock();
    enum heap_fault fault = validate_locked();
    heap_system_unlock(state);
    return fault;
}
