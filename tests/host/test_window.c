/*
 * Windows onto physical memory, on the real page tables over fake RAM.
 *
 * In the pictures a letter is a window, . a page or 4 MiB that is free; on the left is
 * WINDOWS_BASE.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <mem/mmu.h>
#include <mem/paging.h>
#include <mem/pmm.h>
#include <mem/window.h>
#include "mem/layout.h"
#include "support.h"

#define FOUR_GIB   (1ull << 32)
#define LARGE      LARGE_PAGE_SIZE
#define FRAMES     64u
#define FRAMES_END (FRAMES * PAGE_SIZE)

/* ---- The machine: frames for tables, of which a test can leave only some ---- */

static uint8_t ram[FRAMES][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static bool allocated[FRAMES];
static uint32_t frames_left;
static bool locked;

void *phys_to_virt(paddr_t phys)
{
    return phys < FRAMES_END ? ram[phys / PAGE_SIZE] : (void *)phys;
}

paddr_t virt_to_phys(const void *virt)
{
    return (paddr_t)(vaddr_t)virt;
}

void mmu_invalidate_page(vaddr_t virt)
{
    (void)virt;
    assert_true(locked);
}

void mmu_invalidate_all(void)
{
    assert_true(locked);
}

void mmu_enable(paddr_t directory)
{
    (void)directory;
}

uint32_t mmu_lock(void)
{
    assert_false(locked);
    locked = true;
    return 0;
}

void mmu_unlock(uint32_t state)
{
    (void)state;
    assert_true(locked);
    locked = false;
}

paddr_t pmm_alloc_frame_for(enum frame_owner owner UNUSED)
{
    uint32_t frame = 1;

    if (frames_left == 0)
        return 0;
    while (allocated[frame])
        frame++;
    allocated[frame] = true;
    frames_left--;
    return frame * PAGE_SIZE;
}

paddr_t pmm_alloc_frame_high_for(enum frame_owner owner)
{
    return pmm_alloc_frame_for(owner);
}

void pmm_free_frame_of(enum frame_owner owner UNUSED, paddr_t phys)
{
    assert_true(pmm_is_allocated(phys));
    allocated[phys / PAGE_SIZE] = false;
    frames_left++;
}

bool pmm_is_allocated(paddr_t phys)
{
    return phys < FRAMES_END && allocated[phys / PAGE_SIZE];
}

/* ---- Small helpers ---- */

static void start_with(uint32_t pse36_address_bits, bool write_combining)
{
    memset(allocated, 0, sizeof(allocated));
    frames_left = FRAMES - 1;
    paging_init(4 * MIB);
    window_init(pse36_address_bits, write_combining);
}

static void start(uint32_t pse36_address_bits)
{
    start_with(pse36_address_bits, true);
}

static void check_sound(void)
{
    assert_int_equal(paging_validate(), PAGING_SOUND);
    assert_int_equal(window_validate(), WINDOW_SOUND);
}

static vaddr_t map(paddr64_t phys, uint32_t length)
{
    vaddr_t window = (vaddr_t)map_window(phys, length, WINDOW_MEMORY);

    check_sound();
    return window;
}

static void unmap(vaddr_t window)
{
    unmap_window((void *)window);
    check_sound();
}

/* `window` shows [phys, phys + length), and all of it lies where windows may. */
static void expect_window(vaddr_t window, paddr64_t phys, uint32_t length, uint32_t flags)
{
    assert_in_range(window, WINDOWS_BASE, WINDOWS_END - 1);
    assert_in_range(window + length, WINDOWS_BASE + 1, WINDOWS_END);
    for (uint32_t offset = 0; offset < length;) {
        struct translation t = translate(window + offset);
        uint32_t step = t.large ? LARGE : PAGE_SIZE;

        assert_true(t.mapped);
        assert_true(t.phys == phys + offset);
        assert_int_equal(t.flags, flags);
        offset += step - (uint32_t)(window + offset) % step;
    }
    assert_true(translate(window + length - 1).phys == phys + length - 1);
}

/* No window is left: nothing is mapped but the identity, and all frames are back. */
static void expect_nothing(void)
{
    check_sound();
    assert_int_equal(paging_table_frames(), 2);
    assert_int_equal(frames_left, FRAMES - 1);
    for (vaddr_t virt = WINDOWS_BASE; virt < WINDOWS_END; virt += LARGE)
        assert_false(translate(virt).mapped);
}

/* ---- Small windows ---- */

/* A window begins at the very byte and maps the pages that it touches, no more. */
static void test_bytes_and_pages(void **state)
{
    (void)state;
    start(0);
    vaddr_t a = map(0xfee00000, PAGE_SIZE);
    vaddr_t b = map(0x7fe1fff, 1);
    vaddr_t c = map(0x7fe1fff, 2); /* across a border: two pages */
    vaddr_t d = map(0xfffff000, PAGE_SIZE);

    assert_int_equal(a, WINDOWS_BASE);
    assert_int_equal(b, WINDOWS_BASE + PAGE_SIZE + 0xfff);
    assert_int_equal(c, WINDOWS_BASE + 2 * PAGE_SIZE + 0xfff);
    assert_int_equal(d, WINDOWS_BASE + 4 * PAGE_SIZE);
    expect_window(a, 0xfee00000, PAGE_SIZE, 0);
    expect_window(b, 0x7fe1fff, 1, 0);
    expect_window(c, 0x7fe1fff, 2, 0);
    expect_window(d, 0xfffff000, PAGE_SIZE, 0); /* up to 4 GiB, not a byte above */
    assert_false(translate(WINDOWS_BASE + 5 * PAGE_SIZE).mapped);
    unmap(a);
    unmap(b);
    unmap(c);
    unmap(d);
    expect_nothing();
}

static void test_types(void **state)
{
    (void)state;
    start(40);
    for (int large = 0; large < 2; large++) {
        paddr64_t phys = large ? FOUR_GIB : 0xe0000000;

        expect_window((vaddr_t)map_window(phys, 1, WINDOW_MEMORY), phys, 1, 0);
        expect_window((vaddr_t)map_window(phys, 1, WINDOW_MEMORY_RW), phys, 1, PAGE_WRITE);
        expect_window((vaddr_t)map_window(phys, 1, WINDOW_DEVICE), phys, 1,
                      PAGE_WRITE | PAGE_CACHE_DISABLE | PAGE_WRITE_THROUGH);
        expect_window((vaddr_t)map_window(phys, 1, WINDOW_FRAMEBUFFER), phys, 1,
                      PAGE_WRITE | PAGE_WRITE_THROUGH);
    }
}

/* Where write-combining cannot be had, a framebuffer is not cached at all. */
static void test_framebuffer_without_write_combining(void **state)
{
    (void)state;
    start_with(40, false);
    for (int large = 0; large < 2; large++) {
        paddr64_t phys = large ? FOUR_GIB : 0xe0000000;

        expect_window((vaddr_t)map_window(phys, 1, WINDOW_FRAMEBUFFER), phys, 1,
                      PAGE_WRITE | PAGE_CACHE_DISABLE | PAGE_WRITE_THROUGH);
    }
}

/* Ranges that are empty, wrap, or do not fit give NULL and change nothing. */
static void test_impossible(void **state)
{
    (void)state;
    start(0);
    assert_int_equal(map(0xe0000000, 0), 0);
    assert_int_equal(map(0, WINDOWS_END - WINDOWS_BASE + 1), 0);
    assert_int_equal(map(0x80000001, WINDOWS_END - WINDOWS_BASE), 0); /* a page too many */
    assert_int_equal(map(1, UINT32_MAX), 0);                          /* 4 GiB of pages */
    assert_int_equal(map(UINT64_MAX, 1), 0);
    assert_int_equal(map(UINT64_MAX - 4, 4), 0);
    assert_int_equal(map(0 - 0x1000ull, 0x1000), 0);
    assert_int_equal(map(0 - 0x1000ull, 0x1001), 0);
    assert_int_equal(map(FOUR_GIB, 1), 0); /* without PSE-36 */
    assert_int_equal(map(FOUR_GIB - 1, 2), 0);
    expect_nothing();
}

/*
 * The lowest gap that is large enough serves; gaps of neighbours become one.
 *
 *   |A|B B|C|D D D|E|      |A|. .|C|. . .|E|      3 pages: between C and E
 */
static void test_gaps(void **state)
{
    static const uint32_t pages[] = { 1, 2, 1, 3, 1 };
    vaddr_t w[ARRAY_SIZE(pages)], next = WINDOWS_BASE;

    (void)state;
    start(0);
    for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
        w[i] = map(0xe0000000, pages[i] * PAGE_SIZE);
        assert_int_equal(w[i], next);
        next += pages[i] * PAGE_SIZE;
    }
    unmap(w[1]);
    unmap(w[3]);
    assert_int_equal(map(0xe0000000, 3 * PAGE_SIZE), w[3]);
    assert_int_equal(map(0xe0000000, 4 * PAGE_SIZE), next);
    assert_int_equal(map(0xe0000000, PAGE_SIZE), w[1]);
    assert_int_equal(map(0xe0000000, PAGE_SIZE), w[1] + PAGE_SIZE);
    unmap(w[1]);
    unmap(w[0]);
    assert_int_equal(map(0xe0000000, 2 * PAGE_SIZE), w[0]);
    unmap(w[2]);
    unmap(w[3]);
    assert_int_equal(map(0xe0000000, 4 * PAGE_SIZE), w[2]);
}

