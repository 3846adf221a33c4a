/*
 * The value that shows a function that its stack was overwritten.
 */
#ifndef X86_STACK_GUARD_H
#define X86_STACK_GUARD_H

#include <types.h>

#define NO_STACK_PROTECTOR __attribute__((no_stack_protector))

/*
 * Gives the guard a value that nobody can foretell: from RDRAND, else from the time stamp counter
 * and the timer. A function that is running then must not return any more, unless the compiler
 * protects it not. After cpu_init(), interrupts off.
 */
void stack_guard_init(void);

#endif
