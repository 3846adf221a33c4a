/*
 * Places for BARs, compared with a model: a map of the lowest 4 GiB in steps, in which everything
 * that is in use is marked, and which is then searched address by address.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <drivers/pci_place.h>
#include "support.h"

#define KIB64       0x10000u
#define FOUR_GIB    (1ull << 32)
#define TOP         0xfec00000u
#define REGIONS_MAX 4097u

/* ---- The machine: a table, a memory map, a screen ---- */

static struct pci_table table;
static struct memmap_region regions[REGIONS_MAX];
static uint32_t region_count, next_region_index;
static struct pci_window screen;

static void rewind_regions(void *context)
{
    (void)context;
    next_region_index = 0;
}

static bool next_region(void *context, struct memmap_region *region)
{
    (void)context;
    if (next_region_index == region_count)
        return false;
    *region = regions[next_region_index++];
    return true;
}

static const struct pci_surroundings around = {
    &table, { rewind_regions, next_region, NULL }, &screen, 1
};

static void add_region(paddr64_t start, paddr64_t end, uint32_t type)
{
    assert_true(region_count < REGIONS_MAX && start < end);
    regions[region_count++] = (struct memmap_region){ start, end, type };
}

static int start(void **state)
{
    (void)state;
    memset(&table, 0, sizeof(table));
    region_count = 0;
    screen = (struct pci_window){ 0, 0, false };
    return 0;
}

static struct pci_device_info *add_function(uint32_t bus)
{
    struct pci_device_info *f = &table.functions[table.count];

    *f =
        (struct pci_device_info){ .address = PCI_ADDRESS(bus, table.count % 32, table.count / 32) };
    table.count++;
    return f;
}

static struct pci_device_info *add_bridge(uint32_t bus, uint8_t secondary)
{
    struct pci_device_info *f = add_function(bus);

    f->header = PCI_HEADER_BRIDGE;
    f->secondary = f->subordinate = secondary;
    return f;
}

static struct pci_bar memory_bar(paddr64_t base, uint64_t size, bool prefetchable)
{
    return (struct pci_bar){ base, size, PCI_BAR_MEMORY, true, prefetchable };
}

/* A function whose BAR 0 is at 1 TiB, where this machine does not reach. */
static struct pci_device_info *add_lost(uint32_t bus, uint64_t size)
{
    struct pci_device_info *f = add_function(bus);

    f->bars[0] = memory_bar(1ull << 40, size, false);
    return f;
}

static void expect_place(const struct pci_device_info *f, paddr64_t wanted)
{
    const char *why = "";

    assert_true(pci_place(&around, f, 0, &why) == wanted);
    assert_null(why);
}

static void expect_none(const struct pci_device_info *f, const char *reason)
{
    const char *why = NULL;

    assert_true(pci_place(&around, f, 0, &why) == 0);
    assert_string_equal(why, reason);
}

/* ---- Cases ---- */

static void test_empty_machine(void **state)
{
    (void)state;
    add_region(0, 0x40000000, MEMMAP_AVAILABLE);
    const struct pci_device_info *f = add_lost(0, 0x10000);
    /* the middle of 0x40000000 - 0xfec00000 */
    expect_place(f, 0x9f5f0000);
}

/* RAM above 4 GiB has no say; RAM that reaches up to there leaves nothing. */
static void test_end_of_ram(void **state)
{
    (void)state;
    const struct pci_device_info *f = add_lost(0, 0x1000);

    add_region(0x100000000, 0x240000000, MEMMAP_AVAILABLE);
    add_region(0x100000, 0xc0000000, MEMMAP_AVAILABLE);
    expect_place(f, 0xdf5ff000);
    add_region(0xc0000000, 0xfebff001, MEMMAP_AVAILABLE);
    expect_none(f, "no gap is large enough");
    regions[2].end = 0xfebff000;
    expect_place(f, 0xfebff000);
    regions[2].end = UINT64_MAX;
    expect_none(f, "no gap is large enough");
    start(NULL);
    expect_place(add_lost(0, 0x1000), 0x7f67f800 & ~0xfffu); /* no RAM at all: above 1 MiB */
}

