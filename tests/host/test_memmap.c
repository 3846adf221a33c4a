/*
 * From firmware's regions to frames, against a model that asks every frame about every region.
 *
 * In the pictures a column is a frame, A available RAM, R anything else.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <mem/memmap.h>
#include "mem/layout.h"
#include "brief.h"
#include "support.h"

#define FRAME (uint64_t) PAGE_SIZE
#define LIMIT (FRAMES_MAX * FRAME)
#define GIB   (1024ull * MIB)

/* ---- A memory map as firmware gives it, and what becomes of it ---- */

struct entry {
    uint64_t base, length;
    uint32_t type;
};

#define ENTRIES_MAX 8192u

static struct {
    struct entry entries[ENTRIES_MAX];
    uint32_t count, next, rewinds;
} map;

static struct frames frames;

static void add(uint64_t base, uint64_t length, uint32_t type)
{
    assert_in_range(map.count, 0, ENTRIES_MAX - 1);
    map.entries[map.count++] = (struct entry){ base, length, type };
}

static void rewind_map(void *context)
{
    assert_ptr_equal(context, &map);
    map.next = 0;
    map.rewinds++;
}

/* As the PMM does it: what is no region is not handed on. */
static bool next_region(void *context, struct memmap_region *region)
{
    assert_ptr_equal(context, &map);
    while (map.next < map.count) {
        struct entry *entry = &map.entries[map.next++];

        if (memmap_region(entry->base, entry->length, entry->type, region))
            return true;
    }
    return false;
}

/* Enters the map and forgets it. Returns what memmap_enter() left out. */
static uint64_t enter(void)
{
    const struct memmap_source source = { rewind_map, next_region, &map };

    frames_init(&frames);
    map.rewinds = 0;
    uint64_t left_out = memmap_enter(&source, &frames);
    assert_int_equal(map.rewinds, 2);
    assert_int_equal(frames_validate(&frames), FRAMES_SOUND);
    map.count = 0;
    return left_out;
}

/* The frames [first, end) are free, and no others. */
static void expect_free(uint32_t first, uint32_t end)
{
    assert_int_equal(frames_free_count(&frames), end - first);
    assert_int_equal(frames.total, end - first);
    for (uint32_t frame = first; frame < end; frame++)
        assert_int_equal(frames_state(&frames, frame), FRAME_FREE);
}

static void expect_region(uint64_t base, uint64_t length, uint64_t end)
{
    struct memmap_region region;

    assert_true(memmap_region(base, length, 7, &region));
    assert_true(region.start == base);
    assert_true(region.end == end);
    assert_int_equal(region.type, 7);
}

static void expect_dropped(uint64_t base, uint64_t length)
{
    struct memmap_region region;

    assert_false(memmap_region(base, length, MEMMAP_AVAILABLE, &region));
}

/* ---- Regions ---- */

/* Empty and wrapping entries are dropped; one that ends at 2^64 loses its last byte. */
static void test_regions(void **state)
{
    (void)state;
    expect_region(0, 1, 1);
    expect_region(0x9fc00, 0x400, 0xa0000);
    expect_region(4 * GIB, GIB, 5 * GIB);
    expect_region(UINT64_MAX - 1, 1, UINT64_MAX);
    expect_region(0, UINT64_MAX, UINT64_MAX);
    expect_region(0 - FRAME, FRAME, UINT64_MAX);
    expect_region(1, UINT64_MAX, UINT64_MAX);
    expect_dropped(0, 0);
    expect_dropped(0x1000, 0);
    expect_dropped(UINT64_MAX, 0);
    expect_dropped(UINT64_MAX, 1); /* its only byte would be the one that is lost */
    expect_dropped(UINT64_MAX, 2);
    expect_dropped(0 - FRAME, FRAME + 1);
    expect_dropped(2, UINT64_MAX);
    expect_dropped(UINT64_MAX, UINT64_MAX);
    expect_dropped(1ull << 63, (1ull << 63) + 1);
}

