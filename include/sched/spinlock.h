/*
 * The spinlock: for a few instructions' work that interrupt handlers and other threads must not
 * see half done. Interrupts are off while it is held and get restored after it.
 *
 * There is one CPU, so with interrupts off nobody can be waited for: a lock that is found taken
 * was taken by the waiter itself, and that is a bug which is reported instead of spun on forever.
 */
#ifndef SCHED_SPINLOCK_H
#define SCHED_SPINLOCK_H

#include <panic.h>
#include <sched/lock_check.h>
#include <types.h>
#include <x86/io.h>

struct spinlock {
    volatile int taken;
};

/* Turns interrupts off and takes the lock. Returns EFLAGS for spin_unlock(). */
static inline uint32_t spin_lock(struct spinlock *lock)
{
    uint32_t flags = interrupts_save();

    lock_check_wait(lock, LOCK_SPIN);
    for (uint32_t spins = 0; __sync_lock_test_and_set(&lock->taken, 1) != 0; spins++) {
        if (spins == 1000)
            panic("spinlock %p is taken twice", (void *)lock);
    }
    lock_check_taken(lock, LOCK_SPIN);
    return flags;
}

/* Gives the lock back and restores the interrupt flag to what it was before spin_lock(). */
static inline void spin_unlock(struct spinlock *lock, uint32_t flags)
{
    lock_check_release(lock, LOCK_SPIN);
    __sync_lock_release(&lock->taken);
    interrupts_restore(flags);
}

#endif
