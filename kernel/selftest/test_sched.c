/*
 * Tests of threads, of waiting, and of being preempted. None relies on how fast the machine is:
 * order is tested with interrupts off, and what takes time is waited for.
 */
#include <selftest.h>
#include "mem/layout.h"
#include "selftest/support.h"
#include <drivers/timer.h>
#include <heap.h>
#include <lib/string.h>
#include <sched/sched.h>
#include <sched/sync.h>
#include <sched/thread.h>
#include <x86/io.h>

/* What waits for something that must come is given up after this many ticks' sleeps. */
#define PATIENCE 300u

static enum thread_state state_of(const struct thread *thread)
{
    return *(volatile const enum thread_state *)&thread->state;
}

/* Lets other threads run until this one is in the state; false if it never is. */
static bool wait_for_state(const struct thread *thread, enum thread_state state)
{
    for (uint32_t i = 0; i < PATIENCE && state_of(thread) != state; i++) {
        thread_yield();
        if (state_of(thread) != state)
            thread_sleep(TIMER_TICK_MS);
    }
    return state_of(thread) == state;
}

/* ---- Beginning and ending ---- */

static int return_argument(void *arg)
{
    return *(int *)arg;
}

static int exit_with_argument(void *arg)
{
    thread_exit(*(int *)arg);
}

SELFTEST(sched_join, "sched: join gives the exit code, of return and of thread_exit")
{
    int code = -17;
    struct thread *returns = thread_create("returns", return_argument, &code);
    struct thread *exits = thread_create("exits", exit_with_argument, &code);
    bool created = returns != NULL && exits != NULL;
    int first = returns != NULL ? thread_join(returns) : 0;

    /* The second has ended by itself meanwhile, or is waited for. */
    if (exits != NULL)
        created = wait_for_state(exits, THREAD_DEAD) && created;
    int second = exits != NULL ? thread_join(exits) : 0;
    EXPECT(created);
    EXPECT(first == code && second == code);
    return NULL;
}

static int sleep_then_return(void *arg)
{
    thread_sleep(2 * TIMER_TICK_MS);
    return *(int *)arg;
}

SELFTEST(sched_join_waits, "sched: join waits for a thread that still runs")
{
    int code = 5;
    uint64_t start = timer_uptime_ms();
    struct thread *thread = thread_create("sleeps", sleep_then_return, &code);

    EXPECT(thread != NULL);
    EXPECT(thread_join(thread) == code);
    EXPECT(timer_uptime_ms() - start >= 2 * TIMER_TICK_MS);
    return NULL;
}

static int count_up(void *arg)
{
    uint32_t flags = interrupts_save();
    ++*(uint32_t *)arg;
    interrupts_restore(flags);
    return 0;
}

SELFTEST(sched_detach, "sched: detached threads are cleaned up by themselves")
{
    static volatile uint32_t ended;
    struct figures before = figures_take();
    uint32_t created = 0;

    ended = 0;
    for (uint32_t i = 0; i < 8; i++) {
        struct thread *thread = thread_create("detached", count_up, (void *)&ended);
        if (thread == NULL)
            break;
        /* Every other one is detached only when it has ended. */
        if (i % 2 == 1)
            wait_for_state(thread, THREAD_DEAD);
        thread_detach(thread);
        created++;
    }
    const char *left = figures_compare(&before);
    EXPECT(created == 8);
    EXPECT(ended == created);
    return left;
}

static int tell_own_name(void *arg)
{
    strcopy(arg, thread_current()->name, THREAD_NAME_SIZE);
    return 0;
}

SELFTEST(sched_names, "sched: threads have names, cut to fit, and ids of their own")
{
    char name[THREAD_NAME_SIZE];
    struct thread *thread = thread_create("a name that is too long", tell_own_name, name);
    uint32_t id = thread != NULL ? thread->id : 0;

    EXPECT(thread != NULL);
    thread_join(thread);
    EXPECT(strcmp(name, "a name that is ") == 0);
    EXPECT(id > thread_current()->id);
    return NULL;
}

