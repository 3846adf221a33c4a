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
 * Walks the calls that led to `regs` (esp: its stack pointer), or to the caller when it is NULL.
 * Reads only mapped memory and ends after BACKTRACE_MAX frames, whatever the stack looks like.
 */
void backtrace_walk(const struct regs *regs, uint32_t esp, backtrace_visit *visit);

#define BACKTRACE_MAX 16u /* with the rest of a panic they fit a screen of 25 rows */

/* Prints the calls as lines "#N 0xADDR function+0xOFFSET". */
void backtrace_print(const struct regs *regs, uint32_t esp);

#endif
