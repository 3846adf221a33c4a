/*
 * Who did something: a thread and the calls that led there.
 */
#ifndef CHECK_TRACE_H
#define CHECK_TRACE_H

#include <sched/thread.h>
#include <types.h>

#define TRACE_CALLS 8u

struct check_trace {
    char thread[THREAD_NAME_SIZE];
    uint32_t calls[TRACE_CALLS]; /* return addresses, innermost first; 0 behind the last */
};

/* The calling thread, and the calls from the stack frame `frame` (what EBP held) on. Any context.
 */
void check_trace_take(struct check_trace *trace, const void *frame);

/* Prints "WHAT by thread NAME:" and the calls, one a line, as in a panic. */
void check_trace_print(const char *what, const struct check_trace *trace);

/* The end of the stack that holds `address`, or `address` if none does. */
vaddr_t check_stack_end(vaddr_t address);

#endif