SELFTEST(sched_idle, "sched: the idle thread and the tests' own are in the list, by id")
{
    struct thread_info info;
    uint32_t last = 0;
    bool self = false, idle = false;

    for (uint32_t id = 0; thread_next(id, &info); id = info.id + 1) {
        EXPECT(info.id >= id && (last == 0 || info.id > last));
        EXPECT(info.stack_used <= STACK_SIZE);
        idle = idle || (info.id == 0 && strcmp(info.name, "idle") == 0);
        if (info.id == thread_current()->id)
            self = info.state == THREAD_RUNNING;
        last = info.id;
    }
    EXPECT(idle);
    EXPECT(self);
    return NULL;
}

/* ---- Order ---- */

#define RING   3u
#define ROUNDS 6u

static struct {
    uint32_t arrived;
    uint32_t count;
    uint32_t order[RING * ROUNDS];
} ring; /* only touched with interrupts off */

/* With interrupts off nobody is preempted: only yielding passes the CPU on. */
static int run_in_ring(void *arg)
{
    uint32_t flags = interrupts_save();

    ring.arrived++;
    while (ring.arrived < RING)
        thread_yield();
    for (uint32_t i = 0; i < ROUNDS; i++) {
        ring.order[ring.count++] = (uint32_t)(uintptr_t)arg;
        thread_yield();
    }
    interrupts_restore(flags);
    return 0;
}

static const char *check_ring(void)
{
    EXPECT(ring.count == RING * ROUNDS);
    EXPECT(ring.order[0] != ring.order[1] && ring.order[1] != ring.order[2]);
    EXPECT(ring.order[0] != ring.order[2]);
    for (uint32_t i = RING; i < RING * ROUNDS; i++)
        EXPECT(ring.order[i] == ring.order[i - RING]);
    return NULL;
}

SELFTEST(sched_round_robin, "sched: yielding passes the CPU round in turn")
{
    struct thread *threads[RING];
    uint32_t created = 0;

    ring.arrived = ring.count = 0;
    while (created < RING) {
        threads[created] = thread_create("ring", run_in_ring, (void *)(uintptr_t)created);
        if (threads[created] == NULL)
            break;
        created++;
    }
    uint32_t flags = interrupts_save();
    ring.arrived += RING - created; /* those that do not exist are not waited for */
    interrupts_restore(flags);
    for (uint32_t i = 0; i < created; i++)
        thread_join(threads[i]);
    EXPECT(created == RING);
    return check_ring();
}

static struct {
    struct wait_queue queue;
    uint32_t count;
    uint32_t order[RING];
} line; /* interrupts off */

static int stand_in_line(void *arg)
{
    uint32_t flags = interrupts_save();
    wait_queue_wait(&line.queue, WAIT_UNINTERRUPTIBLE, 0);
    if (line.count < RING)
        line.order[line.count++] = (uint32_t)(uintptr_t)arg;
    interrupts_restore(flags);
    return 0;
}

static bool all_in_line(struct thread *threads[], uint32_t *created)
{
    wait_queue_init(&line.queue);
    line.count = 0;
    for (*created = 0; *created < RING; ++*created) {
        struct thread *thread = thread_create("line", stand_in_line, (void *)(uintptr_t)*created);
        if (thread == NULL)
            return false;
        threads[*created] = thread;
        if (!wait_for_state(thread, THREAD_BLOCKED)) {
            ++*created;
            return false;
        }
    }
    return true;
}

static void wake_line(bool all)
{
    uint32_t flags = interrupts_save();
    if (all)
        wait_queue_wake_all(&line.queue);
    else
        wait_queue_wake_one(&line.queue);
    interrupts_restore(flags);
}

