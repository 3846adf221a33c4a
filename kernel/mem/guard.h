/*
 * The guard of an allocation: a canary behind what was asked for, and who asked.
 *
 *   | payload, `size` bytes | slack | owner | check |     `room` bytes in all
 *                           ^ end
 *
 * kmalloc() asks the heap for GUARD_SIZE bytes more and lays the guard at the end of what it gets.
 * `owner` is the return address of the call and, as its lowest byte, GUARD_FILL; `check` is `owner`
 * combined with `end`, so that both are known again, and what stands in the place of a guard is one
 * for no other end: a head or a chunk that gives a wrong room is seen as well. If rounding leaves
 * slack, that begins with GUARD_FILL too. So the byte at `end` is always the same, and what runs
 * past the end changes it.
 *
 * Pure. The caller sees to it that nobody else frees the block meanwhile.
 */
#ifndef MEM_GUARD_H
#define MEM_GUARD_H

#include <types.h>

struct guard {
    uint32_t owner;
    uint32_t check;
};

#define GUARD_SIZE      ((uint32_t)sizeof(struct guard))
#define GUARD_FILL      0xcbu
#define GUARD_OWNER     8 /* its lowest bit: the kernel lies below 16 MiB */

/* What a block or an object has more than it was asked for: an object that was resized most. */
#define GUARD_SLACK_MAX 255u

static inline struct guard *guard_of(vaddr_t payload, size_t room)
{
    return (struct guard *)(payload + room - GUARD_SIZE);
}

/* Guards `size` bytes of a payload in `room`, at least size + GUARD_SIZE. */
static inline void guard_set(vaddr_t payload, size_t room, size_t size, vaddr_t owner)
{
    struct guard *guard = guard_of(payload, room);
    vaddr_t end = payload + size;
    uint32_t word = (uint32_t)owner << GUARD_OWNER | GUARD_FILL;

    *(uint8_t *)end = GUARD_FILL;
    guard->owner = word;
    guard->check = word ^ (uint32_t)end;
}

/* Where what was asked for ends; anything, if there is no guard. */
static inline vaddr_t guard_end(const struct guard *guard)
{
    return guard->check ^ guard->owner;
}

/* Whether it is the end of what could have been asked for. */
static inline bool guard_end_is_sound(const struct guard *guard, vaddr_t end)
{
    return (vaddr_t)guard - end <= GUARD_SLACK_MAX;
}

/* Whether there is a guard and nothing was written behind the payload. */
static inline bool guard_is_whole(vaddr_t payload, size_t room)
{
    const struct guard *guard = guard_of(payload, room);
    vaddr_t end = guard_end(guard);

    return __builtin_expect(guard_end_is_sound(guard, end), true) &&
           *(const uint8_t *)end == GUARD_FILL;
}

/* The return address of the call that allocated. */
static inline vaddr_t guard_owner(const struct guard *guard)
{
    return guard->owner >> GUARD_OWNER;
}

#endif
