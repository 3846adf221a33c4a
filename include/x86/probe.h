/*
 * Reading memory that may not be there: the one access whose page fault is not a bug.
 */
#ifndef X86_PROBE_H
#define X86_PROBE_H

#include <types.h>

struct regs;

/* Reads the word at `address` into *value; false, and nothing read, when that faults. Any context.
 */
bool probe_read(const uint32_t *address, uint32_t *value) MUST_CHECK;

/*
 * For the page fault's handler: if it was probe_read() that faulted, makes it return false when the
 * trap returns to `regs`. False for any other fault.
 */
bool probe_recover(struct regs *regs);

#endif
