/*
 * Counting requests for memory. Two threads may ask at a time: a request's number is drawn by one
 * instruction, so that exactly one request has the number that fails.
 */
#include <mem/starve.h>

bool starve_on;
uint32_t starve_unasked;
static uint32_t unasked; /* what it is while nothing is counted */
static uint32_t numbers; /* drawn so far */
static struct starve_state state;

const char *starve_kind_text(enum starve_kind kind)
{
    static const char *const texts[] = { "frame", "page table", "block" };
    return texts[kind];
}

/* Another thread may change what this is made of meanwhile: then it is made again. */
static void update_unasked(void)
{
    uint32_t bytes;

    do {
        bytes = starve_on ? 0 : unasked;
        __atomic_store_n(&starve_unasked, bytes, __ATOMIC_RELEASE);
    } while (bytes != (__atomic_load_n(&starve_on, __ATOMIC_ACQUIRE) ? 0 : unasked));
}

static void turn(bool on)
{
    __atomic_store_n(&starve_on, on, __ATOMIC_RELEASE);
    update_unasked();
}

void starve_set_unasked(uint32_t bytes)
{
    __atomic_store_n(&unasked, bytes, __ATOMIC_RELEASE);
    update_unasked();
}

void starve_begin(uint32_t at, bool forever)
{
    starve_end();
    state = (struct starve_state){ .at = at, .forever = forever };
    numbers = 0;
    turn(true);
}

void starve_end(void)
{
    turn(false);
}

struct starve_state starve_get(void)
{
    struct starve_state copy = state;

    copy.on = starve_on;
    return copy;
}

bool starve_count(enum starve_kind kind)
{
    uint32_t number = __atomic_add_fetch(&numbers, 1, __ATOMIC_RELAXED);

    if (number > state.at && !state.forever)
        return false; /* another thread's request has failed meanwhile */
    __atomic_add_fetch(&state.seen[kind], 1, __ATOMIC_RELAXED);
    if (number < state.at)
        return false;
    if (number == state.at) {
        state.first = kind;
        turn(state.forever);
    }
    __atomic_add_fetch(&state.failed, 1, __ATOMIC_RELAXED);
    return true;
}