static void test_type_texts(void **state)
{
    (void)state;
    assert_string_equal(memmap_type_text(MEMMAP_AVAILABLE), "available");
    assert_string_equal(memmap_type_text(MEMMAP_RESERVED), "reserved");
    assert_string_equal(memmap_type_text(MEMMAP_ACPI), "ACPI tables");
    assert_non_null(strstr(memmap_type_text(MEMMAP_NVS), "NVS"));
    assert_non_null(strstr(memmap_type_text(MEMMAP_BAD), "bad"));
    assert_non_null(strstr(memmap_type_text(0), "unknown"));
    assert_non_null(strstr(memmap_type_text(20), "unknown"));
    assert_non_null(strstr(memmap_type_text(UINT32_MAX), "unknown"));
}

static void expect_frames(uint64_t start, uint64_t end, uint32_t inside_first, uint32_t inside_end,
                          uint32_t touched_first, uint32_t touched_end)
{
    struct memmap_region region = { start, end, MEMMAP_AVAILABLE };
    struct memmap_frames inside = memmap_frames_inside(&region);
    struct memmap_frames touched = memmap_frames_touched(&region);

    if (inside_first == inside_end) {
        assert_int_equal(inside.first, inside.end);
    } else {
        assert_int_equal(inside.first, inside_first);
        assert_int_equal(inside.end, inside_end);
    }
    assert_int_equal(touched.first, touched_first);
    assert_int_equal(touched.end, touched_end);
}

/*
 * RAM is rounded inwards, what must be kept outwards.
 *
 *   frame   0   |   1   |   2   |   3   |
 *               |  AAAAAAAAAAAAAAA      |      inside: 2; touched: 1, 2, 3
 */
static void test_rounding(void **state)
{
    (void)state;
    expect_frames(0x1000, 0x3000, 1, 3, 1, 3);
    expect_frames(0x1001, 0x3fff, 2, 3, 1, 4);
    expect_frames(0x0fff, 0x3001, 1, 3, 0, 4);
    expect_frames(0x1001, 0x2fff, 0, 0, 1, 3);
    expect_frames(0x1800, 0x1801, 0, 0, 1, 2); /* within one frame */
    expect_frames(0x1fff, 0x2001, 0, 0, 1, 3); /* across a border */
    expect_frames(0, 1, 0, 0, 0, 1);
}

/* At the managed range's end frames are clipped, and nothing is cut to 32 bits before that. */
static void test_clipping(void **state)
{
    (void)state;
    expect_frames(0, LIMIT, 0, FRAMES_MAX, 0, FRAMES_MAX);
    expect_frames(0, UINT64_MAX, 0, FRAMES_MAX, 0, FRAMES_MAX);
    expect_frames(LIMIT - 1, LIMIT + 1, 0, 0, FRAMES_MAX - 1, FRAMES_MAX);
    expect_frames(LIMIT - FRAME, 4 * GIB + 1, FRAMES_MAX - 1, FRAMES_MAX, FRAMES_MAX - 1,
                  FRAMES_MAX);
    expect_frames(LIMIT, LIMIT + FRAME, 0, 0, FRAMES_MAX, FRAMES_MAX);
    for (uint32_t bit = 29; bit < 64; bit++)
        expect_frames(1ull << bit, (1ull << bit) + 16 * FRAME, 0, 0, FRAMES_MAX, FRAMES_MAX);
    expect_frames(UINT64_MAX - 1, UINT64_MAX, 0, 0, FRAMES_MAX, FRAMES_MAX);
}

/* ---- Memory maps ---- */

/* Only available RAM becomes free; every type of number that is not 1 is kept. */
static void test_types(void **state)
{
    static const uint32_t kept[] = { 0, 2, 3, 4, 5, 6, 12, 20, 0x80000001u, UINT32_MAX };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
        add(16 * FRAME, 16 * FRAME, kept[i]);
        add(32 * FRAME, 16 * FRAME, MEMMAP_AVAILABLE);
        add(48 * FRAME, 16 * FRAME, kept[i]);
        assert_true(enter() == 0);
        expect_free(32, 48);
    }
    assert_true(enter() == 0);
    expect_free(0, 0); /* an empty map */
}

