/*
 * Mutex and semaphore: for threads, which sleep while they wait.
 */
#ifndef SCHED_SYNC_H
#define SCHED_SYNC_H

#include <lib/list.h>
#include <sched/sched.h>
#include <types.h>

struct thread;

struct mutex {
    struct thread *owner; /* NULL: free. Guarded by interrupts off, like the queue */
    struct wait_queue waiters;
};

#define MUTEX_INITIALIZER(name)                                                                    \
    {                                                                                              \
        .owner = NULL, .waiters = { LIST_INITIALIZER((name).waiters.threads) }                     \
    }

void mutex_init(struct mutex *mutex);

/* Waits until the mutex is free and takes it. Not from handlers; not twice by one thread. */
void mutex_lock(struct mutex *mutex);

/* Takes the mutex if it is free. */
bool mutex_try_lock(struct mutex *mutex) MUST_CHECK;

/* Only by the owner. */
void mutex_unlock(struct mutex *mutex);

struct semaphore {
    uint32_t count; /* guarded by interrupts off */
    struct wait_queue waiters;
};

void semaphore_init(struct semaphore *semaphore, uint32_t count);

/* Waits until the count is above 0 and takes one. False if the thread was asked to stop. */
bool semaphore_wait(struct semaphore *semaphore, enum wait_flags flags);

/* Adds one. May be called from handlers. */
void semaphore_signal(struct semaphore *semaphore);

#endif
