/*
 * Channel 0 of the 8254 timer: a counter, and the tick by IRQ 0 at the end of each of its turns.
 */
#ifndef DRIVERS_PIT_H
#define DRIVERS_PIT_H

#include <drivers/counter.h>

/*
 * Starts it at 100 Hz. NULL where it stands still, as on PCs that gate its clock. Needs nothing
 * but ports.
 */
const struct counter *pit_init(void);

/* Lets it count as slowly as it can, where another chip ticks: a turn outlasts several ticks. */
const struct counter *pit_without_ticks(void);

/* What channel 0 has counted down to, as it was left by whoever used it last. */
uint32_t pit_read(void);

#endif
