/*
 * The frame bitmap, against an array that holds one state for each frame.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <mem/frames.h>
#include "support.h"

#define SPLIT 98304u /* HEAP_BASE's frame: where the high zone begins in the kernel */

static struct frames f;

static void check(uint32_t total, uint32_t reserved, uint32_t allocated)
{
    assert_int_equal(f.total, total);
    assert_int_equal(f.reserved, reserved);
    assert_int_equal(f.allocated, allocated);
    assert_int_equal(frames_free_count(&f), total - reserved - allocated);
    assert_int_equal(frames_validate(&f), FRAMES_SOUND);
}

static void expect_frames(enum frames_zone zone, uint32_t first, uint32_t end)
{
    for (uint32_t frame = first; frame < end; frame++)
        assert_int_equal(frames_alloc(&f, zone), frame);
}

static void test_nothing_at_first(void **state)
{
    (void)state;
    memset(&f, 0x5a, sizeof(f));
    frames_init(&f, SPLIT);
    check(0, 0, 0);
    assert_int_equal(f.end, 0);
    assert_int_equal(frames_alloc(&f, FRAMES_LOW), FRAMES_NONE);
    assert_int_equal(frames_alloc(&f, FRAMES_HIGH), FRAMES_NONE);
    for (uint32_t frame = 0; frame < FRAMES_MAX; frame++)
        assert_int_equal(frames_state(&f, frame), FRAME_HOLE_OR_RESERVED);
    assert_int_equal(frames_state(&f, FRAMES_MAX), FRAME_HOLE_OR_RESERVED);
    assert_int_equal(frames_state(&f, UINT32_MAX), FRAME_HOLE_OR_RESERVED);
}

/*
 * Each zone gives its lowest free frame, whatever was given back before, and no hole.
 *
 *   40 ... 70    200 201 202            the low zone, across words
 *   |free |  hole  |free  |
 */
static void test_lowest_first(void **state)
{
    (void)state;
    frames_init(&f, SPLIT);
    frames_add(&f, 200, 203);
    frames_add(&f, 40, 71);
    check(34, 0, 0);
    assert_int_equal(f.end, 203);
    expect_frames(FRAMES_LOW, 40, 71);
    assert_true(frames_free(&f, 65));
    assert_true(frames_free(&f, 41));
    assert_true(frames_free(&f, 64));
    assert_int_equal(frames_alloc(&f, FRAMES_LOW), 41);
    expect_frames(FRAMES_LOW, 64, 66);
    expect_frames(FRAMES_LOW, 200, 203);
    assert_int_equal(frames_alloc(&f, FRAMES_LOW), FRAMES_NONE);
    check(34, 0, 34);
}

/*
 * A zone never gives a frame of the other.
 *
 *       low          SPLIT     high
 *   | -2  -1 |  0   1   2 |
 */
static void test_zones(void **state)
{
    (void)state;
    frames_init(&f, SPLIT);
    frames_add(&f, SPLIT - 2, SPLIT + 3);
    expect_frames(FRAMES_HIGH, SPLIT, SPLIT + 3);
    assert_int_equal(frames_alloc(&f, FRAMES_HIGH), FRAMES_NONE);
    expect_frames(FRAMES_LOW, SPLIT - 2, SPLIT);
    assert_int_equal(frames_alloc(&f, FRAMES_LOW), FRAMES_NONE);
    assert_true(frames_free(&f, SPLIT));
    assert_int_equal(frames_alloc(&f, FRAMES_LOW), FRAMES_NONE);
    assert_true(frames_free(&f, SPLIT - 1));
    assert_int_equal(frames_alloc(&f, FRAMES_HIGH), SPLIT);
    assert_int_equal(frames_alloc(&f, FRAMES_LOW), SPLIT - 1);
    check(5, 0, 5);

    /* One zone may be empty. */
    for (int high = 0; high < 2; high++) {
        frames_init(&f, high ? 0 : FRAMES_MAX);
        frames_add(&f, 0, FRAMES_MAX);
        assert_int_equal(frames_alloc(&f, high ? FRAMES_LOW : FRAMES_HIGH), FRAMES_NONE);
        assert_int_equal(frames_alloc(&f, high ? FRAMES_HIGH : FRAMES_LOW), 0);
        check(FRAMES_MAX, 0, 1);
    }
}

/* Reserved frames count as RAM, removed ones do not; both are counted once and given to nobody. */
static void test_reserve_and_remove(void **state)
{
    (void)state;
    frames_init(&f, SPLIT);
    frames_add(&f, 10, 100);
    frames_reserve(&f, 0, 20);
    check(90, 10, 0);
    frames_reserve(&f, 15, 30);
    check(90, 20, 0);
    frames_remove(&f, 25, 40);
    check(80, 20, 0);
    frames_reserve(&f, 25, 40);
    check(80, 20, 0);
    expect_frames(FRAMES_LOW, 40, 100);
    assert_int_equal(frames_alloc(&f, FRAMES_LOW), FRAMES_NONE);

    /* What is handed out stays its owner's. */
    frames_reserve(&f, 50, 60);
    frames_remove(&f, 50, 60);
    check(80, 20, 60);
    assert_true(frames_free(&f, 55));
    assert_int_equal(frames_alloc(&f, FRAMES_LOW), 55);
}