SELFTEST(sched_fifo, "sched: who waited first is woken first, one at a time")
{
    struct thread *threads[RING];
    uint32_t created, woken = 0;
    bool in_line = all_in_line(threads, &created), one_each = true;

    for (; in_line && woken < RING - 1; woken++) {
        wake_line(false);
        one_each = wait_for_state(threads[woken], THREAD_DEAD) && one_each;
        one_each = state_of(threads[woken + 1]) == THREAD_BLOCKED && one_each;
    }
    wake_line(true);
    for (uint32_t i = 0; i < created; i++)
        thread_join(threads[i]);

    EXPECT(in_line && one_each);
    EXPECT(line.count == RING);
    for (uint32_t i = 0; i < RING; i++)
        EXPECT(line.order[i] == i);
    return NULL;
}

SELFTEST(sched_wake_all, "sched: waking all keeps their order")
{
    struct thread *threads[RING];
    uint32_t created;
    bool in_line = all_in_line(threads, &created);

    wake_line(true);
    for (uint32_t i = 0; i < created; i++)
        thread_join(threads[i]);

    EXPECT(in_line);
    for (uint32_t i = 0; i < RING; i++)
        EXPECT(line.order[i] == i);
    return NULL;
}

/* ---- Time ---- */

SELFTEST(sched_sleep, "sched: a sleep lasts at least as long as asked for")
{
    static const uint32_t lengths[] = { 0, 1, 10, 25 };

    for (uint32_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        uint64_t start = timer_uptime_ms(), start_us = timer_clock_us();
        if (!thread_sleep(lengths[i]))
            return NULL; /* stopped */
        EXPECT(timer_uptime_ms() - start >= lengths[i]);
        EXPECT(timer_clock_us() >= start_us);
    }
    return NULL;
}

static int sleep_and_log(void *arg)
{
    thread_sleep((uint32_t)(uintptr_t)arg);
    uint32_t flags = interrupts_save();
    if (line.count < RING)
        line.order[line.count++] = (uint32_t)thread_current()->wake_time_ms;
    interrupts_restore(flags);
    return 0;
}

SELFTEST(sched_sleepers, "sched: sleepers wake in the order of their time")
{
    static const uint32_t lengths[RING] = { 90, 30, 60 };
    struct thread *threads[RING];
    uint32_t created = 0;

    line.count = 0;
    for (; created < RING; created++) {
        threads[created] =
            thread_create("sleeper", sleep_and_log, (void *)(uintptr_t)lengths[created]);
        if (threads[created] == NULL)
            break;
    }
    for (uint32_t i = 0; i < created; i++)
        thread_join(threads[i]);
    EXPECT(created == RING);
    EXPECT(line.count == RING);
    EXPECT(line.order[0] <= line.order[1] && line.order[1] <= line.order[2]);
    return NULL;
}

#define SPIN_LIMIT 400000000u /* ends a spinner that is never preempted */

struct spinner {
    struct thread *thread;
    volatile uint32_t count;
    volatile bool *stop;
};

static int spin(void *arg)
{
    struct spinner *self = arg;

    while (!*self->stop && self->count < SPIN_LIMIT)
        self->count++;
    return 0;
}

/* Each must have gone on, while neither has ended, since the counts were noted. */
static bool both_go_on(const struct spinner *spinners, const uint32_t *counts)
{
    for (uint32_t i = 0; i < 2; i++) {
        if (spinners[i].count <= counts[i] || spinners[i].count >= SPIN_LIMIT)
            return false;
    }
    return true;
}

static bool preempted(struct spinner *spinners)
{
    for (uint32_t round = 0; round < 3; round++) {
        uint32_t counts[2] = { spinners[0].count, spinners[1].count }, tries = 0;

        while (!both_go_on(spinners, counts)) {
            if (tries++ == PATIENCE || !thread_sleep(TIMER_TICK_MS))
                return false;
        }
    }
    return true;
}

