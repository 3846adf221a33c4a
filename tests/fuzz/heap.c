/*
 * Fuzzing the heap: bytes are read as calls, each made on the heap and on its model.
 *
 * The first byte says which window and whether there are small objects. Then four bytes each are
 * kind and repetitions, a slot, and a size of 16 bits; a call goes to so many slots from the one
 * given on. What cannot be done, a free of an empty slot say, is left out. After each the validator
 * is asked, and at the end both must be empty.
 */
#include <stddef.h>
#include <stdint.h>

#include "heap_play.h"

#define SLOTS     256u
#define CALLS_MAX 4000u /* so that no input takes long */

enum kind {
    ALLOC,
    ALLOC_SMALL,
    ALLOC_ALIGNED,
    CALLOC,
    FREE,
    REALLOC,
    LIMIT,
    NO_LIMIT,
};

static void call(enum kind kind, struct play_slot *slot, uint32_t size)
{
    bool empty = slot->payload == NULL;

    if (kind == ALLOC && empty)
        play_alloc(slot, size, 8);
    else if (kind == ALLOC_SMALL && empty)
        play_alloc(slot, size & 0x1ff, 8);
    else if (kind == ALLOC_ALIGNED && empty)
        play_alloc(slot, size & 0xfff, 1u << (size >> 12) % 13);
    else if (kind == CALLOC && empty && size > 0)
        play_calloc(slot, size);
    else if (kind == FREE && !empty)
        play_free(slot);
    else if (kind == REALLOC && !empty && size > 0)
        play_realloc(slot, size);
}

static void call_repeatedly(const uint8_t *bytes)
{
    enum kind kind = bytes[0] % 8;
    uint32_t repetitions = bytes[0] / 8 + 1u, size = bytes[2] | (uint32_t)bytes[3] << 8;

    if (kind == LIMIT)
        play_limit(size % 16);
    else if (kind == NO_LIMIT)
        play_no_limit();
    for (uint32_t i = 0; i < repetitions && kind < LIMIT; i++)
        call(kind, &play.slots[(bytes[1] + i) % SLOTS], size);
    check_sound();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (arena == NULL && open_arena(NULL) != 0)
        __builtin_trap();
    if (size == 0)
        return 0;

    play_start(64 * KIB << bytes[0] % 4, (bytes[0] & 4) != 0);
    for (size_t i = 1; i + 4 <= size && play.calls < CALLS_MAX; i += 4)
        call_repeatedly(bytes + i);
    play_check_layout();
    play_end();
    return 0;
}
