/*
 * The kernel heap against its model: random calls by the million, every placement compared.
 *
 * Each profile is a window, how many slots there are, of which about half are full, and how large
 * requests are: together they say how full the window gets. Every tenth call gets a few pages at
 * most, or none. In windows up to 256 KiB the validator is asked after every call, else after every
 * thousandth.
 *
 *   test_heap_model [CALLS]
 *
 * makes so many calls in all; without a number 3 million, or with RONINOS_TEST_ALL in the
 * environment 14.5 million.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "brief.h"
#include "heap_play.h"
#include "support.h"

struct profile {
    size_t window;
    uint32_t slots;
    uint32_t size_bits;   /* sizes are up to 2^size_bits, small ones as likely as large */
    uint32_t small_part;  /* but of 16 requests so many are ... */
    uint32_t small_below; /* ... of 1 to so many bytes */
    uint32_t tide;        /* for 2^tide calls the slots rather fill, for as many they empty */
    bool use_small;
    uint32_t thousands; /* of calls, in a full run */
};

/* clang-format off */
static const struct profile profiles[] = {
    /* window  slots bits small below tide objects calls */
    { 64 * KIB,   16,   9,  0,    0,    9,  false,  200 }, /* nearly empty */
    { 64 * KIB,  128,  11,  0,    0,   20,  false,  400 },
    { 64 * KIB,  400,  12,  4,   50,    8,  false,  400 }, /* full */
    { 64 * KIB,  300,  12, 10,   20,   10,  true,   500 }, /* one class has chunks */
    { 256 * KIB, 300,  14, 10,  256,   10,  true,   500 }, /* a few */
    { 256 * KIB, 900,  12, 10,   60,   12,  true,   500 },
    { 256 * KIB, 900,  15, 12,   40,   11,  true,  1000 }, /* full: spares are given back */
    { MIB,       256,  15,  4,  300,   12,  false, 1000 },
    { MIB,      2000,  14, 13,  256,   12,  true,  1000 },
    { MIB,      3000,  16, 13,  100,   12,  true,  1500 }, /* full */
    { 4 * MIB,  1200,  16, 10,  300,   11,  true,  1500 },
    { 4 * MIB,  6000,  15, 14,  256,   14,  true,  1000 },
    { 16 * MIB,  200,  20,  2,  300,   12,  false, 1000 },
    { 16 * MIB, 1500,  18, 10,  256,   11,  true,  1500 },
    { 16 * MIB, 9000,  17, 13,  256,   15,  true,   500 },
    { 64 * MIB,  900,  21,  8,  300,   11,  true,  1500 },
    { 64 * MIB, 6000,  20, 13,  256,   14,  true,   500 },
};
/* clang-format on */

#define FULL_THOUSANDS 14500u
#define QUICK_CALLS    3000000u

static uint32_t calls_in_all;

static struct prng prng;

static size_t random_size(const struct profile *profile)
{
    if (prng_below(&prng, 16) < profile->small_part)
        return 1 + prng_below(&prng, profile->small_below);
    return 1 + prng_next(&prng) % (1u << (1 + prng_below(&prng, profile->size_bits)));
}

/* One that the tide wants to be filled or emptied, rather than another. */
static struct play_slot *random_slot(const struct profile *profile, uint32_t round)
{
    bool flood = (round >> profile->tide) % 2 == 0;
    struct play_slot *slot;

    for (uint32_t i = 0; i < 4; i++) {
        slot = &play.slots[prng_below(&prng, profile->slots)];
        if ((slot->payload == NULL) == flood)
            break;
    }
    return slot;
}

static void call_once(const struct profile *profile, uint32_t round)
{
    struct play_slot *slot = random_slot(profile, round);
    uint32_t kind = prng_below(&prng, 16);

    if (prng_once_in(&prng, 10))
        play_limit(prng_below(&prng, 3));
    if (slot->payload != NULL && kind < 5)
        play_realloc(slot, random_size(profile));
    else if (slot->payload != NULL)
        play_free(slot);
    else if (kind < 2)
        play_alloc(slot, random_size(profile), 1u << prng_below(&prng, 13));
    else if (kind < 4)
        play_calloc(slot, random_size(profile));
    else
        play_alloc(slot, random_size(profile), 8);
    play_no_limit();
}

