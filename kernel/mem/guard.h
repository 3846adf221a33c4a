/*
 * The guard of an allocation: a canary behind what was asked for, and who asked.
 *
 *   | payload, `size` bytes | canary | slack | owner, distance |     `room` bytes in all
 *                           ^                                  ^ so many bytes behind the payload
 *
 * kmalloc() asks the heap for GUARD_SIZE bytes more. The canary follows the last byte asked for
 * whatever its address, so that what runs past the end changes it; rounding leaves the slack. The
 * last word leads back to it: its lowest byte is the distance from the end of the room to that of
 * the payload. The others are the return address of the call.
 *
 * Pure. The caller sees to it that nobody else frees the block meanwhile.
 */
#ifndef MEM_GUARD_H
#define MEM_GUARD_H

#include <types.h>

/* Bytes that are neither text nor small numbers, and no two of them equal: no filling looks so. */
#define GUARD_CANARY 0xa5e3c1cbu

#define GUARD_SIZE   8u
#define GUARD_OWNER  8 /* its lowest bit: the kernel lies below 16 MiB */

typedef uint32_t __attribute__((aligned(1), may_alias)) guard_canary;

static inline uint32_t *guard_word(vaddr_t payload, size_t room)
{
    return (uint32_t *)(payload + room) - 1;
}

/* Guards `size` bytes of a payload in `room`, which has GUARD_SIZE to 255 bytes more. */
static inline void guard_set(vaddr_t payload, size_t room, size_t size, vaddr_t owner)
{
    uint32_t word = ((uint32_t)owner << GUARD_OWNER) - (uint32_t)size;

    __asm__("" : "+r"(word)); /* or GCC adds room - size, which takes another register */
    *guard_word(payload, room) = word + (uint32_t)room;
    *(guard_canary *)(payload + size) = GUARD_CANARY;
}

/* What was asked for, by the last word; false if there is no guard for sure. */
static inline bool guard_tells_size(vaddr_t payload, size_t room, size_t *size)
{
    size_t distance = (uint8_t)*guard_word(payload, room);

    return !__builtin_sub_overflow(room, distance, size);
}

/*
 * Whether there is a guard and nothing was written behind the payload. Nothing in front of it is
 * looked at, where another's canary may be.
 */
static inline bool guard_is_whole(vaddr_t payload, size_t room)
{
    size_t size;

    return guard_tells_size(payload, room, &size) &&
           *(const guard_canary *)(payload + size) == GUARD_CANARY;
}

/* Forgets a canary, so that it is none behind a larger size. `size` fits into the room. */
static inline void guard_clear(vaddr_t payload, size_t size)
{
    *(guard_canary *)(payload + size) = 0;
}

/* The return address of the call that allocated. */
static inline vaddr_t guard_owner(vaddr_t payload, size_t room)
{
    return *guard_word(payload, room) >> GUARD_OWNER;
}

#endif
