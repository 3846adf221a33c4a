/*
 * From firmware's regions to frames.
 *
 * 64-bit numbers are compared and clipped here, and become frame numbers below FRAMES_MAX only
 * after that; nothing above 4 GiB can turn up at a low address.
 */
#include <mem/memmap.h>
#include "mem/layout.h"

#define LIMIT ((paddr64_t)FRAMES_MAX * PAGE_SIZE)

_Static_assert(LIMIT == PMM_MAX_PHYS_ADDR, "the bitmap covers what the PMM manages");

bool memmap_region(uint64_t base, uint64_t length, uint32_t type, struct memmap_region *region)
{
    *region = (struct memmap_region){ base, base + length, type };
    if (length != 0 && region->end == 0)
        region->end = UINT64_MAX;
    return region->end > region->start;
}

const char *memmap_type_text(uint32_t type)
{
    switch (type) {
    case MEMMAP_AVAILABLE:
        return "available";
    case MEMMAP_RESERVED:
        return "reserved";
    case MEMMAP_ACPI:
        return "ACPI tables";
    case MEMMAP_NVS:
        return "ACPI NVS";
    case MEMMAP_BAD:
        return "bad RAM";
    default:
        return "reserved (unknown type)";
    }
}

/* Both addresses are clipped to LIMIT before they are cut to 32 bits; rounding cannot overflow. */
static uint32_t clip(paddr64_t address)
{
    return (uint32_t)(address < LIMIT ? address : LIMIT);
}

static uint32_t frame_at_or_above(paddr64_t address)
{
    return (clip(address) + PAGE_SIZE - 1) / PAGE_SIZE;
}

static uint32_t frame_at_or_below(paddr64_t address)
{
    return clip(address) / PAGE_SIZE;
}

struct memmap_frames memmap_frames_inside(const struct memmap_region *region)
{
    struct memmap_frames inside = { frame_at_or_above(region->start),
                                    frame_at_or_below(region->end) };

    if (inside.end < inside.first)
        inside.end = inside.first; /* the region lies within one frame */
    return inside;
}

struct memmap_frames memmap_frames_touched(const struct memmap_region *region)
{
    return (struct memmap_frames){ frame_at_or_below(region->start),
                                   frame_at_or_above(region->end) };
}

uint64_t memmap_enter(const struct memmap_source *source, struct frames *frames)
{
    struct memmap_region region;
    struct memmap_frames range;
    uint64_t left_out = 0;

    source->rewind(source->context);
    while (source->next(source->context, &region)) {
        if (region.type != MEMMAP_AVAILABLE)
            continue;
        range = memmap_frames_inside(&region);
        frames_add(frames, range.first, range.end);
        if (region.end > LIMIT)
            left_out += region.end - (region.start > LIMIT ? region.start : LIMIT);
    }

    source->rewind(source->context);
    while (source->next(source->context, &region)) {
        if (region.type == MEMMAP_AVAILABLE)
            continue;
        range = memmap_frames_touched(&region);
        frames_remove(frames, range.first, range.end);
    }
    frames_lower_end(frames);
    return left_out;
}
