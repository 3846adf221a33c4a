/*
 * Kernel threads.
 *
 * A thread runs on a stack of its own, in its own mapping above a guard page. It ends by
 * returning from its function or by thread_exit(); whoever created it then calls thread_join(),
 * or has called thread_detach() and it is cleaned up by itself.
 *
 * Asking a thread to stop (Ctrl-C, `kill`) sets a flag and ends its interruptible waits; the
 * thread looks at thread_interrupted() and returns. No thread is ever torn down from outside, so
 * none can leave a lock behind.
 */
#ifndef SCHED_THREAD_H
#define SCHED_THREAD_H

#include <lib/list.h>
#include <sched/sched.h>
#include <types.h>

#define THREAD_NAME_SIZE 16

enum thread_state {
    THREAD_READY,
    THREAD_RUNNING,
    THREAD_BLOCKED,
    THREAD_SLEEPING,
    THREAD_DEAD, /* waits for join */
};

typedef int thread_function(void *arg);

/* All fields are guarded by the scheduler: interrupts off. */
struct thread {
    uint32_t esp; /* saved by context_switch(); its offset is known there */
    uint32_t id;
    char name[THREAD_NAME_SIZE];
    enum thread_state state;
    vaddr_t stack; /* lowest mapped address; the guard page lies below */
    thread_function *function;
    void *arg;
    int exit_code;
    uint64_t cpu_time;     /* on the CPU, without the current stretch, in timer_stamp()'s unit */
    uint64_t wake_time_ms; /* sleeping or waiting with a timeout */
    struct list all;       /* in the list of all threads */
    struct list queue;     /* in the ready list or a wait queue */
    struct list timer;     /* in the list of sleepers; linked to itself if not there */
    bool interruptible;    /* the wait it is in ends when it is asked to stop */
    bool interrupted;      /* it was asked to stop */
    bool timed_out;
    bool detached;
    bool stoppable; /* `kill` may ask it to stop */
    struct wait_queue joiners;
};

/*
 * Starts a thread. name: copied, cut to fit. NULL when there is no memory for it or its stack.
 * It may run before this returns.
 */
struct thread *thread_create(const char *name, thread_function *function, void *arg) MUST_CHECK;

/* Ends the calling thread. */
_Noreturn void thread_exit(int code);

/* Waits until the thread has ended, frees it and returns its exit code. Not for detached ones. */
int thread_join(struct thread *thread);

/* The thread will be freed when it ends; the pointer may be dead from here on. */
void thread_detach(struct thread *thread);

/* The calling thread. */
struct thread *thread_current(void);

/* Lets the other ready threads run first. */
void thread_yield(void);

/*
 * Sleeps at least `ms` milliseconds, rounded up to ticks. False when it was cut short because the
 * thread was asked to stop.
 */
bool thread_sleep(uint32_t ms);

/* Whether the calling thread was asked to stop. */
bool thread_interrupted(void);

/* Forgets that it was asked: the shell's thread goes on after a command was stopped. */
void thread_clear_interrupt(void);

/* Asks a thread to stop; interruptible waits end at once. May be called from interrupt handlers. */
void thread_interrupt(struct thread *thread);

enum thread_stop_result { THREAD_STOP_ASKED, THREAD_STOP_UNKNOWN, THREAD_STOP_REFUSED };

/* Asks the thread of that id or name to stop, if it is `stoppable`. */
enum thread_stop_result thread_stop(const char *id_or_name);

/* Lets `kill` stop the thread. */
void thread_set_stoppable(struct thread *thread, bool stoppable);

struct thread_info {
    uint32_t id;
    char name[THREAD_NAME_SIZE];
    enum thread_state state;
    uint64_t cpu_us;
    vaddr_t stack;       /* lowest address */
    uint32_t stack_used; /* bytes between the saved stack pointer and the stack's end */
};

/* The first thread with an id of at least `id`; false when there is none. */
bool thread_next(uint32_t id, struct thread_info *info);

const char *thread_state_text(enum thread_state state);

/* What lies at an address, as far as stacks are concerned. */
enum stack_part {
    STACK_NONE,   /* no stack */
    STACK_OWNED,  /* a thread's stack */
    STACK_GUARD,  /* the guard page below it */
    STACK_UNUSED, /* a place for stacks that no thread has */
};

struct thread_stack {
    char name[THREAD_NAME_SIZE]; /* of the thread; here and below: if there is one */
    vaddr_t end;                 /* of the stack, where it began to be filled */
};

/*
 * Whose stack an address belongs to. For diagnosis: takes no lock, may be called anywhere, and
 * survives threads that were overwritten.
 */
enum stack_part thread_stack_at(vaddr_t address, struct thread_stack *stack);

/* The calling thread's name, for diagnosis as well. */
void thread_name(char name[THREAD_NAME_SIZE]);

#endif
