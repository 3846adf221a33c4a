/*
 * Whose each frame is: a byte for each frame beside the bitmap, and a figure for each owner.
 *
 * Invariant: an allocated frame of the bitmap has an owner, any other has none.
 *
 * Pure. No locking: the caller (pmm.c) holds its lock, and changes bitmap and owners together.
 */
#ifndef MEM_OWNERS_H
#define MEM_OWNERS_H

#include <mem/frames.h>
#include <mem/pmm.h>
#include <types.h>

struct owners {
    uint8_t *of;                  /* enum frame_owner by the frame's number */
    uint32_t end;                 /* of the numbers */
    uint32_t owned[FRAME_OWNERS]; /* frames of each; of FRAME_NOBODY none are counted */
};

/* Nobody has anything. `bytes` has room for `end` of them. */
void owners_init(struct owners *o, uint8_t *bytes, uint32_t end);

/* Frames that nobody owned have been allocated for an owner, which is not FRAME_NOBODY. */
static inline void owners_take(struct owners *o, uint32_t first, uint32_t count,
                               enum frame_owner owner)
{
    for (uint32_t frame = first; frame < first + count; frame++)
        o->of[frame] = (uint8_t)owner;
    o->owned[owner] += count;
}

/* Frames that all were the owner's have been given back. */
static inline void owners_give(struct owners *o, uint32_t first, uint32_t count,
                               enum frame_owner owner)
{
    for (uint32_t frame = first; frame < first + count; frame++)
        o->of[frame] = FRAME_NOBODY;
    o->owned[owner] -= count;
}

/* Any number is allowed; past the end nobody owns anything. */
static inline enum frame_owner owners_of(const struct owners *o, uint32_t frame)
{
    return frame < o->end ? o->of[frame] : FRAME_NOBODY;
}

/* How many of `count` frames from `first` on are the owner's, up to the first that is not. */
uint32_t owners_run(const struct owners *o, uint32_t first, uint32_t count, enum frame_owner owner);

/* Why owners_validate() found that something is wrong. */
enum owners_fault {
    OWNERS_SOUND,
    OWNERS_UNKNOWN, /* a byte is no owner */
    OWNERS_NONE,    /* an allocated frame has no owner */
    OWNERS_STRAY,   /* a frame that is not allocated has one */
    OWNERS_COUNT,   /* the frames of an owner differ from a recount */
};

/* Compares everything with the bitmap, and recounts. */
enum owners_fault owners_validate(const struct owners *o, const struct frames *frames);

#endif
