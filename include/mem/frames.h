/*
 * The frame bitmap: which 4 KiB frames of physical memory are free.
 *
 * Pure. A frame is a number (physical address / 4096) below FRAMES_MAX. Each is in one state:
 *
 *   hole       not RAM, or RAM that firmware keeps: used and fixed
 *   reserved   RAM that the kernel found occupied (its image, modules, ...): used and fixed
 *   allocated  handed out: used, not fixed
 *   free       neither
 *
 * Frames below `split` are low (reached by identity address), those from it on high; the two
 * zones are searched apart. The lowest free frame of a zone is always the one handed out.
 * No locking: the caller (pmm.c) holds its lock.
 */
#ifndef MEM_FRAMES_H
#define MEM_FRAMES_H

#include <types.h>

#define FRAMES_MAX  131072u /* PMM_MAX_PHYS_ADDR / PAGE_SIZE */
#define FRAMES_NONE 0xffffffffu

enum frames_zone {
    FRAMES_LOW,
    FRAMES_HIGH,
    FRAMES_ZONES,
};

struct frames {
    uint32_t used[FRAMES_MAX / 32];  /* bit set: cannot be handed out now */
    uint32_t fixed[FRAMES_MAX / 32]; /* bit set: can never be handed out */
    uint32_t split;                  /* first frame of the high zone */
    uint32_t end;                    /* one past the highest frame that was ever RAM */
    uint32_t total;                  /* frames of RAM: reserved, allocated or free */
    uint32_t reserved;
    uint32_t allocated;
    uint32_t first_word[FRAMES_ZONES]; /* no free frame of the zone lies in a word below */
};

/* Why frames_validate() found the structure broken. */
enum frames_fault {
    FRAMES_SOUND,
    FRAMES_FREE_COUNT,      /* free frames counted in the bitmap differ from the figures */
    FRAMES_ALLOCATED_COUNT, /* likewise allocated ones */
    FRAMES_FIXED_FREE,      /* a fixed frame is marked free */
    FRAMES_PAST_END,        /* a frame at or past the end is not a hole */
    FRAMES_HINT,            /* a free frame lies below the search's start */
};

/* All holes. split: first frame of the high zone, a multiple of 32, at most FRAMES_MAX. */
void frames_init(struct frames *f, uint32_t split);

/*
 * Each acts on the frames [first, end); what lies at or past FRAMES_MAX is ignored. All adding
 * comes before all removing and reserving: frames_add() would free what those have taken.
 */
void frames_add(struct frames *f, uint32_t first, uint32_t end);     /* holes become free RAM */
void frames_remove(struct frames *f, uint32_t first, uint32_t end);  /* free RAM becomes holes */
void frames_reserve(struct frames *f, uint32_t first, uint32_t end); /* free RAM gets reserved */

/* Lowers `end` to behind the highest frame that is not a hole. Before anything is reserved. */
void frames_lower_end(struct frames *f);

/* The lowest free frame of a zone, now allocated; FRAMES_NONE when there is none. */
uint32_t frames_alloc(struct frames *f, enum frames_zone zone) MUST_CHECK;

/* Gives a frame back. False, and nothing changed, if it is not an allocated one. */
bool frames_free(struct frames *f, uint32_t frame) MUST_CHECK;

/* Frames that can be handed out now. */
uint32_t frames_free_count(const struct frames *f);

enum frames_state {
    FRAME_HOLE_OR_RESERVED,
    FRAME_ALLOCATED,
    FRAME_FREE,
};

/* Any number is allowed; what lies past the end is a hole. */
enum frames_state frames_state(const struct frames *f, uint32_t frame);

/* Recounts everything. */
enum frames_fault frames_validate(const struct frames *f);

#endif
