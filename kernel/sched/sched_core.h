/*
 * What thread.c and sched.c share and nobody else sees. Everything here is called with interrupts
 * off.
 */
#ifndef SCHED_CORE_H
#define SCHED_CORE_H

#include <sched/thread.h>

extern struct list sched_all; /* every thread, by id */

/* Puts a new thread into the lists; it may run from now on. */
void sched_add(struct thread *thread);

/* Gives the CPU to the next ready thread. The caller has set the current one's state. */
void sched_switch(void);

/* Ends a thread's waiting or sleeping and makes it ready. */
void sched_wake(struct thread *thread);

/* Ends the current thread, whose state becomes THREAD_DEAD. */
_Noreturn void sched_exit(void);

/* Hands a dead, detached thread to the one that frees it. */
void sched_reap(struct thread *thread);

/* Frees a dead thread and its stack. In thread context, interrupts on. */
void thread_free(struct thread *thread);

/* What a new thread runs first, on its own stack, interrupts off. */
_Noreturn void thread_begin(void);

/* switch.S */
void context_switch(uint32_t *save_esp, uint32_t load_esp);

#endif
