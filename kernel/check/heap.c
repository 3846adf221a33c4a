/*
 * kmalloc and kfree of the checking build, on top of the bare heap.
 *
 *     bare block:  | struct check_block | what was asked for | 16 bytes or more |
 *     shadow:        HEAP_LEFT            0, then 1 to 7       HEAP_RIGHT
 *
 * What was freed is filled with a pattern, forbidden, and kept in quarantine for a while, so that
 * whoever still uses it is caught. The quarantine is bounded, and gives its oldest blocks back to
 * the heap when there is no other memory. All other memory of the heap is forbidden too: nobody but
 * the heap itself touches it, and that is not checked here.
 *
 * Patterns are for what is not checked: assembly, devices, and this file's own mistakes.
 *
 * Locking: the spinlock guards both lists. A block that is in neither belongs to who took it out.
 */
#include "check/heap.h"
#include "check/place.h"
#include "check/report.h"
#include "check/shadow.h"
#include "mem/heap_core.h"
#include "mem/layout.h"
#include <check.h>
#include <heap.h>
#include <lib/bits.h>
#include <lib/string.h>
#include <mem/paging.h>
#include <mem/starve.h>
#include <panic.h>
#include <sched/spinlock.h>

#define RIGHT_ZONE     16u /* at least; what the block lacks to a multiple of 8 comes on top */
#define QUARANTINE_MAX (256 * KIB) /* bytes, red zones included */

#define FILL_ALLOCATED 0xa5
#define FILL_FREED     0xd5
#define FILL_ZONE      0xc5

typedef uint32_t __attribute__((may_alias)) word;

static struct spinlock lock;
static struct list live = LIST_INITIALIZER(live);
static struct list quarantine = LIST_INITIALIZER(quarantine); /* oldest first */
static size_t quarantined;                                    /* bytes */

/* ---- Finding blocks ---- */

static bool in_window(vaddr_t address)
{
    return address - HEAP_BASE < HEAP_MAX;
}

/* Where the block begins before whose start, or in or behind which, `address` lies; 0: nowhere. */
static vaddr_t find_start(vaddr_t address)
{
    vaddr_t at = round_down(address, GRANULE);

    if (*shadow_of(at) == SHADOW_HEAP_LEFT) {
        while (in_window(at) && *shadow_of(at) == SHADOW_HEAP_LEFT)
            at += GRANULE;
        return at;
    }
    while (in_window(at) && *shadow_of(at) != SHADOW_HEAP_LEFT &&
           *shadow_of(at) != SHADOW_HEAP_NONE)
        at -= GRANULE;
    return in_window(at) && *shadow_of(at) == SHADOW_HEAP_LEFT ? at + GRANULE : 0;
}

const struct check_block *check_block_find(vaddr_t address)
{
    vaddr_t start = in_window(address) ? find_start(address) : 0;
    const struct check_block *block = (const struct check_block *)start - 1;

    if (start == 0 || !translate((vaddr_t)block).mapped)
        return NULL;
    return block->magic == BLOCK_LIVE || block->magic == BLOCK_FREED ? block : NULL;
}

bool check_find_block(vaddr_t address, struct check_block_place *place)
{
    const struct check_block *block = check_block_find(address);

    if (block == NULL)
        return false;
    *place = (struct check_block_place){
        .start = check_block_start(block),
        .size = block->size,
        .live = block->magic == BLOCK_LIVE,
        .allocated = block->allocated.calls[0],
        .freed = block->magic == BLOCK_FREED ? block->freed.calls[0] : 0,
    };
    return true;
}

/* The block that begins at `ptr`, live or freed; NULL if none does. Any address is allowed. */
static struct check_block *block_from(const void *ptr)
{
    vaddr_t start = (vaddr_t)ptr;
    struct check_block *block = (struct check_block *)start - 1;

    if (!in_window(start - GRANULE) || start % GRANULE != 0 ||
        *shadow_of(start - GRANULE) != SHADOW_HEAP_LEFT || *shadow_of(start) == SHADOW_HEAP_LEFT)
        return NULL;
    return block->magic == BLOCK_LIVE || block->magic == BLOCK_FREED ? block : NULL;
}

/* ---- Patterns ---- */

static bool is_filled(vaddr_t start, size_t size, uint8_t value)
{
    const uint8_t *bytes = (const uint8_t *)start;
    word pattern = value * 0x01010101u;
    size_t i = 0;

    if (start % sizeof(word) == 0) {
        while (i + sizeof(word) <= size && *(const word *)&bytes[i] == pattern)
            i += sizeof(word);
    }
    while (i < size && bytes[i] == value)
        i++;
    return i == size;
}

