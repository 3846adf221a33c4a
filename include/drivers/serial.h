/*
 * COM1 at 115200 baud, 8N1: an output of the console and a source of keys.
 */
#ifndef DRIVERS_SERIAL_H
#define DRIVERS_SERIAL_H

#include <types.h>

/* Finds and sets up COM1 and registers it as a console. False when there is none. */
bool serial_init(void);

/* Starts receiving: bytes go to input_serial_byte(). Interrupts and input must be up. */
void serial_start_input(void);

#endif
