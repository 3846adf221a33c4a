/*
 * The seam for a recorder of stretches with interrupts off. It is empty in the kernel that people
 * get; `make STRETCHES=1` builds one in which kernel/x86/stretch.c records the longest, and `make
 * CHECK=1` one in which kernel/check/interrupts.c reports what is too long.
 *
 * Called wherever interrupts go off and on: by io.h, and on both sides of a trap. A stretch may
 * begin in one thread and end in another.
 */
#ifndef X86_STRETCH_H
#define X86_STRETCH_H

#include <types.h>

struct stretch {
    uint32_t ticks;  /* of the TSC */
    uint32_t from;   /* code that turned interrupts off, or a line's handler */
    uint32_t caller; /* of that code; 0 for a handler */
    uint32_t until;  /* code that turned them on again */
};

#if defined(STRETCHES) || defined(CHECK)

/* Interrupts have just gone off; nothing happens if they were off. */
void stretch_begin(void);

/* Interrupts are about to go on; nothing happens if they are on. */
void stretch_end(void);

/* The stretch is an interrupt's, and this its handler. */
void stretch_is_of(void (*handler)(void));

#else

static inline void stretch_begin(void)
{
}

static inline void stretch_end(void)
{
}

static inline void stretch_is_of(void (*handler)(void) UNUSED)
{
}

#endif

#ifdef STRETCHES

/* The longest that began at one place, by rank from 0; false behind the last. Interrupts off. */
bool stretch_get(uint32_t rank, struct stretch *stretch) MUST_CHECK;

/* Begins anew. */
void stretch_forget(void);

#else

static inline bool stretch_get(uint32_t rank UNUSED, struct stretch *stretch UNUSED)
{
    return false;
}

static inline void stretch_forget(void)
{
}

#endif

#endif
