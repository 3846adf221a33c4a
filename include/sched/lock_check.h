/*
 * The seam for checks of locks: who holds which, and in what order they are taken. It is empty in
 * the kernel that people get; the checking build (make CHECK=1) has kernel/check/lock.c behind it.
 */
#ifndef SCHED_LOCK_CHECK_H
#define SCHED_LOCK_CHECK_H

#include <types.h>

enum lock_kind { LOCK_SPIN, LOCK_MUTEX };

#ifdef CHECK

/*
 * A lock is about to be taken, and perhaps waited for. Panics if its taker holds it already, or if
 * it was held once while another was taken that the taker holds now: two threads that do so may
 * wait for each other for ever.
 */
void lock_check_wait(const void *lock, enum lock_kind kind);

/* It has been taken. */
void lock_check_taken(const void *lock, enum lock_kind kind);

/* It is about to be released. Panics unless the calling thread holds it. */
void lock_check_release(const void *lock, enum lock_kind kind);

/* The calling thread may be about to give up the CPU. Panics if it holds a spinlock. */
void lock_check_sleep(void);

/* A lock begins its life at this address: what was known of one there is not of it. */
void lock_check_forget(const void *lock);

#else

static inline void lock_check_wait(const void *lock UNUSED, enum lock_kind kind UNUSED)
{
}

static inline void lock_check_taken(const void *lock UNUSED, enum lock_kind kind UNUSED)
{
}

static inline void lock_check_release(const void *lock UNUSED, enum lock_kind kind UNUSED)
{
}

static inline void lock_check_sleep(void)
{
}

static inline void lock_check_forget(const void *lock UNUSED)
{
}

#endif

#endif
