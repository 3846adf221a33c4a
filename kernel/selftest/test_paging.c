/*
 * Tests of paging and windows as the CPU sees them: through the addresses themselves, not only
 * through the tables.
 */
#include <selftest.h>
#include "mem/layout.h"
#include "selftest/support.h"
#include <boot_info.h>
#include <error.h>
#include <lib/string.h>
#include <mem/paging.h>
#include <mem/pmm.h>
#include <mem/sections.h>
#include <mem/window.h>
#include <sched/thread.h>
#include <x86/cpu.h>

#define FOUR_GIB (1ull << 32)

/* Keeps the compiler from assuming what memory holds that changes behind its back. */
static volatile uint32_t *words_at(vaddr_t address)
{
    return (volatile uint32_t *)address;
}

/* ---- The address space as it stands ---- */

SELFTEST(paging_sound, "paging: the tables agree with their figures")
{
    EXPECT(paging_enabled());
    EXPECT(cpu_read_cr0() & CR0_PG);
    EXPECT(paging_validate() == PAGING_SOUND);
    EXPECT(paging_owns_frame(cpu_read_cr3() & PAGE_MASK));
    return NULL;
}

SELFTEST(paging_page_0, "paging: page 0 is not mapped and cannot be")
{
    EXPECT(!translate(0).mapped);
    EXPECT(!translate(PAGE_SIZE - 1).mapped);
    EXPECT(map_page(0, 0, 0) == ERR_RANGE);
    EXPECT(!translate(0).mapped);
    return NULL;
}

SELFTEST(paging_identity, "paging: the identity mapping is complete and ends where it should")
{
    paddr_t end = paging_identity_end();

    EXPECT(end == (pmm_phys_limit() < HEAP_BASE ? pmm_phys_limit() : HEAP_BASE));
    for (vaddr_t page = PAGE_SIZE; page < end; page += PAGE_SIZE) {
        struct translation to = translate(page);
        if (page == (vaddr_t)_boot_stack_guard)
            continue;
        EXPECT(to.mapped && !to.large);
        EXPECT(to.phys == page);
    }
    EXPECT(end == HEAP_BASE || !translate(end).mapped);
    return NULL;
}

static bool read_only(const char *start, const char *end)
{
    for (vaddr_t page = (vaddr_t)start; page < (vaddr_t)end; page += PAGE_SIZE) {
        struct translation to = translate(page);
        if (!to.mapped || (to.flags & PAGE_WRITE) || to.phys != page)
            return false;
    }
    return start < end;
}

SELFTEST(paging_protection, "paging: kernel text and read-only data are protected, data is not")
{
    EXPECT(cpu_read_cr0() & CR0_WP);
    EXPECT(read_only(_text_start, _text_end));
    EXPECT(read_only(_rodata_start, _rodata_end));
    EXPECT(read_only((const char *)PAGE_SIZE, (const char *)VGA_MEMORY_START));
    EXPECT(read_only((const char *)VGA_MEMORY_END, (const char *)LOW_MEMORY_END));
    EXPECT(translate((vaddr_t)_rodata_end).flags & PAGE_WRITE);
    EXPECT(translate((vaddr_t)_boot_stack_bottom).flags & PAGE_WRITE);
    EXPECT(translate(VGA_MEMORY_START).flags & PAGE_WRITE);
    return NULL;
}

SELFTEST(paging_guards, "paging: every stack is mapped, and the page below it is not")
{
    struct thread_info info;

    EXPECT(!translate((vaddr_t)_boot_stack_guard).mapped);
    for (uint32_t id = 0; thread_next(id, &info); id = info.id + 1) {
        EXPECT(!translate(info.stack - 1).mapped);
        EXPECT(!translate(info.stack - PAGE_SIZE).mapped);
        for (vaddr_t page = info.stack; page < info.stack + STACK_SIZE; page += PAGE_SIZE)
            EXPECT(translate(page).mapped && (translate(page).flags & PAGE_WRITE));
    }
    return NULL;
}

/* ---- Mapping and unmapping ---- */

/* Two frames with known words in them, and a stretch of SPACE_TABLES tables that maps nothing. */
#define SPACE_TABLES 4u

struct sandbox {
    vaddr_t space;
    paddr_t frame[2];
};