/* Only what map_window returned names a window, and only once. */
static void expect_no_window(vaddr_t address)
{
    EXPECT_PANIC("no window", unmap_window((void *)address));
}

static void test_wrong_unmaps(void **state)
{
    (void)state;
    start(0);
    expect_no_window(WINDOWS_BASE);
    vaddr_t window = map(0xe0000010, 3 * PAGE_SIZE);
    expect_no_window(0);
    expect_no_window(window - 0x10); /* the page's start is not the window's */
    expect_no_window(window + 1);
    expect_no_window(window + PAGE_SIZE);
    expect_no_window(window + 3 * PAGE_SIZE);
    expect_window(window, 0xe0000010, 3 * PAGE_SIZE, 0);
    unmap(window);
    expect_no_window(window);
    expect_nothing();
}

/* The table of windows holds 64; the next gives NULL until one is given back. */
static void test_table_full(void **state)
{
    vaddr_t w[WINDOWS_MAX];

    (void)state;
    start(0);
    for (uint32_t i = 0; i < WINDOWS_MAX; i++) {
        w[i] = map(0xe0000000 + i * PAGE_SIZE, 1);
        assert_int_equal(w[i], WINDOWS_BASE + i * PAGE_SIZE);
    }
    assert_int_equal(map(0xe0000000, 1), 0);
    unmap(w[17]);
    assert_int_equal(map(0xd0000000, 1), w[17]);
    assert_int_equal(map(0xe0000000, 1), 0);
    for (uint32_t i = 0; i < WINDOWS_MAX; i++)
        unmap(w[i]);
    expect_nothing();
}

