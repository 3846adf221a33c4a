/*
 * What the frame bitmaps must do, as plainly as it can be said: one flat bitmap, searched from the
 * lowest frame. Slow, and right at a glance; frames.h has the same functions, faster.
 */
#ifndef TESTS_FRAMES_MODEL_H
#define TESTS_FRAMES_MODEL_H

#include <mem/frames.h>
#include <types.h>

struct frames_model {
    uint32_t free[FRAMES_MAX / 32];   /* bit set: free */
    enum frames_state is[FRAMES_MAX]; /* of every frame */
    uint32_t total, reserved, allocated;
};

void model_init(struct frames_model *m);

/* The frames of [first, end) below FRAMES_MAX; as in frames.h, adding comes first. */
void model_add(struct frames_model *m, uint32_t first, uint32_t end);
void model_remove(struct frames_model *m, uint32_t first, uint32_t end);
void model_reserve(struct frames_model *m, uint32_t first, uint32_t end);

uint32_t model_alloc(struct frames_model *m, enum frames_zone zone);
uint32_t model_alloc_run(struct frames_model *m, uint32_t count, uint32_t align, uint32_t limit);
bool model_free_run(struct frames_model *m, uint32_t first, uint32_t count);

#endif