typedef const char *sandbox_test(const struct sandbox *box);

static const char *run_in_sandbox(sandbox_test *test)
{
    struct sandbox box = { unused_space(SPACE_TABLES), { pmm_alloc_frame(), pmm_alloc_frame() } };
    const char *wrong = "fewer than two frames are free";

    if (box.frame[0] != 0 && box.frame[1] != 0 && box.space != 0) {
        *words_at(box.frame[0]) = 0x11111111;
        *words_at(box.frame[1]) = 0x22222222;
        wrong = test(&box);
        unmap_everything(box.space, box.space + SPACE_TABLES * LARGE_PAGE_SIZE);
    }
    for (uint32_t i = 0; i < 2; i++) {
        if (box.frame[i] != 0)
            pmm_free_frame(box.frame[i]);
    }
    return wrong != NULL || paging_validate() == PAGING_SOUND ? wrong : "the tables are not sound";
}

static const char *two_addresses(const struct sandbox *box)
{
    vaddr_t a = box->space + 5 * PAGE_SIZE, b = box->space + LARGE_PAGE_SIZE;

    EXPECT(map_page(a, box->frame[0], PAGE_WRITE) == OK);
    EXPECT(map_page(b, box->frame[0], PAGE_WRITE) == OK);
    EXPECT(*words_at(a) == 0x11111111);
    *words_at(a) = 0x33333333;
    EXPECT(*words_at(b) == 0x33333333);
    *words_at(b) = 0x44444444;
    EXPECT(*words_at(a) == 0x44444444);
    EXPECT(*words_at(box->frame[0]) == 0x44444444);
    EXPECT(*words_at(box->frame[1]) == 0x22222222);
    return NULL;
}

SELFTEST(paging_two_addresses, "paging: a frame mapped twice is seen through both addresses")
{
    return run_in_sandbox(two_addresses);
}

static const char *remap(const struct sandbox *box)
{
    vaddr_t page = box->space + 7 * PAGE_SIZE;

    /* A neighbour keeps the table, so that only the entry changes. */
    EXPECT(map_page(page + PAGE_SIZE, box->frame[0], 0) == OK);
    for (uint32_t round = 0; round < 4; round++) {
        EXPECT(map_page(page, box->frame[round % 2], PAGE_WRITE) == OK);
        EXPECT(*words_at(page) == *words_at(box->frame[round % 2]));
        *words_at(page) += round;
        EXPECT(*words_at(page) == *words_at(box->frame[round % 2]));
        EXPECT(unmap_page(page) == OK);
        EXPECT(!translate(page).mapped);
    }
    return NULL;
}

SELFTEST(paging_remap, "paging: a page mapped elsewhere is seen there at once")
{
    return run_in_sandbox(remap);
}

/*
 * `pages` pages are mapped, written to, and seen a second time from `view` on. Mapped again with
 * other frames, they must not lead to the old ones any more:
 *
 *   pages:  old frames -> new frames       view:  old frames
 */
static const char *remap_range(vaddr_t start, vaddr_t view, uint32_t pages)
{
    EXPECT(map_new_pages(start, pages, PAGE_WRITE, FRAME_KERNEL) == OK);
    for (uint32_t i = 0; i < pages; i++) {
        *words_at(start + i * PAGE_SIZE) = i;
        EXPECT(map_page(view + i * PAGE_SIZE, (paddr_t)translate(start + i * PAGE_SIZE).phys, 0) ==
               OK);
    }
    unmap_range(start, pages);
    EXPECT(map_new_pages(start, pages, PAGE_WRITE, FRAME_KERNEL) == OK);
    for (uint32_t i = 0; i < pages; i++)
        *words_at(start + i * PAGE_SIZE) = ~i;
    for (uint32_t i = 0; i < pages; i++) {
        EXPECT(*words_at(start + i * PAGE_SIZE) == ~i);
        EXPECT(*words_at(view + i * PAGE_SIZE) == i);
    }
    unmap_and_free_pages(start, pages, FRAME_KERNEL);
    unmap_and_free_pages(view, pages, FRAME_KERNEL);
    return NULL;
}