/*
 * Reserved wins over available in either order, by all frames that it touches.
 *
 *   A A A A A A A A           free: 0 1 2      6 7
 *         R(R R)R     3 and 5 only touched by a byte
 */
static void test_reserved_wins(void **state)
{
    (void)state;
    for (int order = 0; order < 2; order++) {
        if (order == 0)
            add(0, 8 * FRAME, MEMMAP_AVAILABLE);
        add(4 * FRAME - 1, FRAME + 2, MEMMAP_RESERVED);
        if (order == 1)
            add(0, 8 * FRAME, MEMMAP_AVAILABLE);
        enter();
        for (uint32_t frame = 0; frame < 8; frame++)
            assert_int_equal(frames_state(&frames, frame) == FRAME_FREE, frame < 3 || frame > 5);
        assert_int_equal(frames.total, 5);
    }
    add(0, 8 * FRAME, MEMMAP_AVAILABLE);
    add(0, UINT64_MAX, MEMMAP_NVS);
    add(0, 8 * FRAME, MEMMAP_AVAILABLE);
    enter();
    expect_free(0, 0);
    assert_int_equal(frames.end, 0);

    /* RAM ends where the last of it is left. */
    add(0, 8 * FRAME, MEMMAP_AVAILABLE);
    add(6 * FRAME, FRAME * 4, MEMMAP_RESERVED);
    enter();
    assert_int_equal(frames.end, 6);
}

/* Overlapping and touching RAM counts once; a frame of two halves is in neither region. */
static void test_available_overlaps(void **state)
{
    (void)state;
    add(10 * FRAME, 10 * FRAME, MEMMAP_AVAILABLE);
    add(5 * FRAME, 10 * FRAME, MEMMAP_AVAILABLE);
    add(10 * FRAME, 10 * FRAME, MEMMAP_AVAILABLE);
    add(20 * FRAME, FRAME / 2, MEMMAP_AVAILABLE);
    add(20 * FRAME + FRAME / 2, FRAME / 2, MEMMAP_AVAILABLE);
    enter();
    expect_free(5, 20);
}

/* An entry that is dropped neither gives nor takes. */
static void test_dropped_entries(void **state)
{
    (void)state;
    add(0, 0, MEMMAP_AVAILABLE);
    add(0 - FRAME, 100 * FRAME, MEMMAP_AVAILABLE); /* wraps to [0, 99) */
    add(10 * FRAME, 4 * FRAME, MEMMAP_AVAILABLE);
    add(11 * FRAME + 5, 0, MEMMAP_RESERVED);
    add(11 * FRAME, UINT64_MAX, MEMMAP_RESERVED); /* wraps */
    assert_true(enter() == 0);
    expect_free(10, 14);
}

/*
 * RAM that the bitmap cannot hold is left out and counted in bytes; it never turns up low.
 *
 *   0        512 MiB (LIMIT)      4 GiB
 *   |AAAAAAAAAAA|AAAAAAA|  holes  |AAAAA|
 */
static void test_left_out(void **state)
{
    (void)state;
    add(MIB, GIB - MIB, MEMMAP_AVAILABLE);
    add(4 * GIB, 3 * GIB, MEMMAP_AVAILABLE);
    assert_true(enter() == GIB - LIMIT + 3 * GIB);
    expect_free(256, FRAMES_MAX);

    for (uint32_t bit = 32; bit < 64; bit++) {
        add(1ull << bit, 64 * FRAME, MEMMAP_AVAILABLE);
        add((1ull << bit) + 16 * FRAME, FRAME, MEMMAP_RESERVED);
        add(100 * FRAME, FRAME, MEMMAP_AVAILABLE);
        assert_true(enter() == 64 * FRAME);
        expect_free(100, 101);
    }
    add(LIMIT - FRAME, FRAME, MEMMAP_AVAILABLE);
    assert_true(enter() == 0);
    expect_free(FRAMES_MAX - 1, FRAMES_MAX);
    add(LIMIT - FRAME, FRAME + 1, MEMMAP_AVAILABLE);
    assert_true(enter() == 1);
    add(0 - FRAME, FRAME, MEMMAP_AVAILABLE); /* up to 2^64 */
    assert_true(enter() == FRAME - 1);
    expect_free(0, 0);
}

