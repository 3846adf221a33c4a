/*
 * Which interrupt queues a controller visits in which frame. Pure; the same for all controllers
 * whose schedule is a table with an entry for each frame of a millisecond.
 *
 * There is a queue for each interval of 1, 2, 4, 8, 16 and 32 ms: queue q is visited every 2^q
 * frames. A frame visits queue 0 and at most one other, so that they spread evenly:
 *
 *   frame  0 1 2 3 4 5 6 7 8 9 ...         the table's entry for frame f points at queue
 *   queue  0 1 2 1 3 1 2 1 4 1 ...         periodic_queue_of_frame(f), and that at queue 0
 */
#ifndef USB_PERIODIC_H
#define USB_PERIODIC_H

#include <types.h>

#define PERIODIC_QUEUES 6u
#define PERIODIC_FRAMES 32u /* after so many frames all begins again */

/* The queue, 0 to PERIODIC_QUEUES - 1, at which a frame of any number begins. */
uint32_t periodic_queue_of_frame(uint32_t frame);

/*
 * The queue for an endpoint that wants to be asked at least every `interval_ms`: the slowest that
 * is fast enough. 0 counts as 1.
 */
uint32_t periodic_queue_of_interval(uint32_t interval_ms);

#endif