/* Says what is wrong with a block's patterns, NULL if nothing is. */
static const char *damage(const struct check_block *block)
{
    vaddr_t start = check_block_start(block);

    if (!is_filled(start + block->size, block->room - block->size, FILL_ZONE))
        return "heap overflow: the red zone was written to behind the block at";
    if (block->magic == BLOCK_FREED && !is_filled(start, block->size, FILL_FREED))
        return "use after free: written to after it was freed was the block at";
    return NULL;
}

/* Panics if a block's patterns are damaged: by something that is not checked when it happens. */
static void check_patterns(const struct check_block *block)
{
    const char *what = damage(block);

    if (what == NULL || check_catch_report(what))
        return;
    check_details_of(check_block_start(block));
    panic("%s 0x%08x", what, (uint32_t)check_block_start(block));
}

/* ---- The life of a block ---- */

/* Allows `size` bytes, and makes the rest of the room the red zone behind them. */
static void set_size(struct check_block *block, size_t size)
{
    vaddr_t start = check_block_start(block);
    size_t whole = round_up(size, GRANULE);

    block->size = size;
    shadow_allow(start, size);
    shadow_forbid(start + whole, block->room - whole, SHADOW_HEAP_RIGHT);
    memset((void *)(start + size), FILL_ZONE, block->room - size);
}

/* Makes a block of `room` bytes behind the red zone that begins at `bare`. */
static struct check_block *make_block(void *bare, vaddr_t start, size_t room, const void *frame)
{
    struct check_block *block = (struct check_block *)start - 1;

    shadow_forbid((vaddr_t)bare, start - (vaddr_t)bare, SHADOW_HEAP_LEFT);
    *block = (struct check_block){ .magic = BLOCK_LIVE, .bare = bare, .room = room };
    list_init(&block->list);
    check_trace_take(&block->allocated, frame);
    return block;
}

/* Gives a block that is in no list back to the heap. */
static void give_back(struct check_block *block)
{
    vaddr_t bare = (vaddr_t)block->bare;

    check_patterns(block);
    block->magic = 0;
    shadow_forbid(bare, check_block_start(block) + block->room - bare, SHADOW_HEAP_NONE);
    heap_free((void *)bare);
}

/* Takes the oldest block out of the quarantine if that holds more than `keep` bytes. */
static bool release_oldest(size_t keep)
{
    struct check_block *block = NULL;

    uint32_t flags = spin_lock(&lock);
    if (quarantined > keep) {
        block = LIST_ENTRY(list_pop_front(&quarantine), struct check_block, list);
        quarantined -= block->room;
    }
    spin_unlock(&lock, flags);
    if (block != NULL)
        give_back(block);
    return block != NULL;
}

void check_heap_drain(void)
{
    while (release_oldest(0))
        ;
}

/* ---- Allocating ---- */

static void *allocate(size_t size, size_t align, const void *frame)
{
    size_t before = round_up(sizeof(struct check_block), align);
    size_t room = round_up(size, GRANULE) + RIGHT_ZONE;
    void *bare;

    if (size - 1 >= HEAP_MAX || starves(STARVE_BLOCK))
        return NULL;
    do
        bare =
            align > GRANULE ? heap_alloc_aligned(before + room, align) : heap_alloc(before + room);
    while (bare == NULL && release_oldest(0));
    if (bare == NULL)
        return NULL;

    struct check_block *block = make_block(bare, (vaddr_t)bare + before, room, frame);
    set_size(block, size);
    memset(block + 1, FILL_ALLOCATED, size);
    uint32_t flags = spin_lock(&lock);
    list_push_back(&live, &block->list);
    spin_unlock(&lock, flags);
    return block + 1;
}

void *kmalloc(size_t size)
{
    return allocate(size, GRANULE, __builtin_frame_address(0));
}

void *kmalloc_aligned(size_t size, size_t align)
{
    if (!is_power_of_two(align) || align > HEAP_MAX_ALIGN)
        return NULL;
    return allocate(size, align < GRANULE ? GRANULE : align, __builtin_frame_address(0));
}

void *kcalloc(size_t count, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    void *ptr = allocate(total, GRANULE, __builtin_frame_address(0));
    if (ptr != NULL)
        memset(ptr, 0, total);
    return ptr;
}

/* ---- Freeing ---- */

/* Panics: `ptr` is no live block, which it was to be. True if a test has caught it. */
static bool reject(const void *ptr, const char *caller)
{
    const struct check_block *block = block_from(ptr);
    const char *what = block != NULL ? "double free" : "invalid free";
    const char *why = block != NULL                    ? "which was freed already"
                      : check_block_find((vaddr_t)ptr) ? "which lies inside a block"
                                                       : "which is not from the heap";

    if (check_catch_report(what))
        return true;
    check_details_of((vaddr_t)ptr);
    panic("%s: %s of %p, %s", caller, what, ptr, why);
}

