/*
 * Who called whom.
 */
#ifndef BACKTRACE_H
#define BACKTRACE_H

#include <types.h>

struct regs;

struct backtrace_call {
    uint32_t address;       /* of code */
    bool is_return_address; /* the call lies before it */
    uint32_t times;         /* in a row: a function calls itself */
};

/* Called for each call, innermost first. */
typedef void backtrace_visit(uint32_t number, const struct backtrace_call *call);

/*
 * Walks the calls that led to a trap: its registers, and its stack pointer. Reads only mapped
 * memory and ends after BACKTRACE_MAX calls, whatever the stack looks like.
 */
void backtrace_walk(const struct regs *regs, uint32_t esp, backtrace_visit *visit);

/* The same from a stack frame (what EBP held) on: first the call that made this frame. */
void backtrace_walk_frame(uint32_t frame, backtrace_visit *visit);

#define BACKTRACE_MAX 16u

#endif