/* No limit on entries: thousands, every other frame kept, listed backwards. */
static void test_many_entries(void **state)
{
    (void)state;
    for (uint32_t i = ENTRIES_MAX; i-- > 0;)
        add(i * FRAME, FRAME, i % 2 == 0 ? MEMMAP_AVAILABLE : MEMMAP_RESERVED);
    enter();
    assert_int_equal(frames_free_count(&frames), ENTRIES_MAX / 2);
    for (uint32_t frame = 0; frame < ENTRIES_MAX; frame++)
        assert_int_equal(frames_state(&frames, frame) == FRAME_FREE, frame % 2 == 0);
}

/* ---- Against a model ---- */

/* Half of the addresses lie close together, so that regions meet; others at the borders. */
static uint64_t random_address(struct prng *prng)
{
    static const uint64_t corners[] = { 0, MIB, LIMIT - FRAME, LIMIT, 4 * GIB, 0 - 4 * FRAME };
    uint64_t base = corners[prng_below(prng, 2) ? 0 : prng_below(prng, ARRAY_SIZE(corners))];
    uint64_t offset = prng_below(prng, 64) * FRAME;

    return base + offset + (prng_once_in(prng, 2) ? prng_below(prng, PAGE_SIZE) : 0);
}

static uint64_t random_length(struct prng *prng)
{
    switch (prng_below(prng, 8)) {
    case 0:
        return prng_below(prng, 3);
    case 1:
        return UINT64_MAX - prng_below(prng, 64 * PAGE_SIZE);
    case 2:
        return (uint64_t)prng_next(prng) << prng_below(prng, 32);
    default:
        return prng_below(prng, 32 * PAGE_SIZE);
    }
}

/* A frame is free when one available region holds all of it and no other region a byte of it. */
static bool model_free(uint32_t frame)
{
    uint64_t start = frame * FRAME, last = start + FRAME - 1;
    bool free = false;

    for (uint32_t i = 0; i < map.count; i++) {
        const struct entry *e = &map.entries[i];
        uint64_t e_last = e->base + e->length - 1;

        if (e->length == 0 || e_last < e->base)
            continue;
        if (e->type == MEMMAP_AVAILABLE && e->base <= start && e_last >= last)
            free = true;
        if (e->type != MEMMAP_AVAILABLE && e->base <= last && e_last >= start)
            return false;
    }
    return free;
}

static void check_frames(const bool *expected, uint32_t first, uint32_t end)
{
    for (uint32_t frame = first; frame < end; frame++)
        assert_int_equal(frames_state(&frames, frame) == FRAME_FREE, expected[frame]);
}

static void test_random_maps(void **state)
{
    static bool expected[FRAMES_MAX];
    struct prng prng = { 64 };

    (void)state;
    for (uint32_t round = 0; round < test_rounds(300); round++) {
        uint32_t count = 1 + prng_below(&prng, 12), total = 0;

        for (uint32_t i = 0; i < count; i++) {
            uint64_t base = random_address(&prng), length = random_length(&prng);
            add(base, length, prng_once_in(&prng, 2) ? MEMMAP_AVAILABLE : prng_below(&prng, 6));
        }
        for (uint32_t frame = 0; frame < FRAMES_MAX; frame++)
            total += expected[frame] = model_free(frame);
        enter();
        assert_int_equal(frames_free_count(&frames), total);
        check_frames(expected, 0, 1024);
        check_frames(expected, FRAMES_MAX - 1024, FRAMES_MAX);
        if (round % 16 == 0)
            check_frames(expected, 0, FRAMES_MAX);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_regions),
        cmocka_unit_test(test_type_texts),
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_clipping),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_reserved_wins),
        cmocka_unit_test(test_available_overlaps),
        cmocka_unit_test(test_dropped_entries),
        cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_many_entries),
        cmocka_unit_test(test_random_maps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