/* Few pages over a table's border, and so many in one table that the whole TLB is dropped. */
static const char *remap_ranges(const struct sandbox *box)
{
    vaddr_t keeper = box->space + LARGE_PAGE_SIZE / 2;
    vaddr_t view = box->space + 2 * LARGE_PAGE_SIZE;
    struct figures before = figures_take();

    /* Neighbours keep the tables, so that only the entries change. */
    for (uint32_t i = 0; i < SPACE_TABLES; i++)
        EXPECT(map_page(keeper + i * LARGE_PAGE_SIZE, box->frame[0], 0) == OK);
    const char *few = remap_range(box->space + LARGE_PAGE_SIZE - 2 * PAGE_SIZE, view, 4);
    const char *many = remap_range(box->space, view, 48);
    for (uint32_t i = 0; i < SPACE_TABLES; i++)
        EXPECT(unmap_page(keeper + i * LARGE_PAGE_SIZE) == OK);
    if (few != NULL || many != NULL)
        return few != NULL ? few : many;
    return figures_compare(&before);
}

SELFTEST(paging_remap_range, "paging: so is a range, by single pages and by the whole TLB")
{
    return run_in_sandbox(remap_ranges);
}

static const char *translations(const struct sandbox *box)
{
    vaddr_t page = box->space + 9 * PAGE_SIZE;

    EXPECT(map_page(page, box->frame[0], PAGE_CACHE_DISABLE) == OK);
    EXPECT(translate(page + 0x123).mapped);
    EXPECT(translate(page + 0x123).phys == box->frame[0] + 0x123);
    EXPECT(translate(page).flags == PAGE_CACHE_DISABLE);
    EXPECT(!translate(page - 1).mapped && !translate(page + PAGE_SIZE).mapped);

    EXPECT(map_page(page, box->frame[1], PAGE_WRITE) == ERR_MAPPED);
    EXPECT(translate(page).phys == box->frame[0]);
    EXPECT(unmap_page(page) == OK);
    EXPECT(unmap_page(page) == ERR_NOT_MAPPED);
    return NULL;
}

SELFTEST(paging_translate, "paging: translate tells address and flags")
{
    return run_in_sandbox(translations);
}

static const char *refusals(const struct sandbox *box)
{
    EXPECT(map_page(box->space + 1, box->frame[0], 0) == ERR_UNALIGNED);
    EXPECT(map_page(box->space, box->frame[0] + 8, 0) == ERR_UNALIGNED);
    EXPECT(map_page(box->space, box->frame[0], 1u << 7) == ERR_RANGE);
    EXPECT(unmap_page(box->space + 1) == ERR_UNALIGNED);
    EXPECT(unmap_page(box->space) == ERR_NOT_MAPPED);
    EXPECT(map_range(box->space, 0xffffe000, 3, 0) == ERR_RANGE);
    EXPECT(map_range(0xffffe000, box->frame[0], 3, 0) == ERR_RANGE);
    EXPECT(!translate(box->space).mapped);
    return NULL;
}

SELFTEST(paging_refusals, "paging: impossible mappings are refused")
{
    return run_in_sandbox(refusals);
}

static const char *tables_come_and_go(const struct sandbox *box)
{
    uint32_t tables = paging_table_frames();

    for (uint32_t i = 0; i < SPACE_TABLES; i++) {
        EXPECT(map_page(box->space + i * LARGE_PAGE_SIZE, box->frame[0], 0) == OK);
        EXPECT(paging_table_frames() == tables + i + 1);
    }
    EXPECT(map_page(box->space + PAGE_SIZE, box->frame[0], 0) == OK);
    EXPECT(paging_table_frames() == tables + SPACE_TABLES);
    EXPECT(unmap_page(box->space) == OK);
    EXPECT(paging_table_frames() == tables + SPACE_TABLES);
    EXPECT(unmap_page(box->space + PAGE_SIZE) == OK);
    EXPECT(paging_table_frames() == tables + SPACE_TABLES - 1);
    for (uint32_t i = 1; i < SPACE_TABLES; i++)
        EXPECT(unmap_page(box->space + i * LARGE_PAGE_SIZE) == OK);
    EXPECT(paging_table_frames() == tables);
    return NULL;
}

