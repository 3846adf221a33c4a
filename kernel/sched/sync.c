/*
 * Mutex and semaphore over wait queues. A freed mutex is not handed over: whoever is first to
 * look at it takes it, and a woken waiter looks again.
 */
#include <sched/sync.h>
#include <panic.h>
#include <sched/lock_check.h>
#include <sched/thread.h>
#include <x86/io.h>
#include <x86/irq.h>

void mutex_init(struct mutex *mutex)
{
    mutex->owner = NULL;
    wait_queue_init(&mutex->waiters);
    lock_check_forget(mutex);
}

void mutex_lock(struct mutex *mutex)
{
    lock_check_wait(mutex, LOCK_MUTEX);
    lock_check_sleep();
    ASSERT(!irq_active() && mutex->owner != thread_current());

    uint32_t flags = interrupts_save();
    while (mutex->owner != NULL)
        wait_queue_wait(&mutex->waiters, WAIT_UNINTERRUPTIBLE, 0);
    mutex->owner = thread_current();
    lock_check_taken(mutex, LOCK_MUTEX);
    interrupts_restore(flags);
}

bool mutex_try_lock(struct mutex *mutex)
{
    uint32_t flags = interrupts_save();
    bool free = mutex->owner == NULL;
    if (free) {
        mutex->owner = thread_current();
        lock_check_taken(mutex, LOCK_MUTEX);
    }
    interrupts_restore(flags);
    return free;
}

void mutex_unlock(struct mutex *mutex)
{
    lock_check_release(mutex, LOCK_MUTEX);
    ASSERT(mutex->owner == thread_current());

    uint32_t flags = interrupts_save();
    mutex->owner = NULL;
    wait_queue_wake_one(&mutex->waiters);
    interrupts_restore(flags);
}

void semaphore_init(struct semaphore *semaphore, uint32_t count)
{
    semaphore->count = count;
    wait_queue_init(&semaphore->waiters);
}

bool semaphore_wait(struct semaphore *semaphore, enum wait_flags flags)
{
    bool ok = true;

    lock_check_sleep();
    uint32_t state = interrupts_save();
    while (ok && semaphore->count == 0)
        ok = wait_queue_wait(&semaphore->waiters, flags, 0);
    if (ok)
        semaphore->count--;
    else if (semaphore->count != 0)
        wait_queue_wake_one(&semaphore->waiters); /* it was signalled too: pass that on */
    interrupts_restore(state);
    return ok;
}

void semaphore_signal(struct semaphore *semaphore)
{
    uint32_t flags = interrupts_save();
    semaphore->count++;
    wait_queue_wake_one(&semaphore->waiters);
    interrupts_restore(flags);
}
