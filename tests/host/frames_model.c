/*
 * The naive frame bitmap: a search is a loop over all frames, lowest first.
 */
#include "frames_model.h"

static void set(struct frames_model *m, uint32_t frame, enum frames_state state)
{
    m->is[frame] = state;
    m->free[frame / 32] &= ~(1u << frame % 32);
    if (state == FRAME_FREE)
        m->free[frame / 32] |= 1u << frame % 32;
}

void model_init(struct frames_model *m)
{
    for (uint32_t frame = 0; frame < FRAMES_MAX; frame++)
        set(m, frame, FRAME_HOLE_OR_RESERVED);
    m->total = m->reserved = m->allocated = 0;
}

/* The frames of [first, end) that are in one state go over to another. Returns how many. */
static uint32_t change(struct frames_model *m, uint32_t first, uint32_t end, enum frames_state from,
                       enum frames_state to)
{
    uint32_t count = 0;

    for (uint32_t frame = first; frame < end && frame < FRAMES_MAX; frame++) {
        if (m->is[frame] == from) {
            set(m, frame, to);
            count++;
        }
    }
    return count;
}

void model_add(struct frames_model *m, uint32_t first, uint32_t end)
{
    m->total += change(m, first, end, FRAME_HOLE_OR_RESERVED, FRAME_FREE);
}

void model_remove(struct frames_model *m, uint32_t first, uint32_t end)
{
    m->total -= change(m, first, end, FRAME_FREE, FRAME_HOLE_OR_RESERVED);
}

void model_reserve(struct frames_model *m, uint32_t first, uint32_t end)
{
    m->reserved += change(m, first, end, FRAME_FREE, FRAME_HOLE_OR_RESERVED);
}

uint32_t model_alloc(struct frames_model *m, enum frames_zone zone)
{
    uint32_t frame = zone == FRAMES_LOW ? 0 : FRAMES_HIGH_FIRST;
    uint32_t end = zone == FRAMES_LOW ? FRAMES_HIGH_FIRST : FRAMES_MAX;

    while (frame < end && m->free[frame / 32] == 0)
        frame += 32;
    while (frame < end && !(m->free[frame / 32] >> frame % 32 & 1))
        frame++;
    if (frame == end)
        return FRAMES_NONE;
    m->allocated += change(m, frame, frame + 1, FRAME_FREE, FRAME_ALLOCATED);
    return frame;
}

static bool all_are(const struct frames_model *m, uint32_t first, uint32_t count,
                    enum frames_state state)
{
    for (uint32_t i = 0; i < count; i++) {
        if (first + i >= FRAMES_MAX || m->is[first + i] != state)
            return false;
    }
    return count > 0;
}

uint32_t model_alloc_run(struct frames_model *m, uint32_t count, uint32_t align, uint32_t limit)
{
    for (uint32_t first = 0; first < limit && count <= limit - first; first += align) {
        if (all_are(m, first, count, FRAME_FREE)) {
            m->allocated += change(m, first, first + count, FRAME_FREE, FRAME_ALLOCATED);
            return first;
        }
    }
    return FRAMES_NONE;
}

bool model_free_run(struct frames_model *m, uint32_t first, uint32_t count)
{
    if (first >= FRAMES_MAX || !all_are(m, first, count, FRAME_ALLOCATED))
        return false;
    m->allocated -= change(m, first, first + count, FRAME_ALLOCATED, FRAME_FREE);
    return true;
}