static void run_profile(const struct profile *profile, uint32_t rounds, uint32_t seed)
{
    uint32_t step = profile->window <= 256 * KIB ? 1 : 1000;

    prng.state = seed;
    play_start(profile->window, profile->use_small);
    for (uint32_t round = 0; round < rounds; round++) {
        call_once(profile, round);
        if (round % step == 0)
            check_sound();
        if (round % 1024 == 0)
            play_check_layout();
    }
    play_end();
}

static void test_profile(void **state)
{
    const struct profile *profile = *state;
    uint32_t rounds = (uint32_t)((uint64_t)calls_in_all * profile->thousands / FULL_THOUSANDS);

    run_profile(profile, rounds, 1 + (uint32_t)(profile - profiles));
}

/* What the profiles are there for happens in them: no memory, chunks, spares given back. */
static void test_profiles_reach_the_limits(void **state)
{
    size_t failures = 0, chunks = 0, spares_dropped = 0;

    (void)state;
    if (test_rounds(20) < 20)
        skip(); /* this is about the profiles, not about the heap */
    for (size_t i = 0; i < ARRAY_SIZE(profiles); i++) {
        if (profiles[i].window > MIB)
            continue;
        prng.state = 77;
        play_start(profiles[i].window, profiles[i].use_small);
        for (uint32_t round = 0; round < 50000; round++)
            call_once(&profiles[i], round);
        failures += play.failures;
        chunks += play.model.chunks_made;
        spares_dropped += play.model.spares_dropped;
        play_end();
    }
    assert_true(failures > 2000);
    assert_true(chunks > 300);
    assert_true(spares_dropped > 100);
}

/* ---- Another thread in between ---- */

/* What another thread does while this one waits comes first, in the model as in the heap. */
static struct play_slot *others_slot;

static void other_plays(void)
{
    if (others_slot->payload != NULL)
        play_free(others_slot);
    else
        play_alloc(others_slot, 3000, 8);
}

static void test_two_threads(void **state)
{
    static const struct profile profile = { .window = 16 * MIB, .size_bits = 16 };
    uint32_t met = 0;

    (void)state;
    prng.state = 2;
    play_start(profile.window, true);
    for (uint32_t round = 0; round < test_rounds(20000); round++) {
        struct play_slot *slot = &play.slots[prng_below(&prng, 64)];
        size_t size = random_size(&profile);

        others_slot = &play.slots[64 + prng_below(&prng, 64)];
        if (slot->payload != NULL) {
            play_free(slot);
            continue;
        }
        /* The model cannot be interrupted: a request that will wait is asked of it last. */
        sys.while_waiting = other_plays;
        slot->payload = kmalloc(size);
        slot->size = size;
        met += sys.while_waiting == NULL;
        sys.while_waiting = NULL;
        assert_int_equal((vaddr_t)slot->payload, heap_model_alloc(&play.model, size, 8));
        memset(slot->payload, slot->tag, size);
        check_sound();
    }
    assert_true(met > test_rounds(100));
    play_check_layout();
    play_end();
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[ARRAY_SIZE(profiles) + 2] = {
        cmocka_unit_test(test_profiles_reach_the_limits),
        cmocka_unit_test(test_two_threads),
    };
    static char names[ARRAY_SIZE(profiles)][64];

    if (argc > 1)
        calls_in_all = (uint32_t)strtoul(argv[1], NULL, 10);
    else if (getenv("RONINOS_TEST_ALL") != NULL)
        calls_in_all = FULL_THOUSANDS * 1000;
    else
        calls_in_all = test_rounds(QUICK_CALLS);
    for (size_t i = 0; i < ARRAY_SIZE(profiles); i++) {
        snprintf(names[i], sizeof(names[i]), "test_profile %zu: window of %u KiB%s", i,
                 profiles[i].window / KIB, profiles[i].use_small ? ", small objects" : "");
        tests[2 + i] =
            (struct CMUnitTest){ names[i], test_profile, NULL, NULL, (void *)&profiles[i] };
    }
    return cmocka_run_group_tests(tests, open_arena, NULL);
}
