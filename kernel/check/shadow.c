/*
 * Reading and writing shadow memory.
 */
#include "check/shadow.h"
#include "check/place.h"

#define FIRST_REASON 0x80 /* values below say how many bytes of the granule may be touched */

typedef uint32_t __attribute__((may_alias)) word;

void shadow_forbid(vaddr_t start, size_t size, uint8_t value)
{
    uint8_t *shadow = shadow_of(start);

    for (size_t i = 0; i < size / GRANULE; i++)
        shadow[i] = value;
}

void shadow_allow(vaddr_t start, size_t size)
{
    uint8_t *shadow = shadow_of(start);

    for (size_t i = 0; i < size / GRANULE; i++)
        shadow[i] = 0;
    if (size % GRANULE != 0)
        shadow[size / GRANULE] = (uint8_t)(size % GRANULE);
}

static bool may_touch(vaddr_t address)
{
    uint8_t value = *shadow_of(address);

    return value == 0 || (value < FIRST_REASON && address % GRANULE < value);
}

/* Granules from there on, at most `granules`, that the shadow calls free, four at a time. */
static size_t free_granules(const uint8_t *shadow, size_t granules)
{
    size_t count = 0;

    while (count < granules && shadow[count] == 0) {
        const word *four = (const word *)&shadow[count];
        bool skip =
            (uintptr_t)four % sizeof(word) == 0 && granules - count >= sizeof(word) && *four == 0;
        count += skip ? sizeof(word) : 1;
    }
    return count;
}

bool shadow_find_forbidden(vaddr_t start, size_t size, vaddr_t *forbidden)
{
    vaddr_t granule = start - start % GRANULE;
    size_t granules = (size - 1 + start % GRANULE) / GRANULE + 1;

    *forbidden = start;
    if (size > 0u - start && start != 0)
        return size != 0; /* the range wraps */
    for (size_t i = 0; size != 0 && i < granules; i++) {
        i += free_granules(shadow_of(granule) + i, granules - i);
        if (i == granules)
            break;
        uint8_t value = *shadow_of(granule + i * GRANULE);
        vaddr_t bad = granule + i * GRANULE + (value < FIRST_REASON ? value : 0);
        if (bad < start)
            bad = start;
        if (bad < granule + (i + 1) * GRANULE && bad - start < size) {
            *forbidden = bad;
            return true;
        }
    }
    return false;
}

uint8_t shadow_reason(vaddr_t address)
{
    if (may_touch(address))
        return 0;

    uint8_t value = *shadow_of(address);
    if (value < FIRST_REASON)
        value = *shadow_of(address - address % GRANULE + GRANULE);
    return value;
}

const char *shadow_reason_text(uint8_t reason)
{
    switch (reason) {
    case SHADOW_STACK_LEFT:
    case SHADOW_STACK_MIDDLE:
    case SHADOW_STACK_RIGHT:
        return "stack out of bounds";
    case SHADOW_STACK_SCOPE:
        return "use after scope";
    case SHADOW_GLOBAL:
        return "global out of bounds";
    case SHADOW_HEAP_LEFT:
        return "heap underflow";
    case SHADOW_HEAP_RIGHT:
        return "heap overflow";
    case SHADOW_HEAP_FREED:
        return "use after free";
    case SHADOW_HEAP_NONE:
        return "heap memory of no block";
    default:
        return "forbidden memory";
    }
}
