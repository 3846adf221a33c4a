/*
 * The memory map: firmware's regions, 64-bit, turned into frames.
 *
 * Pure. Regions may come unsorted, overlapping, unaligned, empty, wrapping, of unknown type and
 * in any number: they are walked, never stored.
 */
#ifndef MEM_MEMMAP_H
#define MEM_MEMMAP_H

#include <mem/frames.h>
#include <types.h>

/* Multiboot2's types; all others count as reserved. */
enum memmap_type {
    MEMMAP_AVAILABLE = 1,
    MEMMAP_RESERVED = 2,
    MEMMAP_ACPI = 3, /* "reclaimable": stays reserved, the tables are read in place */
    MEMMAP_NVS = 4,
    MEMMAP_BAD = 5,
};

struct memmap_region {
    paddr64_t start, end; /* [start, end), never empty */
    uint32_t type;
};

/*
 * Makes a region of what firmware says. False for an empty one and for one that wraps around the
 * end of the address space; one that reaches exactly to the end loses its last byte.
 */
bool memmap_region(uint64_t base, uint64_t length, uint32_t type,
                   struct memmap_region *region) MUST_CHECK;

/* The type in words: "available", "reserved", ... */
const char *memmap_type_text(uint32_t type);

/* A range of frames [first, end) below FRAMES_MAX; empty when first = end. */
struct memmap_frames {
    uint32_t first, end;
};

/* The frames that lie wholly inside the region: what may be used of RAM. */
struct memmap_frames memmap_frames_inside(const struct memmap_region *region);

/* The frames that the region touches: what must be kept from use. */
struct memmap_frames memmap_frames_touched(const struct memmap_region *region);

/*
 * Where regions come from. next() fills in the following one and says whether there was one;
 * rewind() starts again. Regions are asked for twice.
 */
struct memmap_source {
    void (*rewind)(void *context);
    bool (*next)(void *context, struct memmap_region *region);
    void *context;
};

/*
 * Enters a memory map into an initialised frame bitmap: one pass frees what is available, a
 * second takes back every frame that anything else touches. So reserved wins, in any order.
 * Returns the bytes of available RAM at or above FRAMES_MAX frames, which the bitmap cannot hold
 * (overlapping regions counted as often as they are listed).
 */
uint64_t memmap_enter(const struct memmap_source *source, struct frames *frames);

#endif
