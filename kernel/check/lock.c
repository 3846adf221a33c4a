/*
 * Checks of locks.
 *
 * A list of all locks that are held says by whom and since when. A spinlock is the CPU's: while it
 * is held interrupts are off, and no other thread runs. Everything here happens with interrupts
 * off.
 *
 * A report is made before the lock is touched, so that it shows what led there. Tests catch them
 * (check_catch); the lock is then taken or released as if nothing was wrong.
 */
#include <sched/lock_check.h>
#include "check/access.h"
#include "check/globals.h"
#include "check/order.h"
#include "check/report.h"
#include "check/trace.h"
#include <check.h>
#include <lib/printf.h>
#include <log.h>
#include <panic.h>
#include <x86/io.h>

#define HELD_MAX 64u

struct held {
    const void *lock;
    enum lock_kind kind;
    const struct thread *thread;
    struct check_trace since;
};

static struct held held[HELD_MAX]; /* in the order in which they were taken */
static uint32_t held_count;
static bool given_up; /* more were held than the list holds: who knows who holds what */

/* What a report is about, for the details behind the calls. */
static struct {
    bool is_held;
    struct held first;
    uint32_t edges;
    const struct order_edge *path[ORDER_PATH];
} details;

/* ---- Reports ---- */

/* "mutex grow_mutex of kernel/mem/heap_system.c", or its address. */
static const char *name_of(const void *lock, enum lock_kind kind, char text[80])
{
    struct check_global global;
    const char *word = kind == LOCK_SPIN ? "spinlock" : "mutex";

    if (check_global_find((vaddr_t)lock, &global))
        ksnprintf(text, 80, "%s %s of %s", word, global.name, global.file);
    else
        ksnprintf(text, 80, "%s %p", word, lock);
    return text;
}

static void print_details(void)
{
    if (details.is_held)
        check_trace_print(details.edges != 0 ? "the first was taken" : "it was taken",
                          &details.first.since);
    for (uint32_t i = 0; i < details.edges; i++) {
        check_trace_print("before, the second was taken", &details.path[i]->held_since);
        check_trace_print("and while it was held, the other one", &details.path[i]->taken_at);
    }
}

/* Panics with both places, unless a test waits for the report. `first`: held; NULL: none. */
static void report(const char *what, const struct held *first, const void *lock,
                   enum lock_kind kind)
{
    char second_name[80], first_name[80];

    if (check_catch_report(what))
        return;
    check_stop();
    details.is_held = first != NULL;
    if (first != NULL)
        details.first = *first;
    panic_details(print_details);
    if (first == NULL || first->lock == lock)
        panic("%s: %s", what, name_of(lock, kind, second_name));
    if (lock == NULL)
        panic("%s: %s", what, name_of(first->lock, first->kind, first_name));
    panic("%s: %s, then %s", what, name_of(first->lock, first->kind, first_name),
          name_of(lock, kind, second_name));
}

/* ---- Who holds what ---- */

/* Index of a lock in the list, or HELD_MAX. */
static uint32_t find(const void *lock)
{
    for (uint32_t i = 0; i < held_count; i++) {
        if (held[i].lock == lock)
            return i;
    }
    return HELD_MAX;
}

static void drop(uint32_t index)
{
    held_count--;
    for (uint32_t i = index; i < held_count; i++)
        held[i] = held[i + 1];
}

/* Whether the code that runs now holds it. */
static bool is_mine(const struct held *entry)
{
    return entry->kind == LOCK_SPIN || entry->thread == thread_current();
}

/* Adds the edges from what is held to a lock that is about to be taken. */
static void check_order(const void *lock, enum lock_kind kind, const void *frame)
{
    for (uint32_t i = 0; i < held_count; i++) {
        if (!is_mine(&held[i]) || held[i].lock == lock || order_known(held[i].lock, lock))
            continue;
        details.edges = order_path(lock, held[i].lock, details.path);
        if (details.edges != 0) {
            report("lock order inverted", &held[i], lock, kind);
        } else {
            struct order_edge edge = { .held = held[i].lock,
                                       .taken = lock,
                                       .held_since = held[i].since };
            check_trace_take(&edge.taken_at, frame);
            order_add(&edge);
        }
        details.edges = 0;
    }
}

void lock_check_wait(const void *lock, enum lock_kind kind)
{
    if (!check_on || given_up)
        return;
    uint32_t flags = interrupts_save();
    uint32_t index = find(lock);
    if (index < HELD_MAX && is_mine(&held[index]))
        report("lock taken twice", &held[index], lock, kind);
    check_order(lock, kind, __builtin_frame_address(0));
    interrupts_restore(flags);
}

void lock_check_taken(const void *lock, enum lock_kind kind)
{
    if (!check_on || given_up)
        return;
    uint32_t flags = interrupts_save();
    given_up = held_count == HELD_MAX;
    if (!given_up) {
        struct held *entry = &held[held_count++];
        entry->lock = lock;
        entry->kind = kind;
        entry->thread = thread_current();
        check_trace_take(&entry->since, __builtin_frame_address(0));
    }
    interrupts_restore(flags);
}

void lock_check_release(const void *lock, enum lock_kind kind)
{
    if (!check_on || given_up)
        return;
    uint32_t flags = interrupts_save();
    uint32_t index = find(lock);
    if (index == HELD_MAX)
        report("lock released that nobody holds", NULL, lock, kind);
    else if (!is_mine(&held[index]))
        report("lock released by another thread", &held[index], lock, kind);
    else
        drop(index);
    interrupts_restore(flags);
}

void lock_check_sleep(void)
{
    for (uint32_t i = 0; check_on && i < held_count; i++) {
        if (held[i].kind == LOCK_SPIN)
            report("sleeping while a lock is held", &held[i], NULL, LOCK_SPIN);
    }
}

void lock_check_forget(const void *lock)
{
    uint32_t flags = interrupts_save();
    order_forget(lock);
    interrupts_restore(flags);
}