SELFTEST(sched_preemption, "sched: threads that never yield share the CPU")
{
    static volatile bool stop;
    struct spinner spinners[2] = { { .stop = &stop }, { .stop = &stop } };
    bool created = true, shared = false;

    stop = false;
    for (uint32_t i = 0; i < 2; i++) {
        spinners[i].thread = thread_create("spinner", spin, &spinners[i]);
        created = created && spinners[i].thread != NULL;
    }
    if (created)
        shared = preempted(spinners);
    stop = true;
    for (uint32_t i = 0; i < 2; i++) {
        if (spinners[i].thread != NULL)
            thread_join(spinners[i].thread);
    }
    EXPECT(created);
    EXPECT(shared);
    return NULL;
}

/* ---- Mutex and semaphore ---- */

#define CONTENDERS  3u
#define LOCK_ROUNDS 200u

static struct {
    struct mutex mutex;
    volatile uint32_t inside; /* threads that hold the mutex */
    volatile uint32_t count;
    volatile bool met;
} contest;

static int contend(void *arg)
{
    bool yields = arg != NULL;

    for (uint32_t i = 0; i < LOCK_ROUNDS; i++) {
        mutex_lock(&contest.mutex);
        contest.met = contest.met || contest.inside != 0;
        contest.inside++;
        uint32_t count = contest.count;
        if (yields)
            thread_yield();
        else
            for (volatile uint32_t spins = 0; spins < 3000; spins++)
                ;
        contest.count = count + 1;
        contest.inside--;
        mutex_unlock(&contest.mutex);
    }
    return 0;
}

SELFTEST(sched_mutex, "sched: a mutex keeps others out, whether they yield or are preempted")
{
    struct thread *threads[CONTENDERS];
    uint32_t created = 0;

    mutex_init(&contest.mutex);
    contest.inside = contest.count = 0;
    contest.met = false;
    while (created < CONTENDERS) {
        threads[created] = thread_create("contender", contend, created == 0 ? NULL : &contest);
        if (threads[created] == NULL)
            break;
        created++;
    }
    for (uint32_t i = 0; i < created; i++)
        thread_join(threads[i]);
    EXPECT(created == CONTENDERS);
    EXPECT(!contest.met);
    EXPECT(contest.count == CONTENDERS * LOCK_ROUNDS);
    EXPECT(contest.mutex.owner == NULL);
    return NULL;
}

static int try_lock(void *arg)
{
    bool locked = mutex_try_lock(arg);

    if (locked)
        mutex_unlock(arg);
    return locked;
}

/* Whether another thread gets the mutex at once; -1 when there is no memory to ask. */
static int other_gets(struct mutex *mutex)
{
    struct thread *thread = thread_create("try_lock", try_lock, mutex);
    return thread != NULL ? thread_join(thread) : -1;
}

SELFTEST(sched_try_lock, "sched: try_lock takes a free mutex only")
{
    struct mutex mutex;

    mutex_init(&mutex);
    EXPECT(mutex_try_lock(&mutex));
    int while_held = other_gets(&mutex);
    bool twice = mutex_try_lock(&mutex);
    mutex_unlock(&mutex);
    int when_free = other_gets(&mutex);
    EXPECT(while_held == 0 && when_free == 1);
    EXPECT(!twice);
    return NULL;
}

#define BUFFER 4u
#define GOODS  500u

static struct {
    struct semaphore room, filled;
    uint32_t buffer[BUFFER];
} belt;

static int produce(void *arg UNUSED)
{
    for (uint32_t i = 0; i < GOODS; i++) {
        semaphore_wait(&belt.room, WAIT_UNINTERRUPTIBLE);
        belt.buffer[i % BUFFER] = i * 3;
        semaphore_signal(&belt.filled);
    }
    return 0;
}

SELFTEST(sched_semaphore, "sched: a semaphore passes goods from thread to thread in order")
{
    bool in_order = true;

    semaphore_init(&belt.room, BUFFER);
    semaphore_init(&belt.filled, 0);
    struct thread *producer = thread_create("producer", produce, NULL);
    EXPECT(producer != NULL);
    for (uint32_t i = 0; i < GOODS; i++) {
        semaphore_wait(&belt.filled, WAIT_UNINTERRUPTIBLE);
        in_order = in_order && belt.buffer[i % BUFFER] == i * 3;
        semaphore_signal(&belt.room);
    }
    thread_join(producer);
    EXPECT(in_order);
    EXPECT(belt.filled.count == 0 && belt.room.count == BUFFER);
    return NULL;
}

