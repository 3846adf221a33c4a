/*
 * The frame bitmaps: cases by hand, and placement by placement against the model.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <mem/frames.h>
#include "frames_model.h"
#include "brief.h"
#include "support.h"

#define SPLIT FRAMES_HIGH_FIRST

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
    frames_init(&f);
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
    frames_init(&f);
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
    frames_init(&f);
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
}

/* Reserved frames count as RAM, removed ones do not; both are counted once and given to nobody. */
static void test_reserve_and_remove(void **state)
{
    (void)state;
    frames_init(&f);
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
    frames_init(&f);
    frames_add(&f, 9, 5);
    frames_add(&f, 9, 9);
    assert_int_equal(f.end, 0);
    frames_add(&f, 31, 65);
    frames_add(&f, 31, 65);
    frames_add(&f, 60, 70);
    frames_add(&f, 0, 32);
    check(70, 0, 0);
    assert_int_equal(frames_alloc(&f, FRAMES_LOW), 0);
    frames_add(&f, 0, 70); /* does not take back what is handed out */
    check(70, 0, 1);
    expect_frames(FRAMES_LOW, 1, 64);
    frames_add(&f, 0, 70); /* nor whole words of it */
    check(70, 0, 64);
    assert_int_equal(frames_alloc(&f, FRAMES_LOW), 64);
}

