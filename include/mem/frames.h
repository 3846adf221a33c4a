/*
 * The frame bitmaps: which 4 KiB frames of physical memory are free.
 *
 * Pure. A frame is a number (physical address / 4096) below FRAMES_MAX. Each is in one state:
 *
 *   hole       not RAM, or RAM that firmware keeps: fixed
 *   reserved   RAM that the kernel found occupied (its image, modules, ...): fixed
 *   allocated  handed out: neither fixed nor free
 *   free
 *
 * Frames below FRAMES_HIGH_FIRST are low (reached by identity address), those from it on high; the
 * two zones are searched apart. The lowest free frame of a zone is always the one handed out, and a
 * run is the lowest that fits: the model in tests/host/frames_model.c says the same in a few lines.
 * No locking: the caller (pmm.c) holds its lock.
 */
#ifndef MEM_FRAMES_H
#define MEM_FRAMES_H

#include <types.h>

#define FRAMES_MAX        131072u /* PMM_MAX_PHYS_ADDR / PAGE_SIZE */
#define FRAMES_HIGH_FIRST 98304u  /* HEAP_BASE / PAGE_SIZE */
#define FRAMES_NONE       0xffffffffu

/* So many frames stand behind a word of the first, second and third level. */
#define FRAMES_WORD       32u
#define FRAMES_GROUP      (32u * FRAMES_WORD)
#define FRAMES_BLOCK      (32u * FRAMES_GROUP)

enum frames_zone {
    FRAMES_LOW,
    FRAMES_HIGH,
};

struct frames {
    uint32_t free[FRAMES_MAX / FRAMES_WORD];    /* bit set: the frame is free */
    uint32_t words[FRAMES_MAX / FRAMES_GROUP];  /* bit set: some frame of that word is free */
    uint32_t groups[FRAMES_MAX / FRAMES_BLOCK]; /* bit set: some frame of that group is free */
    uint32_t fixed[FRAMES_MAX / FRAMES_WORD];   /* bit set: can never be handed out */
    uint32_t end;                               /* behind the highest frame that was ever RAM */
    uint32_t total;                             /* frames of RAM: reserved, allocated or free */
    uint32_t reserved;
    uint32_t allocated;
};

/* Why frames_validate() found the structure broken. */
enum frames_fault {
    FRAMES_SOUND,
    FRAMES_FREE_COUNT,      /* free frames counted in the bitmap differ from the figures */
    FRAMES_ALLOCATED_COUNT, /* likewise allocated ones */
    FRAMES_FIXED_FREE,      /* a fixed frame is marked free */
    FRAMES_PAST_END,        /* a frame at or past the end is not a hole */
    FRAMES_WORDS,           /* the second level differs from the first */
    FRAMES_GROUPS,          /* the third level differs from the second */
};

/* All holes. */
void frames_init(struct frames *f);

/*
 * Each acts on the frames [first, end); what lies at or past FRAMES_MAX is ignored. All adding
 * comes before all removing and reserving: frames_add() would free what those have taken.
 */
void frames_add(struct frames *f, uint32_t first, uint32_t end);     /* holes become free RAM */
void frames_remove(struct frames *f, uint32_t first, uint32_t end);  /* free RAM becomes holes */
void frames_reserve(struct frames *f, uint32_t first, uint32_t end); /* free RAM gets reserved */

/* Lowers `end` to behind the highest frame that is not a hole. Before anything is reserved. */
void frames_lower_end(struct frames *f);

/* The lowest free frame of a zone, now allocated; FRAMES_NONE when there is none. Constant time. */
uint32_t frames_alloc(struct frames *f, enum frames_zone zone) MUST_CHECK;

/*
 * Gives a frame back. False, and nothing changed, if it is not an allocated one. Constant time. A
 * frame of a run may be given back alone.
 */
bool frames_free(struct frames *f, uint32_t frame) MUST_CHECK;

/*
 * The first of `count` frames in a row, now allocated: the lowest such run that begins at a
 * multiple of `align` (a power of two) and ends at or below `limit`. It may lie in both zones.
 * FRAMES_NONE when there is none, or when count is 0. Reads the bitmap from its start, each word a
 * few times.
 */
uint32_t frames_alloc_run(struct frames *f, uint32_t count, uint32_t align,
                          uint32_t limit) MUST_CHECK;

/* Gives back `count` frames in a row. False, and nothing changed, unless all are allocated. */
bool frames_free_run(struct frames *f, uint32_t first, uint32_t count) MUST_CHECK;

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