/* All types of the map count, the screen, BARs that nobody probed, ROMs, bridges' windows. */
static void test_obstacles(void **state)
{
    (void)state;
    const struct pci_device_info *f = add_lost(0, 0x100000);
    struct pci_device_info *other = add_function(0);

    add_region(0, 0xf0000000, MEMMAP_AVAILABLE);
    add_region(0xf0100000, 0xfec00000, 20);
    expect_place(f, 0xf0000000);
    screen = (struct pci_window){ 0xf00fffff, 0xf0100000, false };
    expect_none(f, "no gap is large enough");
    screen.start = screen.end;
    expect_place(f, 0xf0000000);
    other->bars[5] = memory_bar(0xf00ff000, 0x1000, false);
    expect_none(f, "no gap is large enough");
    other->bars[5].size = 0;
    expect_none(f, "no gap is large enough");
    other->bars[5].kind = PCI_BAR_IO;
    expect_place(f, 0xf0000000);
    other->rom = 0xf0080000;
    expect_none(f, "no gap is large enough");
    other->rom = 0xe0000000; /* may be 16 MiB, not 512 */
    expect_place(f, 0xf0000000);
    struct pci_device_info *bridge = add_bridge(0, 1);
    bridge->prefetchable_window = (struct pci_window){ 0xf0000000, 0x100000000, true };
    expect_none(f, "no gap is large enough");
    bridge->prefetchable_window.end = 0xf0000000;
    bridge->memory_window = (struct pci_window){ 0xf0000000, 0xf0100000, false };
    expect_none(f, "no gap is large enough");
}

/* [0] B --- [3] B --- [4] F: within both windows, clear of what is in there. */
static void test_behind_bridges(void **state)
{
    (void)state;
    struct pci_device_info *outer = add_bridge(0, 3);
    struct pci_device_info *inner = add_bridge(3, 4);
    struct pci_device_info *beside = add_bridge(3, 5);
    struct pci_device_info *f = add_lost(4, 0x4000);

    add_region(0, 0x40000000, MEMMAP_AVAILABLE);
    expect_none(f, "no gap is large enough");
    outer->memory_window = (struct pci_window){ 0xe0000000, 0xe0400000, false };
    expect_none(f, "no gap is large enough");
    inner->memory_window = (struct pci_window){ 0xe0300000, 0xe0500000, false };
    expect_place(f, 0xe037c000);
    beside->memory_window = (struct pci_window){ 0xe0300000, 0xe03fc000, false };
    expect_place(f, 0xe03fc000);
    beside->bars[1] = memory_bar(0xe03ff000, 0x1000, false);
    expect_none(f, "no gap is large enough");

    /* The prefetchable windows serve prefetchable BARs only. */
    outer->prefetchable_window = (struct pci_window){ 0xd0000000, 0xd0200000, true };
    inner->prefetchable_window = (struct pci_window){ 0xd0100000, 0xd0200000, true };
    expect_none(f, "no gap is large enough");
    f->bars[0].prefetchable = true;
    expect_place(f, 0xd017c000);
    outer->prefetchable_window.end = 0xd0100000;
    expect_none(f, "no gap is large enough");
}

/* Windows that contradict each other leave nothing that all agree on. */
static void test_overlapping_windows(void **state)
{
    (void)state;
    struct pci_device_info *bridge = add_bridge(0, 1);
    struct pci_device_info *f = add_lost(1, 0x100000);

    bridge->memory_window = (struct pci_window){ 0xe0000000, 0xe0300000, false };
    bridge->prefetchable_window = (struct pci_window){ 0xe0100000, 0xe0200000, false };
    add_bridge(0, 1)->memory_window = (struct pci_window){ 0xe0200000, 0xe0400000, false };
    expect_place(f, 0xe0000000);
    bridge->prefetchable_window.end = UINT64_MAX;
    bridge->prefetchable_window.start = 0;
    expect_none(f, "no gap is large enough");
}