/* The end comes down over holes, and over nothing else. */
static void test_lower_end(void **state)
{
    (void)state;
    frames_init(&f);
    frames_lower_end(&f);
    assert_int_equal(f.end, 0);
    frames_add(&f, 0, 100);
    frames_lower_end(&f);
    assert_int_equal(f.end, 100);
    frames_remove(&f, 90, 200);
    frames_remove(&f, 40, 50);
    frames_lower_end(&f);
    assert_int_equal(f.end, 90);
    check(80, 0, 0);
    frames_remove(&f, 1, 90);
    frames_lower_end(&f);
    assert_int_equal(f.end, 1);
    frames_remove(&f, 0, 1);
    frames_lower_end(&f);
    assert_int_equal(f.end, 0);
    check(0, 0, 0);
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
    frames_init(&f);
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
    frames_init(&f);
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
    frames_init(&f);
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

/* ---- Runs ---- */

/*
 * The lowest run that is long enough, begins where it should and ends in time:
 *
 *   30   34       62      70             100                  300
 *   |free|  taken  | free |    taken      |       free         |
 */
static void test_runs(void **state)
{
    (void)state;
    frames_init(&f);
    frames_add(&f, 30, 34);
    frames_add(&f, 62, 70);
    frames_add(&f, 100, 300);
    assert_int_equal(frames_alloc_run(&f, 5, 1, FRAMES_MAX), 62); /* over a word's end */
    check(212, 0, 5);
    assert_int_equal(frames_alloc_run(&f, 4, 1, FRAMES_MAX), 30);
    assert_int_equal(frames_alloc_run(&f, 2, 4, FRAMES_MAX), 68);
    assert_int_equal(frames_alloc_run(&f, 3, 1, FRAMES_MAX), 100);
    assert_int_equal(frames_alloc_run(&f, 40, 64, FRAMES_MAX), 128);
    assert_int_equal(frames_alloc_run(&f, 32, 1, FRAMES_MAX), 168);
    assert_int_equal(frames_alloc_run(&f, 33, 16, FRAMES_MAX), 208);
    assert_int_equal(frames_alloc_run(&f, 25, 1, 127), FRAMES_NONE);
    assert_int_equal(frames_alloc_run(&f, 25, 1, 128), 103); /* ends at the limit */
    check(212, 0, 144);
    assert_int_equal(frames_alloc(&f, FRAMES_LOW), 67);

    /* Back in any pieces. */
    assert_true(frames_free_run(&f, 168, 32));
    assert_true(frames_free(&f, 130));
    assert_false(frames_free_run(&f, 128, 40));
    assert_true(frames_free_run(&f, 128, 2));
    assert_true(frames_free_run(&f, 131, 37));
    assert_int_equal(frames_alloc_run(&f, 72, 8, FRAMES_MAX), 128);
    check(212, 0, 145);
}

/*
 * A run that is longer than a word begins right behind the frame that was in its way, wherever in
 * its word that is.
 *
 *   64 ...... taken ......... 264
 *   |free     |x|free         |          60 frames
 */
static void test_run_behind_what_is_in_the_way(void **state)
{
    (void)state;
    for (uint32_t taken = 96; taken < 124; taken++) {
        frames_init(&f);
        frames_add(&f, 64, 264);
        frames_reserve(&f, taken, taken + 1);
        assert_int_equal(frames_alloc_run(&f, 60, 1, FRAMES_MAX), taken + 1);
        check(200, 1, 60);
    }
}

/* What cannot be had, or be given back, changes nothing. */
static void test_run_refusals(void **state)
{
    (void)state;
    frames_init(&f);
    frames_add(&f, 32, 96);
    frames_reserve(&f, 64, 65);
    assert_int_equal(frames_alloc_run(&f, 0, 1, FRAMES_MAX), FRAMES_NONE);
    assert_int_equal(frames_alloc_run(&f, 33, 1, FRAMES_MAX), FRAMES_NONE);
    assert_int_equal(frames_alloc_run(&f, 1, 128, FRAMES_MAX), FRAMES_NONE);
    assert_int_equal(frames_alloc_run(&f, 1, 1, 32), FRAMES_NONE);
    assert_int_equal(frames_alloc_run(&f, 1, 1, 0), FRAMES_NONE);
    assert_int_equal(frames_alloc_run(&f, UINT32_MAX, 1, UINT32_MAX), FRAMES_NONE);
    assert_int_equal(frames_alloc_run(&f, FRAMES_MAX + 1, 1, UINT32_MAX), FRAMES_NONE);
    EXPECT_PANIC("assertion", (void)!frames_alloc_run(&f, 1, 3, FRAMES_MAX));
    EXPECT_PANIC("assertion", (void)!frames_alloc_run(&f, 1, 0, FRAMES_MAX));
    check(64, 1, 0);

    assert_int_equal(frames_alloc_run(&f, 32, 32, 64), 32);
    assert_false(frames_free_run(&f, 32, 33));
    assert_false(frames_free_run(&f, 31, 2));
    assert_false(frames_free_run(&f, 32, 0));
    assert_false(frames_free_run(&f, 32, UINT32_MAX));
    assert_false(frames_free_run(&f, FRAMES_MAX, 1));
    assert_false(frames_free_run(&f, UINT32_MAX, 1));
    assert_false(frames_free_run(&f, FRAMES_MAX - 1, 2));
    check(64, 1, 32);
    assert_true(frames_free_run(&f, 32, 32));
    assert_false(frames_free_run(&f, 32, 32));

    /* A run may lie in both zones, and at the very end. */
    frames_add(&f, SPLIT - 1, FRAMES_MAX);
    assert_int_equal(frames_alloc_run(&f, 33, 1, FRAMES_MAX), SPLIT - 1);
    assert_int_equal(frames_alloc_run(&f, FRAMES_MAX - SPLIT - 32, 1, FRAMES_MAX), SPLIT + 32);
    assert_int_equal(frames_alloc(&f, FRAMES_HIGH), FRAMES_NONE);
    assert_int_equal(frames_alloc_run(&f, 32, 1, FRAMES_MAX), 32);
    assert_true(frames_free_run(&f, FRAMES_MAX - 31, 31));
    assert_true(frames_free(&f, SPLIT)); /* so that the other levels are not 0 */
    assert_int_equal(frames_alloc_run(&f, 32, 1, FRAMES_MAX), FRAMES_NONE);
    assert_int_equal(frames_alloc_run(&f, 31, 1, FRAMES_MAX), 65);
    assert_int_equal(frames_alloc_run(&f, 31, 1, FRAMES_MAX), FRAMES_MAX - 31);
}

/* A short run may lie in the last two words, and in the last one. */
static void test_runs_at_the_end(void **state)
{
    (void)state;
    frames_init(&f);
    frames_add(&f, FRAMES_MAX - 40, FRAMES_MAX);
    assert_int_equal(frames_alloc_run(&f, 16, 1, FRAMES_MAX), FRAMES_MAX - 40);
    assert_int_equal(frames_alloc_run(&f, 25, 1, FRAMES_MAX), FRAMES_NONE);
    assert_int_equal(frames_alloc_run(&f, 24, 1, FRAMES_MAX), FRAMES_MAX - 24);
    check(40, 0, 40);
    assert_true(frames_free_run(&f, FRAMES_MAX - 40, 40));
    assert_int_equal(frames_alloc_run(&f, 41, 1, UINT32_MAX), FRAMES_NONE);
    check(40, 0, 0);
}

/* A run may begin at frame 0, end at the limit, and be all there is. */
static void test_runs_of_everything(void **state)
{
    (void)state;
    frames_init(&f);
    frames_add(&f, 0, FRAMES_MAX);
    assert_int_equal(frames_alloc_run(&f, 8, 1, 8), 0);
    assert_true(frames_free_run(&f, 0, 8));
    assert_int_equal(frames_alloc_run(&f, FRAMES_MAX, FRAMES_MAX, FRAMES_MAX), 0);
    check(FRAMES_MAX, 0, FRAMES_MAX);
    assert_true(frames_free_run(&f, 0, FRAMES_MAX));
    check(FRAMES_MAX, 0, 0);
}

/* ---- The validator ---- */

/* [64, 100) is RAM; 64 to 67 are reserved, 68 and 69 handed out. */
static void set_up(void)
{
    frames_init(&f);
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
    f.free[2] |= 1u << (68 - 64); /* free and still counted as handed out */
    f.allocated--;
    f.total--;
    expect_fault(FRAMES_FREE_COUNT);

    f.allocated++;
    expect_fault(FRAMES_ALLOCATED_COUNT);
    f.free[2] &= ~(1u << (90 - 64)); /* a free frame marked as handed out */
    expect_fault(FRAMES_ALLOCATED_COUNT);

    f.free[2] |= 1u; /* the reserved frame 64 */
    expect_fault(FRAMES_FIXED_FREE);
    f.free[0] |= 1u; /* a hole */
    expect_fault(FRAMES_FIXED_FREE);

    f.end = 99;
    expect_fault(FRAMES_PAST_END);
    f.fixed[FRAMES_MAX / 32 - 1] &= ~(1u << 31);
    expect_fault(FRAMES_PAST_END);

    f.words[0] &= ~(1u << 3); /* [96, 100) is free */
    expect_fault(FRAMES_WORDS);
    f.words[0] |= 1u; /* [0, 32) is a hole */
    expect_fault(FRAMES_WORDS);
    f.words[0] |= 1u << 4;
    expect_fault(FRAMES_WORDS);
    f.groups[0] = 0;
    expect_fault(FRAMES_GROUPS);
    f.groups[3] |= 1u << 31;
    expect_fault(FRAMES_GROUPS);
}

/* ---- Against the model ---- */

static struct frames_model model;

static void check_model(void)
{
    for (uint32_t frame = 0; frame < FRAMES_MAX; frame++)
        assert_int_equal(frames_state(&f, frame), model.is[frame]);
    check(model.total, model.reserved, model.allocated);
}

/* A memory map of random regions, holes and reservations; in this order, as the PMM enters them. */
static void random_map(struct prng *prng, uint32_t base, uint32_t size)
{
    frames_init(&f);
    model_init(&model);
    for (uint32_t step = 0; step < 12; step++) {
        uint32_t offset = prng_below(prng, size);
        uint32_t first = base + offset;
        uint32_t end = first + prng_below(prng, size - offset + 1) / (step < 4 ? 1 : 8);

        if (step < 4) {
            frames_add(&f, first, end);
            model_add(&model, first, end);
        } else if (step < 8) {
            frames_remove(&f, first, end);
            model_remove(&model, first, end);
        } else {
            frames_reserve(&f, first, end);
            model_reserve(&model, first, end);
        }
    }
    check_model();
}

/* Mostly short, some longer than one word of the bitmap, few of many words. */
static uint32_t random_count(struct prng *prng)
{
    return prng_below(prng, prng_once_in(prng, 4) ? prng_once_in(prng, 8) ? 3000 : 100 : 12);
}

static void alloc_something(struct prng *prng, uint32_t base, uint32_t size)
{
    if (prng_below(prng, 8) > 0) {
        enum frames_zone zone = prng_below(prng, 2);
        assert_int_equal(frames_alloc(&f, zone), model_alloc(&model, zone));
        return;
    }
    uint32_t count = random_count(prng), align = 1u << prng_below(prng, 12);
    uint32_t limit = prng_once_in(prng, 2) ? FRAMES_MAX : base + prng_below(prng, size + 1);
    assert_int_equal(frames_alloc_run(&f, count, align, limit),
                     model_alloc_run(&model, count, align, limit));
}

/* A frame or a run that is allocated, or is not. */
static void free_something(struct prng *prng, uint32_t base, uint32_t size)
{
    uint32_t first = base + prng_below(prng, size);

    if (prng_below(prng, 4) > 0) {
        assert_int_equal(frames_free(&f, first), model_free_run(&model, first, 1));
        return;
    }
    uint32_t count = random_count(prng);
    assert_int_equal(frames_free_run(&f, first, count), model_free_run(&model, first, count));
}

/* Full, empty and between, by turns, in [base, base + size). */
static void compare(struct prng *prng, uint32_t base, uint32_t size, uint32_t steps)
{
    random_map(prng, base, size);
    for (uint32_t step = 0; step < steps; step++) {
        bool filling = step / (steps / 6) % 2 == 0;

        if (prng_once_in(prng, 4) ? !filling : filling)
            alloc_something(prng, base, size);
        else
            free_something(prng, base, size);
        if (step % (steps / 3) == 0)
            check_model();
    }
    check_model();
}

/* Small maps around the zones' border, so that both fill up; then larger ones, up to all there is.
 */
static void test_random_operations(void **state)
{
    struct prng prng = { 20 };

    (void)state;
    for (uint32_t round = 0; round < test_rounds(60); round++)
        compare(&prng, SPLIT - 512, 1024, 3000);
    for (uint32_t round = 0; round < test_rounds(10); round++)
        compare(&prng, 0, 3 * FRAMES_GROUP, 12000);
    for (uint32_t round = 0; round < test_rounds(4); round++)
        compare(&prng, SPLIT - FRAMES_BLOCK, 2 * FRAMES_BLOCK, 30000);
    compare(&prng, 0, FRAMES_MAX, 60000);
}

/* Memory all but full: the search passes many empty words, of all levels, to a few free frames. */
static void test_nearly_full(void **state)
{
    struct prng prng = { 21 };

    (void)state;
    frames_init(&f);
    model_init(&model);
    frames_add(&f, 0, FRAMES_MAX);
    model_add(&model, 0, FRAMES_MAX);
    for (uint32_t frame = 0; frame < FRAMES_MAX; frame++) {
        enum frames_zone zone = frame < SPLIT ? FRAMES_LOW : FRAMES_HIGH;
        assert_int_equal(frames_alloc(&f, zone), frame);
    }
    assert_int_equal(model_alloc_run(&model, FRAMES_MAX, 1, FRAMES_MAX), 0);
    for (uint32_t step = 0; step < 20000; step++) {
        for (uint32_t i = 1 + prng_below(&prng, 3); i > 0; i--) {
            uint32_t frame = prng_below(&prng, FRAMES_MAX);
            assert_int_equal(frames_free(&f, frame), model_free_run(&model, frame, 1));
        }
        for (uint32_t i = 1 + prng_below(&prng, 4); i > 0; i--) {
            enum frames_zone zone = prng_below(&prng, 4) > 0 ? FRAMES_LOW : FRAMES_HIGH;
            assert_int_equal(frames_alloc(&f, zone), model_alloc(&model, zone));
        }
        if (step % 5000 == 0)
            check_model();
    }
    check_model();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_at_first),
        cmocka_unit_test(test_lowest_first),
        cmocka_unit_test(test_zones),
        cmocka_unit_test(test_reserve_and_remove),
        cmocka_unit_test(test_add_overlapping),
        cmocka_unit_test(test_lower_end),
        cmocka_unit_test(test_wrong_frees),
        cmocka_unit_test(test_end_of_bitmap),
        cmocka_unit_test(test_full_bitmap),
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_run_behind_what_is_in_the_way),
        cmocka_unit_test(test_run_refusals),
        cmocka_unit_test(test_runs_at_the_end),
        cmocka_unit_test(test_runs_of_everything),
        cmocka_unit_test(test_validator),
        cmocka_unit_test(test_random_operations),
        cmocka_unit_test(test_nearly_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