SELFTEST(paging_tables, "paging: page tables come with the first page and go with the last")
{
    return run_in_sandbox(tables_come_and_go);
}

/* A range that runs into something mapped: the part before it must not stay. */
static const char *range_into_page(const struct sandbox *box)
{
    vaddr_t start = box->space + LARGE_PAGE_SIZE - 2 * PAGE_SIZE;

    EXPECT(map_page(start + 3 * PAGE_SIZE, box->frame[0], 0) == OK);
    EXPECT(map_range(start, box->frame[0], 4, 0) == ERR_MAPPED);
    for (uint32_t i = 0; i < 3; i++)
        EXPECT(!translate(start + i * PAGE_SIZE).mapped);
    EXPECT(translate(start + 3 * PAGE_SIZE).mapped);
    return NULL;
}

SELFTEST(paging_range_into_page, "paging: a range that meets a mapping is undone")
{
    return run_in_sandbox(range_into_page);
}

/*
 * All low frames are gone, so that tables can come from the pool only. One page in each of the
 * tables is mapped until that is empty too; then a range that needs one more table.
 */
static const char *range_without_frames(vaddr_t space, paddr_t frame, uint32_t tables)
{
    uint32_t i = 1; /* the first table is there */
    int error = OK;

    while (i < tables && (error = map_page(space + i * LARGE_PAGE_SIZE, frame, 0)) == OK)
        i++;
    EXPECT(error == ERR_NO_MEMORY);

    uint32_t count = paging_table_frames();
    vaddr_t end = space + i * LARGE_PAGE_SIZE; /* behind the last table */
    EXPECT(map_range(end - 2 * PAGE_SIZE, frame, 2, 0) == OK);
    unmap_range(end - 2 * PAGE_SIZE, 2);
    EXPECT(map_range(end - 2 * PAGE_SIZE, frame, 3, 0) == ERR_NO_MEMORY);
    EXPECT(!translate(end - 2 * PAGE_SIZE).mapped);
    EXPECT(!translate(end - PAGE_SIZE).mapped);
    EXPECT(!translate(end).mapped);
    EXPECT(paging_table_frames() == count);
    EXPECT(paging_validate() == PAGING_SOUND);
    return NULL;
}

SELFTEST(paging_no_frames, "paging: a range that finds no frame for a table is undone")
{
    const uint32_t tables = MAX_BOOTSTRAP_TABLES + 2;
    vaddr_t space = unused_space(tables);
    struct hoard hoard = { 0, 0 };

    EXPECT(space != 0);
    EXPECT(map_page(space, LOW_MEMORY_END, 0) == OK);
    hoard_low_frames(&hoard);
    const char *wrong = range_without_frames(space, LOW_MEMORY_END, tables);
    unmap_everything(space, space + tables * LARGE_PAGE_SIZE);
    const char *lost = hoard_release(&hoard);
    return wrong != NULL ? wrong : lost;
}

/* ---- Windows ---- */

SELFTEST(window_boot_info, "window: the Multiboot2 block is seen through a second window")
{
    paddr_t start = boot_info_start();
    uint32_t size = boot_info_end() - start;
    const void *window = map_window(start, size, WINDOW_MEMORY);

    EXPECT(window != NULL);
    vaddr_t address = (vaddr_t)window;
    struct translation to = translate(address), last = translate(address + size - 1);
    int differs = memcmp(window, boot_info()->info, size);
    unmap_window(window);

    EXPECT(differs == 0);
    EXPECT(window != boot_info()->info);
    EXPECT(address >= WINDOWS_BASE && address + size <= WINDOWS_END);
    EXPECT(to.phys == start && last.phys == start + size - 1);
    EXPECT(!(to.flags & PAGE_WRITE));
    EXPECT(!translate(address).mapped);
    return NULL;
}

SELFTEST(window_device, "window: device memory is writable and not cached")
{
    void *window = map_window(VGA_MEMORY_START, VGA_MEMORY_END - VGA_MEMORY_START, WINDOW_DEVICE);

    EXPECT(window != NULL);
    struct translation first = translate((vaddr_t)window);
    struct translation last = translate((vaddr_t)window + VGA_MEMORY_END - VGA_MEMORY_START - 1);
    unmap_window(window);

    EXPECT(first.phys == VGA_MEMORY_START && last.phys == VGA_MEMORY_END - 1);
    EXPECT((first.flags & PAGE_WRITE) && (first.flags & PAGE_CACHE_DISABLE));
    EXPECT(!translate((vaddr_t)window).mapped);
    return NULL;
}

