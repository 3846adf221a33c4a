/*
 * Interrupt queues by frame: frame f visits the queue that the lowest bit set in f names.
 */
#include <lib/bits.h>
#include <usb/periodic.h>

uint32_t periodic_queue_of_frame(uint32_t frame)
{
    uint32_t phase = frame % PERIODIC_FRAMES;

    return phase == 0 ? 0 : lowest_bit(phase) + 1;
}

uint32_t periodic_queue_of_interval(uint32_t interval_ms)
{
    if (interval_ms == 0)
        return 0;
    uint32_t queue = highest_bit(interval_ms);
    return queue < PERIODIC_QUEUES ? queue : PERIODIC_QUEUES - 1;
}
