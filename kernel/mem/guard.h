/*
 * The guard of an allocation: a canary behind what was asked for, and who asked.
 *
 *   | payload, `size` bytes | canary | slack | owner, distance |     `room` bytes in all
 *                           ^ end                              ^ so many bytes behind `end`
 *
 * kmalloc() asks the heap for GUARD_SIZE bytes more. The canary follows the last byte asked for
 * whatever its address, so that what runs past the end changes it; rounding leaves the slack. The
 * last word finds it again from the end of the room: its lowest byte is the distance from there,
 * the others are the return address of the call.
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

/* Guards `size` bytes, at most 255, of a payload in `room`: GUARD_SIZE or more above that. */
static inline void guard_set_small(vaddr_t payload, size_t room, size_t size, vaddr_t owner)
{
    *guard_word(payload, room) = ((uint32_t)owner << GUARD_OWNER) + (uint32_t)size;
    *(guard_canary *)(payload + size) = GUARD_CANARY;
}

/* The same for any size; the room is at most 255 bytes larger. */
static inline void guard_set(vaddr_t payload, size_t room, size_t size, vaddr_t owner)
{
    *guard_word(payload, room) = ((uint32_t)owner << GUARD_OWNER) + (uint8_t)size;
    *(guard_canary *)(payload + size) = GUARD_CANARY;
}

/* Whether the canary stands behind `size` bytes. */
static inline bool guard_is_behind(vaddr_t payload, size_t size)
{
    return *(const guard_canary *)(payload + size) == GUARD_CANARY;
}

/* What was asked for in `room`; up to 255 bytes less than that, if there is no guard. */
static inline size_t guarded_size(vaddr_t payload, size_t room)
{
    uint8_t low = (uint8_t)*guard_word(payload, room);

    return room - (uint8_t)(room - low);
}

/* Whether there is a guard and nothing was written behind the payload. */
static inline bool guard_is_whole(vaddr_t payload, size_t room)
{
    size_t size = guarded_size(payload, room);

    return __builtin_expect(size <= room, true) && guard_is_behind(payload, size);
}

/* The same where at most 255 bytes were asked for. */
static inline bool guard_is_whole_small(vaddr_t payload, size_t room)
{
    return guard_is_behind(payload, (uint8_t)*guard_word(payload, room));
}

/* The return address of the call that allocated. */
static inline vaddr_t guard_owner(vaddr_t payload, size_t room)
{
    return *guard_word(payload, room) >> GUARD_OWNER;
}

#endif