/* Adding frames twice, or in pieces, counts each once. */
static void test_add_overlapping(void **state)
{
    (void)state;
    frames_init(&f, SPLIT);
    frames_add(&f, 9, 5);
    assert_int_equal(f.end, 0);
    frames_add(&f, 31, 65);
    frames_add(&f, 31, 65);
    frames_add(&f, 60, 70);
    frames_add(&f, 0, 32);
    check(70, 0, 0);
    assert_int_equal(frames_alloc(&f, FRAMES_LOW), 0);
    frames_add(&f, 0, 70); /* does not take back what is handed out */
    check(70, 0, 1);
    assert_int_equal(frames_alloc(&f, FRAMES_LOW), 1);
}

/* Only a frame that is handed out can be given back; anything else changes nothing. */
static void test_wrong_frees(void **state)
{
    static const uint32_t wrong[] = {
        0 /* hole */,     64 /* free */, 35 /* reserved */, 200 /* hole past the end */,
        FRAMES_MAX - 1,   FRAMES_MAX,    FRAMES_MAX + 32,   0x80000000u,
        FRAMES_NONE - 31, FRAMES_NONE,
    };

    (void)state;
    frames_init(&f, SPLIT);
    frames_add(&f, 32, 100);
    frames_reserve(&f, 32, 40);
    expect_frames(FRAMES_LOW, 40, 42);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        assert_false(frames_free(&f, wrong[i]));
        check(68, 8, 2);
    }
    assert_true(frames_free(&f, 41));
    assert_false(frames_free(&f, 41)); /* the second time */
    check(68, 8, 1);
}

/* The bitmap's last frame can be used; what lies past it, or a range upside down, is ignored. */
static void test_end_of_bitmap(void **state)
{
    (void)state;
    frames_init(&f, SPLIT);
    frames_add(&f, FRAMES_MAX - 3, UINT32_MAX);
    check(3, 0, 0);
    assert_int_equal(f.end, FRAMES_MAX);
    frames_reserve(&f, FRAMES_MAX - 1, FRAMES_MAX + 1);
    frames_remove(&f, FRAMES_MAX, UINT32_MAX);
    frames_add(&f, FRAMES_MAX, FRAMES_MAX + 100);
    frames_add(&f, UINT32_MAX, UINT32_MAX);
    frames_add(&f, 7, 7);
    frames_add(&f, 9, 5);
    frames_reserve(&f, FRAMES_MAX, FRAMES_MAX - 3);
    frames_remove(&f, FRAMES_MAX, FRAMES_MAX - 3);
    check(3, 1, 0);
    expect_frames(FRAMES_HIGH, FRAMES_MAX - 3, FRAMES_MAX - 1);
    assert_int_equal(frames_alloc(&f, FRAMES_HIGH), FRAMES_NONE);
    check(3, 1, 2);
}

/* All 512 MiB, handed out to the last frame and given back from the middle. */
static void test_full_bitmap(void **state)
{
    (void)state;
    frames_init(&f, SPLIT);
    frames_add(&f, 0, FRAMES_MAX);
    expect_frames(FRAMES_LOW, 0, SPLIT);
    expect_frames(FRAMES_HIGH, SPLIT, FRAMES_MAX);
    check(FRAMES_MAX, 0, FRAMES_MAX);
    for (uint32_t frame = 0; frame < FRAMES_MAX; frame++)
        assert_true(frames_free(&f, (frame * 7919u + 5u) % FRAMES_MAX));
    check(FRAMES_MAX, 0, 0);
    assert_int_equal(frames_alloc(&f, FRAMES_LOW), 0);
    assert_int_equal(frames_alloc(&f, FRAMES_HIGH), SPLIT);
}

/* ---- The validator ---- */

/* [64, 100) is RAM; 64 to 67 are reserved, 68 and 69 handed out. */
static void set_up(void)
{
    frames_init(&f, SPLIT);
    frames_add(&f, 64, 100);
    frames_reserve(&f, 64, 68);
    expect_frames(FRAMES_LOW, 68, 70);
    assert_int_equal(frames_validate(&f), FRAMES_SOUND);
}

static void expect_fault(enum frames_fault fault)
{
    assert_int_equal(frames_validate(&f), fault);
    set_up();
}

