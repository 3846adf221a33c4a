/*
 * The scheduler: preemptive round robin over the ready threads, one tick each.
 */
#ifndef SCHED_SCHED_H
#define SCHED_SCHED_H

#include <lib/list.h>
#include <types.h>

/*
 * Makes the running code the idle thread and starts the thread that cleans up after detached
 * ones. The heap must be up. Panics when there is no memory for it.
 */
void sched_init(void);

/* Whether sched_init() has run: from then on threads may wait for each other. */
bool sched_running(void);

/* Becomes the idle thread's loop: halts the CPU until an interrupt makes a thread ready. */
_Noreturn void sched_idle(void);

/* Called by the timer, interrupts off: wakes sleepers and ends the current thread's turn. */
void sched_tick(uint64_t now_ms);

/* Called at the end of each interrupt, interrupts off: switches if the turn has ended. */
void sched_preempt(void);

/*
 * Threads that wait for the same thing, first come first served. Used with interrupts off, so
 * that nothing can happen between looking at the condition and waiting.
 */
struct wait_queue {
    struct list threads;
};

void wait_queue_init(struct wait_queue *queue);

enum wait_flags {
    WAIT_UNINTERRUPTIBLE,
    WAIT_INTERRUPTIBLE, /* ends, with false, when the thread is asked to stop or was before */
};

/*
 * Waits in the queue until it is woken. timeout_ms: 0 for none. False when the timeout passed or
 * the thread was asked to stop. Interrupts must be off; they are off again on return.
 *
 * A thread that was woken and asked to stop before it ran gets false too: whoever uses
 * wait_queue_wake_one() to hand something on must then wake the next one (semaphore_wait does).
 */
bool wait_queue_wait(struct wait_queue *queue, enum wait_flags flags, uint32_t timeout_ms);

/* Wakes the first waiter, or all. Interrupts must be off. May be called from handlers. */
void wait_queue_wake_one(struct wait_queue *queue);
void wait_queue_wake_all(struct wait_queue *queue);

#endif
