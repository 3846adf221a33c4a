/*
 * A drawing of shadow memory: rows of bytes, and a legend of those that occur.
 *
 *     0x18000080: fa fa fa fa fa fa 00 00 00[fb]fb fe fe fe fe fe
 */
#include "check/drawing.h"
#include "check/place.h"
#include "check/shadow.h"
#include <lib/printf.h>

void drawing_row(vaddr_t start, vaddr_t marked, char text[DRAWING_COLUMNS])
{
    size_t length = (size_t)ksnprintf(text, DRAWING_COLUMNS, "0x%08x:", (uint32_t)start);
    char before = ' ';

    for (vaddr_t granule = start; granule - start < DRAWING_ROW; granule += GRANULE) {
        bool here = marked - granule < GRANULE;
        length += (size_t)ksnprintf(text + length, DRAWING_COLUMNS - length, "%c%02x",
                                    here ? '[' : before, *shadow_of(granule));
        before = here ? ']' : ' ';
    }
    if (before == ']')
        ksnprintf(text + length, DRAWING_COLUMNS - length, "]");
}

static const struct {
    uint8_t first, last;
    const char *meaning;
} legend[] = {
    { 0x00, 0x00, "all 8 bytes may be touched" },
    { 0x01, 0x07, "only so many of the 8" },
    { SHADOW_STACK_LEFT, SHADOW_STACK_LEFT, "stack, below a function's variables" },
    { SHADOW_STACK_MIDDLE, SHADOW_STACK_MIDDLE, "stack, between two variables" },
    { SHADOW_STACK_RIGHT, SHADOW_STACK_RIGHT, "stack, above a function's variables" },
    { SHADOW_STACK_SCOPE, SHADOW_STACK_SCOPE, "stack, a variable whose block has ended" },
    { SHADOW_GLOBAL, SHADOW_GLOBAL, "behind a global variable" },
    { SHADOW_HEAP_LEFT, SHADOW_HEAP_LEFT, "before a block of the heap" },
    { SHADOW_HEAP_RIGHT, SHADOW_HEAP_RIGHT, "behind a block" },
    { SHADOW_HEAP_FREED, SHADOW_HEAP_FREED, "a block that was freed" },
    { SHADOW_HEAP_NONE, SHADOW_HEAP_NONE, "heap memory of no block" },
};

static bool occurs(uint8_t first, uint8_t last, vaddr_t start, vaddr_t end)
{
    for (vaddr_t granule = start; granule < end; granule += GRANULE) {
        if (*shadow_of(granule) >= first && *shadow_of(granule) <= last)
            return true;
    }
    return false;
}

bool drawing_legend(uint32_t index, vaddr_t start, vaddr_t end, char text[DRAWING_COLUMNS])
{
    if (index >= ARRAY_SIZE(legend))
        return false;

    uint8_t first = legend[index].first, last = legend[index].last;
    text[0] = '\0';
    if (!occurs(first, last, start, end))
        return true;
    if (first == last)
        ksnprintf(text, DRAWING_COLUMNS, "%02x %s", first, legend[index].meaning);
    else
        ksnprintf(text, DRAWING_COLUMNS, "%02x-%02x %s", first, last, legend[index].meaning);
    return true;
}