/* Out of frames for tables, wherever in the window: NULL, and all that was taken is back. */
static void test_out_of_frames(void **state)
{
    const uint32_t length = 20 * LARGE; /* 7 tables of the pool and 13 frames */

    (void)state;
    for (uint32_t left = 0; left <= 13; left++) {
        start(0);
        frames_left = left;
        vaddr_t window = map(0x80000000, length);
        assert_int_equal(window, left < 13 ? 0 : WINDOWS_BASE);
        if (window != 0)
            unmap(window);
        assert_int_equal(frames_left, left);
        frames_left = FRAMES - 1;
        expect_nothing();

        window = map(0x80000000, length); /* its addresses are free again */
        assert_int_equal(window, WINDOWS_BASE);
        expect_window(window, 0x80000000, length, 0);
    }
}

/* ---- Windows above 4 GiB ---- */

/*
 * What reaches above 4 GiB is made of 4 MiB pages at multiples of 4 MiB; small windows fill the
 * gap before it.
 *
 *   |A|C|....|B     4 MiB    |
 */
static void test_large(void **state)
{
    (void)state;
    start(36);
    vaddr_t a = map(0xe0000000, PAGE_SIZE);
    vaddr_t b = map(0xe00000123, 16);
    vaddr_t c = map(0xe0000000, PAGE_SIZE);

    assert_int_equal(b, WINDOWS_BASE + LARGE + 0x123);
    assert_int_equal(c, WINDOWS_BASE + PAGE_SIZE);
    assert_true(translate(b).large);
    expect_window(b, 0xe00000123, 16, 0);

    vaddr_t d = map(FOUR_GIB - 1, 2); /* across the border: two pages of 4 MiB */
    vaddr_t e = map(FOUR_GIB + 5, 3 * LARGE);
    assert_int_equal(d, WINDOWS_BASE + 2 * LARGE + LARGE - 1);
    assert_int_equal(e, WINDOWS_BASE + 4 * LARGE + 5);
    expect_window(d, FOUR_GIB - 1, 2, 0);
    expect_window(e, FOUR_GIB + 5, 3 * LARGE, 0);
    unmap(b);
    expect_no_window(WINDOWS_BASE + LARGE); /* not by its first page */
    assert_int_equal(map(0xe00000000, LARGE), WINDOWS_BASE + LARGE);
    unmap(WINDOWS_BASE + LARGE);
    unmap(a);
    unmap(c);
    unmap(d);
    unmap(e);
    expect_nothing();
}