static void test_what_is_not_known(void **state)
{
    (void)state;
    struct pci_device_info *f = add_lost(0, 0x1000);

    table.left_out = 1;
    expect_none(f, "not all that is on the buses is known");
    table.left_out = 0;
    struct pci_device_info *cardbus = add_function(0);
    cardbus->header = PCI_HEADER_CARDBUS;
    expect_none(f, "not all that is on the buses is known");
    cardbus->header = PCI_HEADER_DEVICE;

    f->address = PCI_ADDRESS(7, 0, 0);
    expect_none(f, "no bridge leads to its bus");
    add_bridge(8, 7);
    add_bridge(7, 8); /* in a circle */
    expect_none(f, "no bridge leads to its bus");

    f->address = PCI_ADDRESS(0, 0, 0);
    f->bars[0].size = 0;
    expect_none(f, "its size does not fit");
    f->bars[0].size = 1ull << 63;
    expect_none(f, "its size does not fit");
    f->bars[0].size = 1ull << 31; /* only at 0x80000000, and that is too long */
    expect_none(f, "no gap is large enough");
    f->bars[0].size = 1ull << 30;
    expect_place(f, 0x40000000);
    f->bars[0].kind = PCI_BAR_IO;
    expect_none(f, "its size does not fit");
}

/* BARs and regions that reach to the end of the address space or past it. */
static void test_wrapping(void **state)
{
    (void)state;
    struct pci_device_info *f = add_lost(0, 0x100000);
    struct pci_device_info *other = add_function(0);

    other->bars[0] = memory_bar(0xf0000000, UINT64_MAX - 5, false);
    other->bars[1] = memory_bar(0xffffffff80000000, 0x80000000, false);
    add_region(0, 0xefe00000, MEMMAP_AVAILABLE);
    add_region(0xeff00000, UINT64_MAX, MEMMAP_RESERVED);
    expect_place(f, 0xefe00000);
    other->bars[0].base = 0x1000;
    expect_none(f, "no gap is large enough");
}

/* ---- The model ---- */

static uint8_t *used; /* one byte a step: 1 where anything is in use */
static uint32_t step;

static void use(paddr64_t from, paddr64_t to)
{
    if (to > FOUR_GIB)
        to = FOUR_GIB;
    for (paddr64_t at = from & -(paddr64_t)step; at < to; at += step)
        used[at / step] = 1;
}

/* Uses what none of the two windows has. */
static void use_outside(struct pci_window a, struct pci_window b)
{
    for (paddr64_t at = 0; at < FOUR_GIB; at += step) {
        if (!(a.start <= at && at < a.end) && !(b.start <= at && at < b.end))
            used[at / step] = 1;
    }
}

static bool leads_to(const struct pci_device_info *bridge, uint32_t bus)
{
    return bridge->secondary <= bus && bus <= bridge->subordinate;
}

static void fill_model(const struct pci_device_info *f)
{
    const struct pci_window closed = { 0, 0, false };
    bool prefetchable = f->bars[0].prefetchable;

    memset(used, 0, FOUR_GIB / step);
    use(0, 0x100000);
    use(TOP, FOUR_GIB);
    for (uint32_t i = 0; i < region_count; i++)
        use(regions[i].type == MEMMAP_AVAILABLE && regions[i].start < FOUR_GIB ? 0
                                                                               : regions[i].start,
            regions[i].end);
    use(screen.start, screen.end);
    for (uint32_t i = 0; i < table.count; i++) {
        const struct pci_device_info *g = &table.functions[i];
        use(g->bars[0].base, g->bars[0].base + g->bars[0].size);
        if (g->header == PCI_HEADER_BRIDGE && leads_to(g, pci_bus(f->address))) {
            use_outside(g->memory_window, prefetchable ? g->prefetchable_window : closed);
            if (!prefetchable)
                use(g->prefetchable_window.start, g->prefetchable_window.end);
        } else {
            use(g->memory_window.start, g->memory_window.end);
            use(g->prefetchable_window.start, g->prefetchable_window.end);
        }
    }
}