SELFTEST(window_framebuffer, "window: a framebuffer's is write-combining where there is a PAT")
{
    void *window = map_window(VGA_MEMORY_START, PAGE_SIZE, WINDOW_FRAMEBUFFER);

    EXPECT(window != NULL);
    struct translation to = translate((vaddr_t)window);
    unmap_window(window);
    EXPECT(to.flags == (PAGE_WRITE | (cpu.has_pat ? PAGE_WRITE_COMBINING : PAGE_UNCACHED)));
    return NULL;
}

/* A window from the middle of a frame to its end, or across it into the next one. */
static const char *unaligned(const struct sandbox *box)
{
    uint32_t offset = PAGE_SIZE - 8;
    uint32_t *rw = map_window(box->frame[0] + offset, 8, WINDOW_MEMORY_RW);
    const void *across = map_window(box->frame[0] + offset, 9, WINDOW_MEMORY);

    if (rw != NULL) {
        rw[0] = 0x55555555;
        rw[1] = 0x66666666;
    }
    bool seen = across != NULL && memcmp(rw, across, 8) == 0;
    struct translation first = translate((vaddr_t)rw), last = translate((vaddr_t)across + 8);
    struct translation behind = translate((vaddr_t)rw + 8);
    if (rw != NULL)
        unmap_window(rw);
    if (across != NULL)
        unmap_window(across);

    EXPECT(rw != NULL && across != NULL);
    EXPECT((vaddr_t)rw % PAGE_SIZE == offset);
    EXPECT(seen);
    EXPECT(words_at(box->frame[0] + offset)[1] == 0x66666666);
    EXPECT(first.phys == box->frame[0] + offset && (first.flags & PAGE_WRITE));
    EXPECT(last.phys == box->frame[0] + PAGE_SIZE && !(last.flags & PAGE_WRITE));
    EXPECT(!behind.mapped || behind.phys != box->frame[0] + PAGE_SIZE ||
           (vaddr_t)across == (vaddr_t)rw + PAGE_SIZE);
    EXPECT(!translate((vaddr_t)rw).mapped && !translate((vaddr_t)across).mapped);
    return NULL;
}

SELFTEST(window_unaligned, "window: it may begin and end inside a page")
{
    return run_in_sandbox(unaligned);
}

/* The first address that no window can reach. */
static paddr64_t reach(void)
{
    uint32_t bits = cpu.physical_address_bits < 40 ? cpu.physical_address_bits : 40;
    return cpu.has_pse36 && bits > 32 ? 1ull << bits : FOUR_GIB;
}

SELFTEST(window_refusals, "window: what is empty, wraps or is out of the CPU's reach is refused")
{
    struct figures before = figures_take();

    EXPECT(map_window(LOW_MEMORY_END, 0, WINDOW_MEMORY) == NULL);
    EXPECT(map_window(~0ull, 2, WINDOW_MEMORY) == NULL);
    EXPECT(map_window(reach(), 1, WINDOW_MEMORY) == NULL);
    EXPECT(map_window(reach() - 1, 2, WINDOW_MEMORY) == NULL);
    EXPECT(map_window(1ull << 40, PAGE_SIZE, WINDOW_MEMORY) == NULL);
    EXPECT(map_window(0, WINDOWS_END - WINDOWS_BASE + 1, WINDOW_MEMORY) == NULL);
    EXPECT(map_window(0, 0xffffffff, WINDOW_MEMORY) == NULL);
    return figures_compare(&before);
}

/* A window that needs more page tables than there are frames: what was mapped goes again. */
static const char *large_window_without_frames(void)
{
    const void *before = map_window(LOW_MEMORY_END, 1, WINDOW_MEMORY);
    if (before != NULL)
        unmap_window(before);
    const void *large =
        map_window(0x80000000, (MAX_BOOTSTRAP_TABLES + 2) * LARGE_PAGE_SIZE, WINDOW_DEVICE);
    if (large != NULL)
        unmap_window(large);
    const void *after = map_window(LOW_MEMORY_END, 1, WINDOW_MEMORY);
    if (after != NULL)
        unmap_window(after);

    EXPECT(large == NULL);
    EXPECT(before != NULL && after == before);
    return NULL;
}