/* ---- Timeouts ---- */

SELFTEST(sched_timeout, "sched: a wait ends with false when its time has passed")
{
    struct wait_queue queue;
    uint64_t start = timer_uptime_ms();

    wait_queue_init(&queue);
    uint32_t flags = interrupts_save();
    bool woken = wait_queue_wait(&queue, WAIT_UNINTERRUPTIBLE, 25);
    bool off = !interrupts_enabled(), empty = list_empty(&queue.threads);
    interrupts_restore(flags);
    EXPECT(!woken);
    EXPECT(off && empty);
    EXPECT(timer_uptime_ms() - start >= 25);
    return NULL;
}

static int wait_with_timeout(void *arg)
{
    uint32_t flags = interrupts_save();
    bool woken = wait_queue_wait(arg, WAIT_UNINTERRUPTIBLE, 3600 * 1000);
    interrupts_restore(flags);
    return woken;
}

SELFTEST(sched_no_timeout, "sched: a wait that is woken in time ends with true, and only then")
{
    struct wait_queue queue;

    wait_queue_init(&queue);
    struct thread *thread = thread_create("waits", wait_with_timeout, &queue);
    EXPECT(thread != NULL);
    bool blocked = wait_for_state(thread, THREAD_BLOCKED);
    thread_interrupt(thread); /* means nothing to a wait that is not interruptible */
    thread_sleep(2 * TIMER_TICK_MS);
    bool still = state_of(thread) == THREAD_BLOCKED;
    uint32_t flags = interrupts_save();
    wait_queue_wake_all(&queue);
    bool off_the_list = list_empty(&thread->timer);
    interrupts_restore(flags);
    int woken = thread_join(thread);
    EXPECT(blocked && still);
    EXPECT(woken && off_the_list);
    return NULL;
}

/* ---- Being asked to stop ---- */

static int sleep_for_an_hour(void *arg UNUSED)
{
    bool slept = thread_sleep(3600 * 1000);
    bool again = thread_sleep(3600 * 1000); /* asked before: ends at once */
    return !slept && !again && thread_interrupted();
}

SELFTEST(sched_interrupt_sleep, "sched: a sleep ends when the thread is asked to stop")
{
    struct thread *thread = thread_create("sleeps", sleep_for_an_hour, NULL);

    EXPECT(thread != NULL);
    bool asleep = wait_for_state(thread, THREAD_SLEEPING);
    thread_interrupt(thread);
    int stopped = thread_join(thread);
    EXPECT(asleep);
    EXPECT(stopped);
    return NULL;
}

static int wait_for_semaphore(void *arg)
{
    return semaphore_wait(arg, WAIT_INTERRUPTIBLE);
}

SELFTEST(sched_interrupt_semaphore, "sched: so does a wait for a semaphore, which keeps its count")
{
    struct semaphore semaphore;

    semaphore_init(&semaphore, 0);
    struct thread *thread = thread_create("waits", wait_for_semaphore, &semaphore);
    EXPECT(thread != NULL);
    bool blocked = wait_for_state(thread, THREAD_BLOCKED);
    thread_interrupt(thread);
    int got = thread_join(thread);
    EXPECT(blocked && !got);
    EXPECT(semaphore.count == 0 && list_empty(&semaphore.waiters.threads));
    semaphore_signal(&semaphore);
    EXPECT(semaphore.count == 1);
    EXPECT(semaphore_wait(&semaphore, WAIT_UNINTERRUPTIBLE));
    return NULL;
}

