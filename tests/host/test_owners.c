/*
 * Owners of frames, beside a bitmap that they have to agree with.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "mem/owners.h"

#define END 100u

static struct frames frames;
static struct owners owners;
static uint8_t bytes[END];

/*   0        10  .  .  .  20            ...  99
 *   | holes  | reserved    | free             |
 */
static int start(void **state)
{
    (void)state;
    frames_init(&frames);
    frames_add(&frames, 10, END);
    frames_reserve(&frames, 10, 20);
    for (uint32_t i = 0; i < END; i++)
        bytes[i] = 0xff;
    owners_init(&owners, bytes, END);
    return 0;
}

static uint32_t take(enum frame_owner owner)
{
    uint32_t frame = frames_alloc(&frames, FRAMES_LOW);

    owners_take(&owners, frame, 1, owner);
    return frame;
}

static void expect(enum owners_fault fault)
{
    assert_int_equal(owners_validate(&owners, &frames), fault);
}

static void test_nobody_at_first(void **state)
{
    (void)state;
    expect(OWNERS_SOUND);
    for (uint32_t frame = 0; frame < END; frame++)
        assert_int_equal(owners_of(&owners, frame), FRAME_NOBODY);
    assert_int_equal(owners_of(&owners, END), FRAME_NOBODY);
    assert_int_equal(owners_of(&owners, UINT32_MAX), FRAME_NOBODY);
}

static void test_taking_and_giving(void **state)
{
    (void)state;
    uint32_t heap = take(FRAME_HEAP), stack = take(FRAME_STACKS);

    assert_int_equal(owners_of(&owners, heap), FRAME_HEAP);
    assert_int_equal(owners_of(&owners, stack), FRAME_STACKS);
    assert_int_equal(owners.owned[FRAME_HEAP], 1);
    expect(OWNERS_SOUND);

    assert_true(frames_free(&frames, heap));
    owners_give(&owners, heap, 1, FRAME_HEAP);
    assert_int_equal(owners_of(&owners, heap), FRAME_NOBODY);
    assert_int_equal(owners.owned[FRAME_HEAP], 0);
    assert_int_equal(owners.owned[FRAME_STACKS], 1);
    expect(OWNERS_SOUND);
}

/*   20  21          28  29
 *   | S | D D D D D D D | . |     a run of seven between a stack's and nobody's
 */
static void test_runs(void **state)
{
    (void)state;
    take(FRAME_STACKS);
    uint32_t first = frames_alloc_run(&frames, 7, 1, END);
    owners_take(&owners, first, 7, FRAME_DRIVERS);
    expect(OWNERS_SOUND);

    assert_int_equal(owners.owned[FRAME_DRIVERS], 7);
    assert_int_equal(owners_run(&owners, first, 7, FRAME_DRIVERS), 7);
    assert_int_equal(owners_run(&owners, first, 9, FRAME_DRIVERS), 7);
    assert_int_equal(owners_run(&owners, first - 1, 7, FRAME_DRIVERS), 0);
    assert_int_equal(owners_run(&owners, first, 7, FRAME_STACKS), 0);
    assert_int_equal(owners_run(&owners, END - 1, 9, FRAME_NOBODY), 9); /* past the end as well */
    owners_give(&owners, first + 2, 1, FRAME_DRIVERS);
    assert_int_equal(owners_run(&owners, first, 7, FRAME_DRIVERS), 2);
    expect(OWNERS_NONE);
}

static void test_validator(void **state)
{
    (void)state;
    uint32_t frame = take(FRAME_TABLES);

    bytes[frame] = FRAME_OWNERS;
    expect(OWNERS_UNKNOWN);
    bytes[frame] = FRAME_NOBODY;
    expect(OWNERS_NONE);
    bytes[frame] = FRAME_HEAP; /* somebody else's than the figures say */
    expect(OWNERS_COUNT);
    bytes[frame] = FRAME_TABLES;
    for (uint32_t stray = 0; stray < END; stray += END - 1) {
        bytes[stray] = FRAME_TABLES;
        expect(OWNERS_STRAY);
        bytes[stray] = FRAME_NOBODY;
    }
    owners.owned[FRAME_NOBODY]++;
    expect(OWNERS_COUNT);
    owners.owned[FRAME_NOBODY]--;
    owners.owned[FRAME_OWNERS - 1]++;
    expect(OWNERS_COUNT);
    owners.owned[FRAME_OWNERS - 1]--;
    expect(OWNERS_SOUND);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_nobody_at_first, start),
        cmocka_unit_test_setup(test_taking_and_giving, start),
        cmocka_unit_test_setup(test_runs, start),
        cmocka_unit_test_setup(test_validator, start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
