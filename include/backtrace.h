/*
 * Who called whom.
 */
#ifndef BACKTRACE_H
#define BACKTRACE_H

#include <types.h>

struct regs;

/* Called for each frame, innermost first: a code address, or the address behind a call. */
typedef void backtrace_visit(uint32_t number, uint32_t address, bool is_return_address);

/*
 * Walks the calls that led to a trap: its registers, and its stack pointer. Reads only mapped
 * memory and ends after BACKTRACE_MAX frames, whatever the stack looks like.
 */
void backtrace_walk(const struct regs *regs, uint32_t esp, backtrace_visit *visit);

/* The same from a stack frame (what EBP held) on: first the call that made this frame. */
void backtrace_walk_frame(uint32_t frame, backtrace_visit *visit);

/* With the lines before and after it, a backtrace of this length fits a screen of 25 rows. */
#define BACKTRACE_MAX 16u

/* Prints one call as the line "#N 0xADDR function+0xOFFSET". */
void backtrace_print_call(uint32_t number, uint32_t address, bool is_return_address);

#endif
