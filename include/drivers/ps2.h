/*
 * The PS/2 keyboard behind an i8042 controller.
 */
#ifndef DRIVERS_PS2_H
#define DRIVERS_PS2_H

#include <types.h>

/*
 * Sets up controller and keyboard and takes IRQ 1. Ends within a bounded time whatever is there
 * or is not, and logs what it found. The PIT, interrupts and input must be up.
 */
void ps2_init(void);

#endif
