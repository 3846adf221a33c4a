/*
 * The system around the heap in host tests.
 */
#define _GNU_SOURCE /* MAP_ANONYMOUS */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include <heap_lock.h>
#include <heap_system.h>
#include "heap_arena.h"
#include "mem/small.h"

uint8_t *arena;
struct heap_arena sys;

/* The two windows, and which of their pages are open. */
static uint8_t *index_window;
static uint8_t heap_open[ARENA_SIZE / PAGE_SIZE], index_open[INDEX_SIZE / PAGE_SIZE];

/* ---- Pages ---- */

/* Lets the other thread act, once. */
static void run_hook(void (**hook)(void))
{
    void (*action)(void) = *hook;

    *hook = NULL;
    if (action != NULL)
        action();
}

static bool in_heap(vaddr_t first)
{
    return first - (vaddr_t)arena < ARENA_SIZE;
}

/* The marks of `pages` pages from `first` on, which lie in one of the windows. */
static uint8_t *marks_of(vaddr_t first, size_t pages)
{
    vaddr_t window = in_heap(first) ? (vaddr_t)arena : (vaddr_t)index_window;
    size_t size = in_heap(first) ? ARENA_SIZE : INDEX_SIZE;

    assert_int_equal(first % PAGE_SIZE, 0);
    assert_in_range(first - window, 0, size - PAGE_SIZE);
    assert_in_range(pages, 1, (size - (first - window)) / PAGE_SIZE);
    return (in_heap(first) ? heap_open : index_open) + (first - window) / PAGE_SIZE;
}

/* Opens or closes pages, all of which must be the other way round. */
static void set_open(vaddr_t first, size_t pages, bool open)
{
    uint8_t *marks = marks_of(first, pages);
    uint32_t *counter = in_heap(first) ? &sys.heap_pages : &sys.index_pages;

    for (size_t i = 0; i < pages; i++) {
        assert_int_equal(marks[i], !open);
        marks[i] = open;
    }
    *counter += open ? (uint32_t)pages : -(uint32_t)pages;
    assert_int_equal(
        mprotect((void *)first, pages * PAGE_SIZE, open ? PROT_READ | PROT_WRITE : PROT_NONE), 0);
}

static bool is_refused(vaddr_t first, size_t pages)
{
    sys.requests++;
    if (sys.fail_at != NEVER &&
        (sys.requests == sys.fail_at || (sys.fail_from && sys.requests > sys.fail_at)))
        return true;
    return sys.limit != 0 && in_heap(first) && first + pages * PAGE_SIZE > sys.limit;
}

bool heap_system_map(vaddr_t first, size_t pages)
{
    assert_false(sys.spinning);
    assert_true(sys.growing || sys.initialising);
    run_hook(&sys.while_mapping);
    if (is_refused(first, pages))
        return false;
    set_open(first, pages, true);
    memset((void *)first, 0xa5, pages * PAGE_SIZE);
    return true;
}

void heap_system_unmap(vaddr_t first, size_t pages)
{
    assert_false(sys.spinning);
    assert_true(sys.growing || sys.initialising);
    assert_true(sys.initialising || !in_heap(first) || first >= (vaddr_t)arena + FIRST_BYTES);
    run_hook(&sys.while_unmapping);
    set_open(first, pages, false);
}

/* ---- Locks ---- */

#define LOCK_STATE 0x202u

uint32_t heap_lock(void)
{
    assert_false(sys.spinning);
    sys.spinning = true;
    return LOCK_STATE;
}

void heap_unlock(uint32_t state)
{
    assert_true(sys.spinning);
    assert_int_equal(state, LOCK_STATE);
    sys.spinning = false;
}

void heap_system_grow_lock(void)
{
    assert_false(sys.spinning);
    assert_false(sys.growing);
    run_hook(&sys.while_waiting);
    sys.growing = true;
}

bool heap_system_try_grow_lock(void)
{
    bool taken = !sys.growing;

    assert_false(sys.spinning);
    sys.growing = true;
    return taken;
}

void heap_system_grow_unlock(void)
{
    assert_true(sys.growing);
    assert_false(sys.spinning);
    sys.growing = false;
}

/* ---- Beginning ---- */

/* At `address`, or wherever there is room. */
static uint8_t *reserve(void *address, size_t size)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    uint8_t *window = mmap(address, size, PROT_NONE, flags, -1, 0);

    return window == MAP_FAILED ? NULL : window;
}

int open_arena(void **state)
{
    (void)state;
    arena = reserve((void *)HEAP_BASE, ARENA_SIZE);
    index_window = reserve(NULL, INDEX_SIZE);
    return arena == NULL || index_window == NULL;
}

void close_arena(void)
{
    assert_int_equal(mprotect(arena, ARENA_SIZE, PROT_NONE), 0);
    assert_int_equal(mprotect(index_window, INDEX_SIZE, PROT_NONE), 0);
    memset(heap_open, 0, sizeof(heap_open));
    memset(index_open, 0, sizeof(index_open));
    memset(&sys, 0, sizeof(sys));
}

void reset_unchecked(size_t size, bool use_small)
{
    close_arena();
    assert_in_range(heap_index_size(size), PAGE_SIZE, INDEX_SIZE);
    sys.initialising = true;
    heap_init((vaddr_t)arena, size, (vaddr_t)index_window);
    sys.initialising = false;
    small.grown = size <= ARENA_GROWN;
    heap_use_small(use_small);
}

static void reset_checked(size_t size, bool use_small)
{
    reset_unchecked(size, use_small);
    assert_int_equal(sys.heap_pages, HEAP_FIRST_PAGES);
    check_sound();
}

void reset(size_t size)
{
    reset_checked(size, false);
}

void reset_small(size_t size)
{
    reset_checked(size, true);
}

void fail_requests(uint32_t nth, bool from)
{
    sys.requests = 0;
    sys.fail_at = nth;
    sys.fail_from = from;
}

/* ---- Looking at it ---- */

void *at(size_t offset)
{
    return arena + offset;
}

uint32_t *word(size_t offset)
{
    return at(offset);
}

void *new_block(size_t size, size_t offset)
{
    void *block = kmalloc(size - 4);

    assert_ptr_equal(block, at(offset));
    return block;
}

void check_sound(void)
{
    struct heap_stats stats = heap_get_stats();

    assert_int_equal(heap_validate(), HEAP_SOUND);
    assert_false(sys.spinning);
    assert_false(sys.growing);
    assert_int_equal(stats.mapped, sys.heap_pages * PAGE_SIZE);
    assert_int_equal(stats.total, (sys.heap_pages + sys.index_pages) * PAGE_SIZE);
}

struct snapshot take_snapshot(void)
{
    struct snapshot shot = { heap_get_stats(), malloc(sys.heap_pages * PAGE_SIZE) };

    assert_non_null(shot.bytes);
    memcpy(shot.bytes, arena, shot.stats.mapped);
    return shot;
}

void drop_snapshot(struct snapshot *shot)
{
    free(shot->bytes);
}

void check_unchanged(struct snapshot *shot)
{
    struct heap_stats stats = heap_get_stats();

    check_sound();
    assert_memory_equal(&stats, &shot->stats, sizeof(stats));
    assert_memory_equal(arena, shot->bytes, stats.mapped);
    drop_snapshot(shot);
}