/* The end of the free run that begins at a step. */
static uint32_t end_of_run(uint32_t at)
{
    while (at < FOUR_GIB / step && !used[at])
        at++;
    return at;
}

/* Whether a run of steps holds `count` of them that begin at a multiple of `count`. */
static bool fits(uint32_t first, uint32_t end, uint32_t count)
{
    while (first < end && first % count != 0)
        first++;
    return end - first >= count;
}

/* Lengths in steps: the longest run in which `count` steps fit, and the run that holds `place`. */
static void measure_runs(uint32_t count, uint32_t place, uint32_t *longest, uint32_t *first,
                         uint32_t *end)
{
    *longest = *first = *end = 0;
    for (uint32_t at = 0; at < FOUR_GIB / step; at++) {
        if (used[at])
            continue;
        uint32_t stop = end_of_run(at);
        if (fits(at, stop, count) && stop - at > *longest)
            *longest = stop - at;
        if (at <= place && place < stop) {
            *first = at;
            *end = stop;
        }
        at = stop;
    }
}

static void compare_with_model(const struct pci_device_info *f, uint32_t *placed)
{
    const char *why;
    uint64_t size = f->bars[0].size;
    paddr64_t place = pci_place(&around, f, 0, &why);
    uint32_t longest, first, end;

    fill_model(f);
    measure_runs((uint32_t)(size / step), (uint32_t)(place / step), &longest, &first, &end);
    if (place == 0) {
        assert_int_equal(longest, 0);
        assert_string_equal(why, "no gap is large enough");
        return;
    }
    *placed += 1;
    assert_true(place % size == 0 && place + size <= TOP);
    assert_null(memchr(used + place / step, 1, size / step));
    assert_int_equal(end - first, longest);

    /* In its middle, as far as the alignment allows. */
    paddr64_t before = place - (paddr64_t)first * step;
    paddr64_t behind = (paddr64_t)end * step - (place + size);
    assert_true(before < size || before <= behind);
    assert_true(behind <= before + 2 * size);
}

static struct pci_window random_window(struct prng *prng, paddr64_t low, paddr64_t high)
{
    paddr64_t a = low + (uint64_t)prng_below(prng, (uint32_t)((high - low) >> 20)) * MIB;
    paddr64_t b = low + (uint64_t)prng_below(prng, (uint32_t)((high - low) >> 20)) * MIB;

    return (struct pci_window){ a < b ? a : b, a < b ? b : a, false };
}

/* Up to three bridges in a row, up to three beside them, their windows nested or not. */
static void random_bridges(struct prng *prng)
{
    uint32_t depth = prng_below(prng, 4);
    paddr64_t low = 0x40000000, high = TOP;

    for (uint32_t bus = 0; bus < depth; bus++) {
        struct pci_device_info *bridge = add_bridge(bus, (uint8_t)(bus + 1));
        bridge->subordinate = (uint8_t)depth;
        bridge->memory_window = random_window(prng, low, high);
        if (prng_once_in(prng, 2))
            bridge->prefetchable_window = random_window(prng, 0x40000000, TOP);
        if (bridge->memory_window.end > bridge->memory_window.start + 2 * MIB) {
            low = bridge->memory_window.start;
            high = bridge->memory_window.end;
        }
    }
    for (uint32_t i = prng_below(prng, 4); i > 0; i--) {
        struct pci_device_info *bridge = add_bridge(0, (uint8_t)(100 + i));
        bridge->memory_window = random_window(prng, 0xc0000000, 0xc8000000);
        bridge->prefetchable_window = random_window(prng, 0xd0000000, 0xd8000000);
    }
}