/* How far large pages reach is the CPU's address width, and 40 bits at most. */
static void test_reach(void **state)
{
    (void)state;
    for (uint32_t bits = 33; bits <= 52; bits++) {
        paddr64_t end = 1ull << (bits < 40 ? bits : 40);

        start(bits);
        expect_window(map(end - 1, 1), end - 1, 1, 0);
        assert_int_equal(map(end - 1, 2), 0);
        assert_int_equal(map(end, 1), 0);
        assert_int_equal(map(UINT64_MAX - 1, 1), 0);
    }
    start(32);
    assert_int_equal(map(FOUR_GIB, 1), 0);
    assert_int_equal(map(FOUR_GIB - 1, 1), WINDOWS_BASE + 0xfff);
}

/* A 4 MiB page in the way, which nothing but a mistake can map: the window is undone. */
static void test_large_undone(void **state)
{
    (void)state;
    start(36);
    assert_int_equal(map_large_page(WINDOWS_BASE + 2 * LARGE, 0, 0), 0);
    assert_null(map_window(FOUR_GIB, 3 * LARGE, WINDOW_MEMORY));
    assert_int_equal(window_validate(), WINDOW_STRAY);
    assert_false(translate(WINDOWS_BASE).mapped);
    assert_false(translate(WINDOWS_BASE + LARGE).mapped);
    assert_int_equal(unmap_large_page(WINDOWS_BASE + 2 * LARGE), 0);
    assert_int_equal(map(FOUR_GIB, 3 * LARGE), WINDOWS_BASE);
}

/* More than all addresses of windows: nothing of its size that is left in 32 bits is believed. */
static void test_larger_than_all(void **state)
{
    (void)state;
    start(36);
    assert_int_equal(map(FOUR_GIB + 1, UINT32_MAX), 0);
    assert_int_equal(map(FOUR_GIB + LARGE - 1, UINT32_MAX), 0);
    assert_int_equal(map(FOUR_GIB + LARGE, WINDOWS_END - WINDOWS_BASE + 1), 0);
    expect_nothing();
}

static void map_type(int type)
{
    assert_null(map_window(0xe0000000, 1, (enum window_type)type));
}

/* Nobody could mean a type that there is not. */
static void test_unknown_type(void **state)
{
    (void)state;
    start(0);
    EXPECT_PANIC("unknown window type 9", map_type(9));
}

/*
 * Which window an address lies in, to its last byte; in the gaps it is none.
 *
 *   |A|. .|C|....|B     4 MiB    |
 */
static void test_find(void **state)
{
    vaddr_t from = 1, to = 1;

    (void)state;
    start(36);
    vaddr_t a = map(0xe0000010, 1), gap = map(0xe0000000, 2 * PAGE_SIZE);
    vaddr_t c = map(0xe0000000, PAGE_SIZE), b = map(FOUR_GIB, LARGE);
    unmap(gap);
    const vaddr_t starts[] = { a - 0x10, c, b },
                  ends[] = { a - 0x10 + PAGE_SIZE, gap + 3 * PAGE_SIZE, b + LARGE };

    for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
        const vaddr_t inside[] = { starts[i], starts[i] + 1, ends[i] - 1 };

        for (size_t j = 0; j < ARRAY_SIZE(inside); j++) {
            assert_true(window_find(inside[j], &from, &to));
            assert_int_equal(from, starts[i]);
            assert_int_equal(to, ends[i]);
        }
    }
    assert_false(window_find(WINDOWS_BASE - 1, &from, &to));
    assert_false(window_find(gap, &from, &to));
    assert_false(window_find(c - 1, &from, &to));
    assert_false(window_find(ends[1], &from, &to));
    assert_false(window_find(b - 1, &from, &to));
    assert_false(window_find(b + LARGE, &from, &to));
}

/* All addresses can be one window, and then there is room for none. */
static void test_whole_range(void **state)
{
    (void)state;
    start(36);
    vaddr_t all = map(FOUR_GIB, WINDOWS_END - WINDOWS_BASE);
    assert_int_equal(all, WINDOWS_BASE);
    expect_window(all, FOUR_GIB, WINDOWS_END - WINDOWS_BASE, 0);
    assert_int_equal(map(0xe0000000, 1), 0);
    assert_int_equal(map(FOUR_GIB, 1), 0);
    unmap(all);

    vaddr_t page = map(0xe0000000, 1); /* now not even 4 MiB less fit twice */
    assert_int_equal(map(FOUR_GIB, WINDOWS_END - WINDOWS_BASE), 0);
    assert_int_equal(map(FOUR_GIB, WINDOWS_END - WINDOWS_BASE - LARGE), WINDOWS_BASE + LARGE);
    assert_int_equal(map(FOUR_GIB, 1), 0);
    assert_int_equal(map(0xe0000000, LARGE), 0); /* a page short */
    assert_int_equal(map(0xe0000000, LARGE - PAGE_SIZE), page + PAGE_SIZE);
    assert_int_equal(map(0xe0000000, 1), 0);
}

