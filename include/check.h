/*
 * The seam for the checking build's shadow memory (kernel/check/). It is empty in the kernel that
 * people get; `make CHECK=1` builds one in which every access to memory is looked up in a shadow
 * that says of each byte whether it may be touched.
 */
#ifndef CHECK_H
#define CHECK_H

#include <types.h>

/* What check_heap_validate() has looked at. */
struct check_heap_figures {
    size_t live;        /* blocks */
    size_t quarantined; /* blocks */
    size_t bytes;       /* in quarantine */
    vaddr_t damaged;    /* the block that something is wrong with; 0: none */
};

/* A block of the heap, as the checking build keeps it. */
struct check_block_place {
    vaddr_t start;
    size_t size;               /* that was asked for */
    bool live;                 /* or freed, and in quarantine */
    uint32_t allocated, freed; /* return addresses of those calls; freed: 0 if it is live */
};

#ifdef CHECK

/*
 * For tests that foretell where blocks are placed: red zones and quarantine place them elsewhere,
 * and a block that grows always moves.
 */
#define BLOCKS_HAVE_RED_ZONES true

/* The compiler puts no checks into the function that follows. */
#define UNCHECKED             __attribute__((no_sanitize_address))

/*
 * Sets up the shadow and begins to check. Paging is on, the PMM up, interrupts are off. Functions
 * that are active now must have no red zones on the stack: the Makefile's UNCHECKED_STACKS.
 * Panics when there is too little memory.
 */
void check_init(void);

extern bool check_on; /* there is a shadow, and what is wrong is reported */

/* No more reports: a panic has begun. */
void check_stop(void);

/*
 * Gives the pages of [start, end) a shadow that can be written, if they are of the heap or of a
 * stack; nothing in it is forbidden yet. False, and nothing changed, when there are no frames for
 * it.
 */
bool check_cover(vaddr_t start, vaddr_t end) MUST_CHECK;

/*
 * Takes back the shadow of [start, end), above which up to the next multiple of 32 KiB nothing is
 * covered any more.
 */
void check_uncover(vaddr_t start, vaddr_t end);

/* Frames that hold the heap's shadow. */
uint32_t check_heap_frames(void);

/* Reports unless all of `size` bytes may be read, or written: for what moves bytes by itself. */
void check_read(const void *start, size_t size);
void check_write(const void *start, size_t size);

/*
 * The block to which an address of the heap belongs, or in whose red zones it lies; false if there
 * is none. Takes no lock.
 */
bool check_find_block(vaddr_t address, struct check_block_place *place);

/* Gives the heap all that is in quarantine. */
void check_heap_drain(void);

/*
 * Looks at the red zones of all blocks of the heap, and at what was freed and is in quarantine.
 * NULL, or what is wrong with figures->damaged, in words that its address completes.
 */
const char *check_heap_validate(struct check_heap_figures *figures);

#else

#define BLOCKS_HAVE_RED_ZONES false
#define UNCHECKED

static inline void check_init(void)
{
}

static inline void check_stop(void)
{
}

static inline bool check_cover(vaddr_t start UNUSED, vaddr_t end UNUSED)
{
    return true;
}

static inline void check_uncover(vaddr_t start UNUSED, vaddr_t end UNUSED)
{
}

static inline uint32_t check_heap_frames(void)
{
    return 0;
}

static inline void check_read(const void *start UNUSED, size_t size UNUSED)
{
}

static inline void check_write(const void *start UNUSED, size_t size UNUSED)
{
}

static inline bool check_find_block(vaddr_t address UNUSED, struct check_block_place *place)
{
    *place = (struct check_block_place){ 0 };
    return false;
}

static inline void check_heap_drain(void)
{
}

static inline const char *check_heap_validate(struct check_heap_figures *figures)
{
    *figures = (struct check_heap_figures){ 0 };
    return NULL;
}

#endif

#endif
