/*
 * Windows onto physical memory.
 *
 * The table holds the windows in address order; a new one takes the lowest gap that is large
 * enough at its alignment. The table changes under the paging lock's discipline: interrupts off.
 */
#include <mem/window.h>
#include "mem/layout.h"
#include <error.h>
#include <mem/mmu.h>
#include <mem/paging.h>
#include <panic.h>

#define FOUR_GIB (1ull << 32)

struct window {
    vaddr_t start, end; /* [start, end), multiples of the page size */
    vaddr_t address;    /* of the first byte that was asked for: the window's name */
    bool large;
};

static struct window windows[WINDOWS_MAX]; /* in address order */
static uint32_t window_count;
static paddr64_t large_end; /* large pages reach below this; 0: there are none */
static bool combines;       /* PAGE_WRITE_COMBINING works */

void window_init(uint32_t pse36_address_bits, bool write_combining)
{
    window_count = 0;
    combines = write_combining;
    large_end = pse36_address_bits == 0    ? 0
                : pse36_address_bits >= 40 ? 1ull << 40
                                           : 1ull << pse36_address_bits;
}

static uint32_t flags_of(enum window_type type)
{
    switch (type) {
    case WINDOW_MEMORY:
        return 0;
    case WINDOW_MEMORY_RW:
        return PAGE_WRITE;
    case WINDOW_FRAMEBUFFER:
        if (combines)
            return PAGE_WRITE | PAGE_WRITE_COMBINING;
        return PAGE_WRITE | PAGE_UNCACHED;
    case WINDOW_DEVICE:
        return PAGE_WRITE | PAGE_UNCACHED;
    }
    panic("unknown window type %d", (int)type);
}

static vaddr_t round_to(vaddr_t address, uint32_t alignment)
{
    return (address + alignment - 1) & ~(vaddr_t)(alignment - 1);
}

/*
 * Takes the lowest gap of `size` bytes, for a window whose first byte lies at `offset` in it; NULL
 * when there is none or the table is full.
 */
static struct window *take(uint32_t size, uint32_t alignment, uint32_t offset)
{
    vaddr_t start = WINDOWS_BASE;
    uint32_t i = 0;

    if (window_count == WINDOWS_MAX || size > WINDOWS_END - WINDOWS_BASE)
        return NULL;
    while (i < window_count && (start > windows[i].start || windows[i].start - start < size)) {
        start = round_to(windows[i].end, alignment);
        i++;
    }
    if (start > WINDOWS_END || WINDOWS_END - start < size)
        return NULL;

    for (uint32_t j = window_count; j > i; j--)
        windows[j] = windows[j - 1];
    window_count++;
    windows[i] =
        (struct window){ start, start + size, start + offset, alignment == LARGE_PAGE_SIZE };
    return &windows[i];
}

static void give_back(struct window *window)
{
    window_count--;
    for (struct window *w = window; w < windows + window_count; w++)
        w[0] = w[1];
}

static struct window take_locked(uint32_t size, uint32_t alignment, uint32_t offset)
{
    struct window copy = { 0, 0, 0, false };

    uint32_t state = mmu_lock();
    struct window *window = take(size, alignment, offset);
    if (window != NULL)
        copy = *window;
    mmu_unlock(state);
    return copy;
}

/* Index of the window that map_window() called `address`, or WINDOWS_MAX. */
static uint32_t find(vaddr_t address)
{
    for (uint32_t i = 0; i < window_count; i++) {
        if (windows[i].address == address)
            return i;
    }
    return WINDOWS_MAX;
}

static void give_back_locked(vaddr_t address)
{
    uint32_t state = mmu_lock();
    uint32_t i = find(address);
    if (i < WINDOWS_MAX)
        give_back(&windows[i]);
    mmu_unlock(state);
}

static void unmap_large(vaddr_t start, vaddr_t end)
{
    for (vaddr_t virt = start; virt < end; virt += LARGE_PAGE_SIZE) {
        int error = unmap_large_page(virt);
        ASSERT(error == OK);
    }
}

static int map_large(const struct window *window, paddr64_t phys, uint32_t flags)
{
    for (vaddr_t virt = window->start; virt < window->end; virt += LARGE_PAGE_SIZE) {
        int error = map_large_page(virt, phys + (virt - window->start), flags);
        if (error != OK) {
            unmap_large(window->start, virt);
            return error;
        }
    }
    return OK;
}

void *map_window(paddr64_t phys, uint32_t length, enum window_type type)
{
    paddr64_t end = phys + length;
    bool large = end > FOUR_GIB;
    uint32_t page = large ? LARGE_PAGE_SIZE : PAGE_SIZE;

    if (length == 0 || end < phys || (large && end > large_end))
        return NULL;

    paddr64_t first = phys & ~(paddr64_t)(page - 1);
    paddr64_t size = ((end + page - 1) & ~(paddr64_t)(page - 1)) - first;
    if (size > WINDOWS_END - WINDOWS_BASE)
        return NULL;

    struct window window = take_locked((uint32_t)size, page, (uint32_t)(phys - first));
    if (window.start == 0)
        return NULL;

    int error = large ? map_large(&window, first, flags_of(type))
                      : map_range(window.start, (paddr_t)first, (uint32_t)(size / PAGE_SIZE),
                                  flags_of(type));
    if (error != OK) {
        give_back_locked(window.address);
        return NULL;
    }
    return (void *)window.address;
}

void unmap_window(const void *address)
{
    struct window window = { 0, 0, 0, false };

    uint32_t state = mmu_lock();
    uint32_t i = find((vaddr_t)address);
    if (i < WINDOWS_MAX)
        window = windows[i];
    mmu_unlock(state);
    if (window.start == 0)
        panic_about((vaddr_t)address, "unmap_window: there is no window at %p", address);

    /* The addresses stay taken until nothing is mapped there any more. */
    if (window.large)
        unmap_large(window.start, window.end);
    else
        unmap_range(window.start, (uint32_t)(window.end - window.start) / PAGE_SIZE);
    give_back_locked(window.address);
}

bool window_find(vaddr_t address, vaddr_t *start, vaddr_t *end)
{
    for (uint32_t i = 0; i < window_count && i < WINDOWS_MAX; i++) {
        if (address >= windows[i].start && address < windows[i].end) {
            *start = windows[i].start;
            *end = windows[i].end;
            return true;
        }
    }
    return false;
}

/* Whether nothing is mapped in [start, end). */
static bool nothing_mapped(vaddr_t start, vaddr_t end)
{
    struct mapped_page page;
    return !paging_next_page(start, &page) || page.virt >= end;
}

static enum window_fault validate_window(const struct window *window)
{
    uint32_t step = window->large ? LARGE_PAGE_SIZE : PAGE_SIZE;

    for (vaddr_t virt = window->start; virt < window->end; virt += step) {
        struct translation to = translate(virt);
        if (!to.mapped || to.large != window->large)
            return WINDOW_UNMAPPED;
    }
    return WINDOW_SOUND;
}

enum window_fault window_validate(void)
{
    vaddr_t before = WINDOWS_BASE;

    for (uint32_t i = 0; i < window_count; i++) {
        const struct window *window = &windows[i];

        if (window->start < before || window->end <= window->start || window->end > WINDOWS_END)
            return WINDOW_ORDER;
        if (!nothing_mapped(before, window->start))
            return WINDOW_STRAY;
        enum window_fault fault = validate_window(window);
        if (fault != WINDOW_SOUND)
            return fault;
        before = window->end;
    }
    return nothing_mapped(before, WINDOWS_END) ? WINDOW_SOUND : WINDOW_STRAY;
}