/* Takes a live block out of the list, for the caller alone; NULL if `ptr` is none. */
static struct check_block *take(const void *ptr)
{
    uint32_t flags = spin_lock(&lock);
    struct check_block *block = block_from(ptr);
    bool is_live = block != NULL && block->magic == BLOCK_LIVE;
    if (is_live) {
        block->magic = BLOCK_FREED;
        list_remove(&block->list);
    }
    spin_unlock(&lock, flags);
    return is_live ? block : NULL;
}

static void free_from(void *ptr, const void *frame)
{
    struct check_block *block = take(ptr);

    if (block == NULL) {
        reject(ptr, "kfree");
        return;
    }
    check_trace_take(&block->freed, frame);
    memset(ptr, FILL_FREED, block->size);
    check_patterns(block);
    shadow_forbid((vaddr_t)ptr, round_up(block->size, GRANULE), SHADOW_HEAP_FREED);

    uint32_t flags = spin_lock(&lock);
    list_push_back(&quarantine, &block->list);
    quarantined += block->room;
    spin_unlock(&lock, flags);
    while (release_oldest(QUARANTINE_MAX))
        ;
}

void kfree(void *ptr)
{
    if (ptr != NULL)
        free_from(ptr, __builtin_frame_address(0));
}

/* A block shrinks where it is, and else moves: whoever keeps its old address is caught. */
void *krealloc(void *ptr, size_t size)
{
    const void *frame = __builtin_frame_address(0);
    struct check_block *block = block_from(ptr);

    if (ptr == NULL)
        return allocate(size, GRANULE, frame);
    if (block == NULL || block->magic != BLOCK_LIVE) {
        reject(ptr, "krealloc");
        return NULL;
    }
    if (size == 0) {
        free_from(ptr, frame);
        return NULL;
    }
    if (size <= block->size) {
        if (starves(STARVE_BLOCK))
            return NULL;
        set_size(block, size);
        return ptr;
    }
    void *copy = allocate(size, GRANULE, frame);
    if (copy != NULL) {
        memcpy(copy, ptr, block->size);
        free_from(ptr, frame);
    }
    return copy;
}

/* ---- Looking at it ---- */

size_t kmalloc_usable_size(const void *ptr)
{
    const struct check_block *block = block_from(ptr);

    if (block != NULL && block->magic == BLOCK_LIVE)
        return block->size;
    reject(ptr, "kmalloc_usable_size");
    return 0;
}

bool heap_is_live(const void *ptr)
{
    const struct check_block *block = block_from(ptr);

    return block != NULL && block->magic == BLOCK_LIVE;
}

/*
 * What the heap below has given: the block that was made of it, or no block of ours, as those of
 * the memory laboratory. False for what is in quarantine.
 */
static bool describe_bare(vaddr_t bare, size_t room, struct heap_allocation *allocation)
{
    const struct check_block *block = check_block_find(bare);

    if (block == NULL)
        *allocation = (struct heap_allocation){ bare, room, 0 };
    else
        *allocation = (struct heap_allocation){ check_block_start(block), block->size,
                                                block->allocated.calls[0] };
    return block == NULL || block->magic == BLOCK_LIVE;
}

bool heap_next_allocation(vaddr_t payload, struct heap_allocation *allocation)
{
    uint32_t flags = heap_lock();
    const struct check_block *before = check_block_find(payload);
    vaddr_t bare = before != NULL ? (vaddr_t)before->bare : payload;
    size_t room = 0;
    bool found;

    do
        found = heap_live_behind(bare, &bare, &room);
    while (found && !describe_bare(bare, room, allocation));
    heap_unlock(flags);
    return found;
}

/* Looks at the blocks of a list; adds their number to *blocks. The caller holds the lock. */
static const struct check_block *find_damaged(struct list *list, size_t *blocks)
{
    struct check_block *block;

    LIST_FOR_EACH_ENTRY(block, list, list) {
        if (damage(block) != NULL)
            return block;
        ++*blocks;
    }
    return NULL;
}

const char *check_heap_validate(struct check_heap_figures *figures)
{
    *figures = (struct check_heap_figures){ 0 };
    uint32_t flags = spin_lock(&lock);
    const struct check_block *damaged = find_damaged(&live, &figures->live);
    if (damaged == NULL)
        damaged = find_damaged(&quarantine, &figures->quarantined);
    figures->bytes = quarantined;
    const char *what = damaged != NULL ? damage(damaged) : NULL;
    figures->damaged = damaged != NULL ? check_block_start(damaged) : 0;
    spin_unlock(&lock, flags);
    return what;
}
