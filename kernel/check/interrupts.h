/*
 * Interrupts off for too long.
 */
#ifndef CHECK_INTERRUPTS_H
#define CHECK_INTERRUPTS_H

#include <types.h>

struct regs;

/* So many checked accesses are too many while interrupts are off. */
#define INTERRUPTS_OFF_MAX 10000000

extern int32_t check_budget; /* for access.S and access.c alone */

/* Called when the budget is used up; regs and esp: where the code is. */
void check_budget_used_up(const struct regs *regs, uint32_t esp);

/* The most accesses that there were in a stretch. */
uint32_t check_longest_stretch(void);

#endif