/* The first of two waiters is woken and asked to stop before it runs: the second must get it. */
SELFTEST(sched_signal_lost, "sched: a signal to a thread that stops goes to the next one")
{
    struct semaphore semaphore;

    semaphore_init(&semaphore, 0);
    struct thread *first = thread_create("first", wait_for_semaphore, &semaphore);
    bool blocked = first != NULL && wait_for_state(first, THREAD_BLOCKED);
    struct thread *second = thread_create("second", wait_for_semaphore, &semaphore);
    blocked = second != NULL && wait_for_state(second, THREAD_BLOCKED) && blocked;

    uint32_t flags = interrupts_save();
    semaphore_signal(&semaphore);
    if (first != NULL)
        thread_interrupt(first);
    interrupts_restore(flags);

    bool passed_on = second != NULL && wait_for_state(second, THREAD_DEAD);
    if (second != NULL && !passed_on)
        thread_interrupt(second);
    int first_got = first != NULL ? thread_join(first) : 0;
    int second_got = second != NULL ? thread_join(second) : 0;
    EXPECT(blocked);
    EXPECT(passed_on);
    EXPECT(first_got + second_got == 1);
    EXPECT(semaphore.count == 0);
    return NULL;
}

static int lock_and_unlock(void *arg)
{
    mutex_lock(arg);
    mutex_unlock(arg);
    return thread_interrupted();
}

SELFTEST(sched_interrupt_mutex, "sched: a wait for a mutex goes on")
{
    struct mutex mutex;

    mutex_init(&mutex);
    mutex_lock(&mutex);
    struct thread *thread = thread_create("locks", lock_and_unlock, &mutex);
    bool blocked = thread != NULL && wait_for_state(thread, THREAD_BLOCKED);
    bool still = false;
    if (thread != NULL) {
        thread_interrupt(thread);
        thread_sleep(2 * TIMER_TICK_MS);
        still = state_of(thread) == THREAD_BLOCKED;
    }
    mutex_unlock(&mutex);
    int asked = thread != NULL ? thread_join(thread) : 0;
    EXPECT(blocked);
    EXPECT(still);
    EXPECT(asked);
    EXPECT(mutex.owner == NULL);
    return NULL;
}

SELFTEST(sched_stop, "sched: only threads that may be stopped by name are")
{
    struct semaphore semaphore;

    semaphore_init(&semaphore, 0);
    struct thread *thread = thread_create("stop-me", wait_for_semaphore, &semaphore);
    EXPECT(thread != NULL);
    enum thread_stop_result refused = thread_stop("stop-me");
    thread_set_stoppable(thread, true);
    enum thread_stop_result asked = thread_stop("stop-me");
    if (asked != THREAD_STOP_ASKED)
        thread_interrupt(thread);
    int got = thread_join(thread);

    EXPECT(refused == THREAD_STOP_REFUSED && asked == THREAD_STOP_ASKED && !got);
    EXPECT(thread_stop("stop-me") == THREAD_STOP_UNKNOWN);
    EXPECT(thread_stop("idle") == THREAD_STOP_REFUSED);
    EXPECT(thread_stop("reaper") == THREAD_STOP_REFUSED);
    return NULL;
}

/* ---- Many ---- */

#define MANY 1100u /* more than there are places for stacks */

static int wait_uninterruptibly(void *arg)
{
    return semaphore_wait(arg, WAIT_UNINTERRUPTIBLE);
}

SELFTEST(sched_many, "sched: threads beyond memory or stacks are refused, the others work")
{
    struct thread **threads = kmalloc(MANY * sizeof(struct thread *));
    struct semaphore gate;
    uint32_t created = 0, ended = 0;

    EXPECT(threads != NULL);
    semaphore_init(&gate, 0);
    while (created < MANY && !thread_interrupted()) {
        threads[created] = thread_create("many", wait_uninterruptibly, &gate);
        if (threads[created] == NULL)
            break;
        created++;
    }
    for (uint32_t i = 0; i < created; i++)
        semaphore_signal(&gate);
    for (uint32_t i = 0; i < created; i++)
        ended += (uint32_t)thread_join(threads[i]);
    kfree(threads);
    EXPECT(created > 0 && created < MANY);
    EXPECT(ended == created);
    EXPECT(gate.count == 0);
    return NULL;
}