SELFTEST(window_no_frames, "window: one that finds no frames for its tables leaves nothing behind")
{
    uint32_t tables = paging_table_frames();
    struct hoard hoard = { 0, 0 };

    hoard_low_frames(&hoard);
    const char *wrong = large_window_without_frames();
    const char *lost = hoard_release(&hoard);
    EXPECT(paging_table_frames() == tables);
    return wrong != NULL ? wrong : lost;
}

static const char *until_the_table_is_full(void *windows[], uint32_t *count)
{
    while (*count < WINDOWS_MAX) {
        windows[*count] = map_window(LOW_MEMORY_END, 1, WINDOW_MEMORY);
        if (windows[*count] == NULL)
            break;
        for (uint32_t i = 0; i < *count; i++)
            EXPECT(windows[i] != windows[*count]);
        ++*count;
    }
    EXPECT(*count > 0);
    EXPECT(map_window(LOW_MEMORY_END, 1, WINDOW_MEMORY) == NULL);
    return NULL;
}

SELFTEST(window_many, "window: more than the table holds are refused")
{
    void *windows[WINDOWS_MAX];
    uint32_t count = 0;

    const char *wrong = until_the_table_is_full(windows, &count);
    while (count > 0)
        unmap_window(windows[--count]);
    return wrong;
}

/* ---- RAM above 4 GiB ---- */

/* The first available region above 4 GiB of a large page at least; false: there is none. */
static bool high_memory(struct memmap_region *region)
{
    struct memmap_source source = boot_info_regions();

    source.rewind(source.context);
    while (source.next(source.context, region)) {
        if (region->type == MEMMAP_AVAILABLE && region->start >= FOUR_GIB &&
            region->end - region->start >= LARGE_PAGE_SIZE && region->end <= reach())
            return true;
    }
    return false;
}

/*
 * `phys` and the frame have the same low 32 bits, so that an address cut to them would show. The
 * windows see one word each; the RAM behind them is nobody's.
 */
static const char *check_high_word(volatile uint32_t *a, volatile uint32_t *b, paddr_t frame,
                                   paddr64_t phys)
{
    EXPECT(a != NULL && b != NULL && a != b);
    EXPECT(translate((vaddr_t)a).large && translate((vaddr_t)a).phys == phys);
    EXPECT(translate((vaddr_t)b).large && translate((vaddr_t)b).phys == phys);

    uint32_t was = *a;
    *words_at(frame) = 0x77777777;
    *a = 0x12345678;
    uint32_t through_b = *b;
    *b = 0x9abcdef0;
    uint32_t through_a = *a;
    uint32_t low = *words_at(frame);
    *a = was;

    EXPECT(through_b == 0x12345678);
    EXPECT(through_a == 0x9abcdef0);
    EXPECT(low == 0x77777777);
    return NULL;
}

/* A place in the region at the same offset from a multiple of 4 GiB as the frame, if possible. */
static paddr64_t place_above(const struct memmap_region *region, paddr_t frame)
{
    paddr64_t phys = (region->start & ~(FOUR_GIB - 1)) + frame;
    return phys >= region->start && phys + PAGE_SIZE <= region->end ? phys : region->start;
}

static const char *high_windows(const struct sandbox *box)
{
    struct memmap_region region;

    if (!high_memory(&region))
        return NULL;
    paddr64_t phys = place_above(&region, box->frame[0]) + 0x20;
    void *a = map_window(phys, 4, WINDOW_MEMORY_RW);
    void *b = map_window(phys, 4, WINDOW_MEMORY_RW);
    const char *wrong = check_high_word(a, b, box->frame[0], phys);

    if (a != NULL)
        unmap_window(a);
    if (b != NULL)
        unmap_window(b);
    EXPECT(a == NULL || !translate((vaddr_t)a).mapped);
    return wrong;
}

SELFTEST(window_high, "window: RAM above 4 GiB, where CPU and machine have it")
{
    return run_in_sandbox(high_windows);
}