static void test_validator(void **state)
{
    (void)state;
    set_up();
    f.total++;
    expect_fault(FRAMES_FREE_COUNT);
    f.reserved--;
    expect_fault(FRAMES_FREE_COUNT);
    f.used[2] &= ~(1u << (68 - 64)); /* free and still counted as handed out */
    f.first_word[FRAMES_LOW] = 2;
    f.allocated--;
    f.total--;
    expect_fault(FRAMES_FREE_COUNT);

    f.allocated++;
    expect_fault(FRAMES_ALLOCATED_COUNT);
    f.used[2] |= 1u << (90 - 64); /* a free frame marked as handed out */
    expect_fault(FRAMES_ALLOCATED_COUNT);

    f.used[2] &= ~1u; /* the reserved frame 64 */
    expect_fault(FRAMES_FIXED_FREE);
    f.used[0] &= ~1u; /* a hole */
    expect_fault(FRAMES_FIXED_FREE);

    f.end = 99;
    expect_fault(FRAMES_PAST_END);
    f.fixed[FRAMES_MAX / 32 - 1] &= ~(1u << 31);
    expect_fault(FRAMES_PAST_END);

    f.first_word[FRAMES_LOW] = 3;
    expect_fault(FRAMES_HINT);
    frames_add(&f, SPLIT, SPLIT + 32);
    f.first_word[FRAMES_HIGH]++;
    expect_fault(FRAMES_HINT);
}

/* ---- Against a model ---- */

#define MODEL_SPLIT 512u
#define MODEL_END   1024u

enum model_state {
    HOLE,
    RESERVED,
    ALLOCATED,
    FREE,
};

static uint8_t model[MODEL_END];

static uint32_t model_count(enum model_state which)
{
    uint32_t count = 0;
    for (uint32_t frame = 0; frame < MODEL_END; frame++)
        count += model[frame] == which;
    return count;
}

static uint32_t model_alloc(enum frames_zone zone)
{
    uint32_t first = zone == FRAMES_LOW ? 0 : MODEL_SPLIT;
    uint32_t end = zone == FRAMES_LOW ? MODEL_SPLIT : MODEL_END;

    for (uint32_t frame = first; frame < end; frame++) {
        if (model[frame] == FREE) {
            model[frame] = ALLOCATED;
            return frame;
        }
    }
    return FRAMES_NONE;
}

static void model_change(uint32_t first, uint32_t end, enum model_state from, enum model_state to)
{
    for (uint32_t frame = first; frame < end; frame++) {
        if (model[frame] == from)
            model[frame] = to;
    }
}

static void check_model(void)
{
    static const enum frames_state states[] = {
        [HOLE] = FRAME_HOLE_OR_RESERVED,
        [RESERVED] = FRAME_HOLE_OR_RESERVED,
        [ALLOCATED] = FRAME_ALLOCATED,
        [FREE] = FRAME_FREE,
    };

    for (uint32_t frame = 0; frame < MODEL_END; frame++)
        assert_int_equal(frames_state(&f, frame), states[model[frame]]);
    check(MODEL_END - model_count(HOLE), model_count(RESERVED), model_count(ALLOCATED));
}

/* A memory map of random regions, holes and reservations; in this order, as the PMM enters them. */
static void random_map(struct prng *prng)
{
    frames_init(&f, MODEL_SPLIT);
    memset(model, HOLE, sizeof(model));
    for (uint32_t step = 0; step < 12; step++) {
        uint32_t first = prng_below(prng, MODEL_END);
        uint32_t end = first + prng_below(prng, MODEL_END - first + 1) / (step < 4 ? 1 : 8);

        if (step < 4) {
            frames_add(&f, first, end);
            model_change(first, end, HOLE, FREE);
        } else if (step < 8) {
            frames_remove(&f, first, end);
            model_change(first, end, FREE, HOLE);
        } else {
            frames_reserve(&f, first, end);
            model_change(first, end, FREE, RESERVED);
        }
    }
    check_model();
}

/* Random maps, and on each allocations and frees, many of them wrong; full, empty and between. */
static void test_random_operations(void **state)
{
    struct prng prng = { 20 };

    (void)state;
    for (uint32_t round = 0; round < 200; round++) {
        random_map(&prng);
        for (uint32_t step = 0; step < 2000; step++) {
            bool filling = step / 500 % 2 == 0;
            enum frames_zone zone = prng_below(&prng, FRAMES_ZONES);
            uint32_t frame = prng_below(&prng, MODEL_END);

            if (prng_once_in(&prng, 4) ? !filling : filling) {
                assert_int_equal(frames_alloc(&f, zone), model_alloc(zone));
            } else {
                assert_int_equal(frames_free(&f, frame), model[frame] == ALLOCATED);
                model_change(frame, frame + 1, ALLOCATED, FREE);
            }
            if (step % 200 == 0)
                check_model();
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_at_first),
        cmocka_unit_test(test_lowest_first),
        cmocka_unit_test(test_zones),
        cmocka_unit_test(test_reserve_and_remove),
        cmocka_unit_test(test_add_overlapping),
        cmocka_unit_test(test_wrong_frees),
        cmocka_unit_test(test_end_of_bitmap),
        cmocka_unit_test(test_full_bitmap),
        cmocka_unit_test(test_validator),
        cmocka_unit_test(test_random_operations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