/* ---- The validator ---- */

/*
 * It finds each kind of damage that can be done from outside.
 *
 *   |A A|. . .|B    4 MiB    |
 */
static void test_validator(void **state)
{
    const vaddr_t b = WINDOWS_BASE + LARGE;
    const vaddr_t strays[] = { WINDOWS_BASE + 2 * PAGE_SIZE, b - PAGE_SIZE, b + LARGE,
                               WINDOWS_END - PAGE_SIZE };

    (void)state;
    start(36);
    assert_int_equal(map(0xe0000000, 2 * PAGE_SIZE), WINDOWS_BASE);
    assert_int_equal(map(FOUR_GIB, LARGE), b);
    for (size_t i = 0; i < ARRAY_SIZE(strays); i++) {
        assert_int_equal(map_page(strays[i], 0, 0), 0);
        assert_int_equal(window_validate(), WINDOW_STRAY);
        assert_int_equal(unmap_page(strays[i]), 0);
        check_sound();
    }

    assert_int_equal(unmap_page(WINDOWS_BASE + PAGE_SIZE), 0);
    assert_int_equal(window_validate(), WINDOW_UNMAPPED);
    assert_int_equal(map_page(WINDOWS_BASE + PAGE_SIZE, 0, 0), 0);
    assert_int_equal(unmap_large_page(b), 0);
    assert_int_equal(window_validate(), WINDOW_UNMAPPED);
    EXPECT_PANIC("assertion", unmap_window((void *)b));
    assert_int_equal(map_page(b, 0, 0), 0); /* the wrong kind of entry */
    assert_int_equal(window_validate(), WINDOW_UNMAPPED);
}

/* ---- Against a model ---- */

struct model_window {
    vaddr_t address; /* 0: none */
    paddr64_t phys;
    uint32_t length;
};

/* Where the pages that a window is made of begin. */
static vaddr_t first_page(const struct model_window *w)
{
    return w->address & ~(vaddr_t)((w->phys + w->length > FOUR_GIB ? LARGE : PAGE_SIZE) - 1);
}

/* Random windows come and go: each shows its memory, none lies on another. */
static void test_random_windows(void **state)
{
    struct model_window w[80] = { 0 };
    struct prng prng = { 80 };
    uint32_t live = 0;

    (void)state;
    start(40);
    for (uint32_t round = 0; round < 20000; round++) {
        struct model_window *slot = &w[prng_below(&prng, ARRAY_SIZE(w))];

        if (slot->address != 0) {
            unmap_window((void *)slot->address);
            assert_false(translate(slot->address).mapped);
            slot->address = 0;
            live--;
        } else {
            bool large = prng_once_in(&prng, 4);
            slot->phys = large ? FOUR_GIB + prng_next(&prng) : prng_next(&prng) / 2;
            slot->length = 1 + prng_below(&prng, large ? 3 * LARGE : 8 * PAGE_SIZE);
            slot->address = (vaddr_t)map_window(slot->phys, slot->length, WINDOW_MEMORY);
            assert_int_equal(slot->address == 0, live == WINDOWS_MAX);
            if (slot->address == 0)
                continue;
            expect_window(slot->address, slot->phys, slot->length, 0);
            for (struct model_window *v = w; v < w + ARRAY_SIZE(w); v++)
                assert_true(v == slot || v->address == 0 ||
                            v->address + v->length <= first_page(slot) ||
                            slot->address + slot->length <= first_page(v));
            live++;
        }
        if (round % 64 == 0)
            check_sound();
    }
    for (struct model_window *v = w; v < w + ARRAY_SIZE(w); v++) {
        if (v->address != 0) {
            expect_window(v->address, v->phys, v->length, 0);
            unmap(v->address);
        }
    }
    expect_nothing();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_and_pages),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_framebuffer_without_write_combining),
        cmocka_unit_test(test_impossible),
        cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_wrong_unmaps),
        cmocka_unit_test(test_table_full),
        cmocka_unit_test(test_out_of_frames),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_reach),
        cmocka_unit_test(test_large_undone),
        cmocka_unit_test(test_larger_than_all),
        cmocka_unit_test(test_unknown_type),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_whole_range),
        cmocka_unit_test(test_validator),
        cmocka_unit_test(test_random_windows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
