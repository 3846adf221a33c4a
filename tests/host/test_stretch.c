/*
 * The recorder of stretches with interrupts off, on a clock that the test turns. Places are told
 * apart by the handlers that the test names.
 */
#define STRETCHES

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <x86/cpu.h>
#include "../../kernel/x86/stretch.c"

static uint64_t now;

uint64_t cpu_tsc(void)
{
    return now;
}

/* Interrupts have come on once, and nothing is recorded. */
static int fresh(void **state)
{
    (void)state;
    stretch_end();
    stretch_forget();
    return 0;
}

static void stretch_at(uint32_t place, uint32_t ticks)
{
    stretch_begin();
    stretch_is_of((void (*)(void))(uintptr_t)place);
    now += ticks;
    stretch_end();
    now += 1000000; /* interrupts are on */
}

static void expect(uint32_t rank, uint32_t place, uint32_t ticks)
{
    struct stretch stretch;

    assert_true(stretch_get(rank, &stretch));
    assert_int_equal(stretch.from, place);
    assert_int_equal(stretch.ticks, ticks);
}

static void expect_end(uint32_t rank)
{
    struct stretch stretch;
    assert_false(stretch_get(rank, &stretch));
}

/* The first case: nothing before has turned interrupts on. */
static void nothing_before_interrupts_come_on(void **state)
{
    (void)state;
    stretch_begin();
    now += 100;
    stretch_end();
    expect_end(0);
    stretch_at(1, 10);
    expect(0, 1, 10);
}

static void longest_come_first(void **state)
{
    (void)state;
    stretch_at(1, 10);
    stretch_at(2, 30);
    stretch_at(3, 20);
    expect(0, 2, 30);
    expect(1, 3, 20);
    expect(2, 1, 10);
    expect_end(3);
}

static void a_place_counts_once(void **state)
{
    (void)state;
    stretch_at(1, 10);
    stretch_at(2, 20);
    stretch_at(1, 5);
    expect(1, 1, 10);
    stretch_at(1, 30);
    expect(0, 1, 30);
    expect(1, 2, 20);
    expect_end(2);
}

/* What was off already and goes off again began where it went off first. */
static void nested_ones_are_one(void **state)
{
    (void)state;
    stretch_begin();
    now += 10;
    stretch_begin();
    now += 10;
    stretch_is_of((void (*)(void))(uintptr_t)7);
    stretch_end();
    now += 500;
    stretch_end();
    expect(0, 7, 20);
    expect_end(1);
}

static void the_least_makes_room(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= PLACES + 5; i++)
        stretch_at(i, 10 * i);
    stretch_at(1, 1);
    for (uint32_t rank = 0; rank < PLACES; rank++)
        expect(rank, PLACES + 5 - rank, 10 * (PLACES + 5 - rank));
    expect_end(PLACES);
}

static __attribute__((noinline)) void one_place(uint32_t ticks)
{
    stretch_begin();
    now += ticks;
    stretch_end();
    __asm__ volatile(""); /* not the last: a call of its own stays behind each */
}

static __attribute__((noinline)) void another_place(uint32_t ticks)
{
    stretch_begin();
    now += ticks;
    stretch_end();
    __asm__ volatile("");
}

static bool lies_in(uint32_t address, void (*function)(uint32_t))
{
    uint32_t first = (uint32_t)(uintptr_t)function;
    return address > first && address < first + 512;
}

static void places_are_found(void **state)
{
    struct stretch stretch;

    (void)state;
    one_place(20);
    another_place(10);
    assert_true(stretch_get(0, &stretch));
    assert_true(lies_in(stretch.from, one_place) && lies_in(stretch.until, one_place));
    assert_true(stretch_get(1, &stretch));
    assert_true(lies_in(stretch.from, another_place) && lies_in(stretch.until, another_place));
    assert_true(stretch.caller != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_before_interrupts_come_on),
        cmocka_unit_test_setup(longest_come_first, fresh),
        cmocka_unit_test_setup(a_place_counts_once, fresh),
        cmocka_unit_test_setup(nested_ones_are_one, fresh),
        cmocka_unit_test_setup(the_least_makes_room, fresh),
        cmocka_unit_test_setup(places_are_found, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
