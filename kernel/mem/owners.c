/*
 * The owners of frames.
 */
#include "mem/owners.h"
#include <lib/string.h>

void owners_init(struct owners *o, uint8_t *bytes, uint32_t end)
{
    *o = (struct owners){ .of = memset(bytes, FRAME_NOBODY, end), .end = end };
}

uint32_t owners_run(const struct owners *o, uint32_t first, uint32_t count, enum frame_owner owner)
{
    uint32_t run = 0;

    while (run < count && owners_of(o, first + run) == owner)
        run++;
    return run;
}

enum owners_fault owners_validate(const struct owners *o, const struct frames *frames)
{
    uint32_t counts[FRAME_OWNERS] = { 0 };

    for (uint32_t frame = 0; frame < o->end; frame++) {
        bool allocated = frames_state(frames, frame) == FRAME_ALLOCATED;
        uint8_t owner = o->of[frame];

        if (owner >= FRAME_OWNERS)
            return OWNERS_UNKNOWN;
        if (allocated && owner == FRAME_NOBODY)
            return OWNERS_NONE;
        if (!allocated && owner != FRAME_NOBODY)
            return OWNERS_STRAY;
        counts[owner] += allocated;
    }
    for (uint32_t owner = 0; owner < FRAME_OWNERS; owner++) {
        if (counts[owner] != o->owned[owner])
            return OWNERS_COUNT;
    }
    return OWNERS_SOUND;
}