static uint64_t random_size(struct prng *prng)
{
    return (uint64_t)step << prng_below(prng, 10);
}

static void random_machine(struct prng *prng)
{
    paddr64_t ram = (paddr64_t)prng_below(prng, 0xe000) * KIB64;

    start(NULL);
    add_region(0, ram + KIB64, MEMMAP_AVAILABLE);
    for (uint32_t i = prng_below(prng, 10); i > 0; i--) {
        paddr64_t at = (paddr64_t)prng_below(prng, 0xff00) * KIB64;
        add_region(at, at + (1 + prng_below(prng, 0x800)) * (paddr64_t)KIB64,
                   2 + prng_below(prng, 20));
    }
    screen.start = (paddr64_t)prng_below(prng, 0xff00) * KIB64;
    screen.end = screen.start + prng_below(prng, 0x100) * (paddr64_t)KIB64;
    random_bridges(prng);
    for (uint32_t i = prng_below(prng, 60); i > 0; i--) {
        struct pci_device_info *f = add_function(0);
        uint64_t size = random_size(prng);
        f->bars[0] = memory_bar((paddr64_t)prng_below(prng, 0x10000) * KIB64 & -size, size, false);
    }
}

/* Functions at each depth of each machine, with both kinds of BAR. */
static void check_random_machines(uint32_t rounds, uint32_t steps)
{
    struct prng prng = { 2463534242 };
    uint32_t placed = 0, asked = 0;

    step = steps;
    used = malloc(FOUR_GIB / step);
    assert_non_null(used);
    for (uint32_t round = 0; round < rounds; round++) {
        random_machine(&prng);
        uint32_t depth = 0;
        while (depth < table.count && table.functions[depth].secondary == depth + 1)
            depth++;
        struct pci_device_info *f = add_lost(prng_below(&prng, depth + 1), random_size(&prng));
        f->bars[0].prefetchable = prng_once_in(&prng, 2);
        compare_with_model(f, &placed);
        asked++;
    }
    free(used);
    /* Both outcomes were seen often. */
    assert_in_range(placed, asked / 4, asked * 9 / 10);
}

static void test_model(void **state)
{
    (void)state;
    check_random_machines(4000, KIB64);
}

static void test_model_of_pages(void **state)
{
    (void)state;
    check_random_machines(100, 0x1000);
}

/* The longest map that is searched, in the order that takes longest; and one entry more. */
static void test_a_long_memory_map(void **state)
{
    (void)state;
    struct pci_device_info *f = add_lost(0, KIB64);

    for (uint32_t i = REGIONS_MAX; i-- > 1;)
        add_region(0x10000000u + i * 0x2000u, 0x10001000u + i * 0x2000u, 2);
    const char *why = "";
    assert_true(pci_place(&around, f, 0, &why) > 0x10000000u + REGIONS_MAX * 0x2000u);
    add_region(0x10000000u, 0x10001000u, 2);
    expect_none(f, "the memory map has too many entries");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_long_memory_map, start),
        cmocka_unit_test_setup(test_empty_machine, start),
        cmocka_unit_test_setup(test_end_of_ram, start),
        cmocka_unit_test_setup(test_obstacles, start),
        cmocka_unit_test_setup(test_behind_bridges, start),
        cmocka_unit_test_setup(test_overlapping_windows, start),
        cmocka_unit_test_setup(test_what_is_not_known, start),
        cmocka_unit_test_setup(test_wrapping, start),
        cmocka_unit_test_setup(test_model, start),
        cmocka_unit_test_setup(test_model_of_pages, start),
    };

    return cmocka_run_group_tests(tests, parser_setup, parser_teardown);
}
