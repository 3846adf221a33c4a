/*
 * The scheduler: round robin over one ready list, the idle thread when it is empty.
 *
 * All its data is guarded by turning interrupts off: there is one CPU. A thread is in exactly one
 * place: running, in the ready list, in a wait queue, among the sleepers (also while it waits
 * with a timeout), or dead. The idle thread is never in the ready list.
 */
#include <sched/sched.h>
#include "sched/sched_core.h"
#include "mem/layout.h"
#include <drivers/timer.h>
#include <mem/sections.h>
#include <panic.h>
#include <sched/lock_check.h>
#include <sched/sync.h>
#include <x86/io.h>
#include <x86/irq.h>

struct list sched_all = LIST_INITIALIZER(sched_all);

static struct list ready = LIST_INITIALIZER(ready);
static struct list sleepers = LIST_INITIALIZER(sleepers); /* earliest first */
static struct list dead = LIST_INITIALIZER(dead);         /* detached threads to be freed */
static struct semaphore dead_count;
static struct thread idle = { .name = "idle", .state = THREAD_RUNNING };
static struct thread *current = &idle;
static bool running;
static bool switch_wanted;     /* at the end of this interrupt */
static uint64_t stretch_start; /* timer_stamp() when the current thread got the CPU */

struct thread *thread_current(void)
{
    return current;
}

bool sched_running(void)
{
    return running;
}

void sched_add(struct thread *thread)
{
    list_push_back(&sched_all, &thread->all);
    list_push_back(&ready, &thread->queue);
    thread->state = THREAD_READY;
    switch_wanted = true;
}

static void charge(struct thread *thread)
{
    uint64_t now = timer_stamp();
    uint64_t span = now - stretch_start;

    if ((int64_t)span >= 0) /* an emulator's or a firmware's TSC may step back */
        thread->cpu_time += span;
    stretch_start = now;
}

void sched_switch(void)
{
    struct thread *previous = current;

    ASSERT(!interrupts_enabled() && !irq_active());
    lock_check_sleep();
    charge(previous);
    if (previous->state == THREAD_RUNNING) {
        previous->state = THREAD_READY;
        if (previous != &idle)
            list_push_back(&ready, &previous->queue);
    }

    struct list *node = list_pop_front(&ready);
    current = node != NULL ? LIST_ENTRY(node, struct thread, queue) : &idle;
    current->state = THREAD_RUNNING;
    switch_wanted = false;
    if (current != previous)
        context_switch(&previous->esp, current->esp);
}

void sched_preempt(void)
{
    if (running && switch_wanted && !irq_active())
        sched_switch();
}

void sched_wake(struct thread *thread)
{
    list_remove(&thread->queue);
    list_remove(&thread->timer);
    thread->state = THREAD_READY;
    list_push_back(&ready, &thread->queue);
    if (current == &idle)
        switch_wanted = true; /* the others get their turn at the next tick */
}

void sched_tick(uint64_t now_ms)
{
    struct thread *thread, *following;

    LIST_FOR_EACH_ENTRY_SAFE(thread, following, &sleepers, timer) {
        if (thread->wake_time_ms > now_ms)
            break;
        thread->timed_out = true;
        sched_wake(thread);
    }
    if (!list_empty(&ready))
        switch_wanted = true;
}

static void add_sleeper(struct thread *thread, uint32_t ms)
{
    struct thread *other;

    /* A tick may be about to come: one more makes the sleep at least as long as asked for. */
    thread->wake_time_ms = timer_uptime_ms() + ms + TIMER_TICK_MS;
    LIST_FOR_EACH_ENTRY(other, &sleepers, timer) {
        if (other->wake_time_ms > thread->wake_time_ms)
            break;
    }
    list_insert_before(other != NULL ? &other->timer : &sleepers, &thread->timer);
}

/* Stops running until sched_wake(); false if the thread was asked to stop or its time came. */
static bool wait(enum thread_state state, enum wait_flags flags)
{
    current->state = state;
    current->timed_out = false;
    current->interruptible = flags == WAIT_INTERRUPTIBLE;
    sched_switch();
    return !current->timed_out && !(flags == WAIT_INTERRUPTIBLE && current->interrupted);
}

void wait_queue_init(struct wait_queue *queue)
{
    list_init(&queue->threads);
}

bool wait_queue_wait(struct wait_queue *queue, enum wait_flags flags, uint32_t timeout_ms)
{
    ASSERT(running && !interrupts_enabled() && current != &idle);

    if (flags == WAIT_INTERRUPTIBLE && current->interrupted)
        return false;
    list_push_back(&queue->threads, &current->queue);
    if (timeout_ms != 0)
        add_sleeper(current, timeout_ms);
    return wait(THREAD_BLOCKED, flags);
}

void wait_queue_wake_one(struct wait_queue *queue)
{
    struct list *node = list_first(&queue->threads);
    if (node != NULL)
        sched_wake(LIST_ENTRY(node, struct thread, queue));
}

void wait_queue_wake_all(struct wait_queue *queue)
{
    while (!list_empty(&queue->threads))
        wait_queue_wake_one(queue);
}

bool thread_sleep(uint32_t ms)
{
    ASSERT(running && current != &idle);
    lock_check_sleep();

    uint32_t flags = interrupts_save();
    if (!current->interrupted) {
        add_sleeper(current, ms);
        wait(THREAD_SLEEPING, WAIT_INTERRUPTIBLE);
    }
    bool slept = !current->interrupted;
    interrupts_restore(flags);
    return slept;
}

void thread_yield(void)
{
    uint32_t flags = interrupts_save();
    if (running)
        sched_switch();
    interrupts_restore(flags);
}

void sched_exit(void)
{
    current->state = THREAD_DEAD;
    sched_switch();
    panic("a dead thread runs again");
}

void sched_reap(struct thread *thread)
{
    list_push_back(&dead, &thread->queue);
    semaphore_signal(&dead_count);
}

/* Frees detached threads that have ended: none can free the stack that it runs on. */
static int reaper(void *arg UNUSED)
{
    for (;;) {
        semaphore_wait(&dead_count, WAIT_UNINTERRUPTIBLE);

        uint32_t flags = interrupts_save();
        struct list *node = list_pop_front(&dead);
        interrupts_restore(flags);
        thread_free(LIST_ENTRY(node, struct thread, queue));
    }
    return 0;
}

void sched_init(void)
{
    idle.stack = (vaddr_t)_boot_stack_bottom;
    list_init(&idle.queue);
    list_init(&idle.timer);
    list_push_back(&sched_all, &idle.all);
    semaphore_init(&dead_count, 0);
    stretch_start = timer_stamp();
    running = true;

    struct thread *thread = thread_create("reaper", reaper, NULL);
    if (thread == NULL)
        panic("too little memory: no stack for the first thread");
    thread_detach(thread);
}

void sched_idle(void)
{
    for (;;) {
        interrupts_disable();
        if (list_empty(&ready))
            timer_idle();
        else
            sched_switch();
        interrupts_enable();
    }
}
