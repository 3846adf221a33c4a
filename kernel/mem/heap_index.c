/*
 * The pages of the heap's index.
 *
 * A part is an array that grows from its start. Parts are the tree's levels, as long as each
 * begins on a page of its own; the page with all the levels above those; the lists' starts; and
 * the table of granules.
 */
#include "mem/heap_index.h"
#include "mem/layout.h"
#include <heap_system.h>
#include <lib/bits.h>
#include <lib/string.h>

#define NODES_PER_PAGE (PAGE_SIZE / (uint32_t)sizeof(uint32_t))
#define PARTS_MAX      12u /* enough for a window of 4 GiB */

struct part {
    vaddr_t start, mapped;
    uint32_t covers; /* bytes of the heap that an entry stands for */
    uint32_t entry;  /* bytes */
    uint32_t above;  /* needed once the heap is larger than this */
};

static struct part parts[PARTS_MAX];
static uint32_t part_count;

static void add_part(vaddr_t start, uint32_t covers, uint32_t entry, uint32_t above)
{
    parts[part_count++] = (struct part){ start, start, covers, entry, above };
}

static size_t nodes_bytes(size_t size)
{
    return round_up(2 * first_fit_leaves(size) * (uint32_t)sizeof(uint32_t), PAGE_SIZE);
}

static size_t first_bytes(size_t size)
{
    return round_up(size / SEGMENT_SIZE * (uint32_t)sizeof(struct block *), PAGE_SIZE);
}

static size_t granules_bytes(size_t size)
{
    return round_up(size / GRANULE_SIZE * (uint32_t)sizeof(uint32_t), PAGE_SIZE);
}

size_t heap_index_window(size_t size)
{
    return nodes_bytes(size) + first_bytes(size) + granules_bytes(size);
}

/* The root is a level below which all fits; the level above it is needed too (max_tree_cover()). */
static void add_levels(vaddr_t nodes, uint32_t level)
{
    uint32_t covers = SEGMENT_SIZE;

    for (; level >= NODES_PER_PAGE; level /= MAX_TREE_FAN) {
        add_part(nodes + level * sizeof(uint32_t), covers, sizeof(uint32_t),
                 covers / MAX_TREE_FAN / MAX_TREE_FAN);
        covers *= MAX_TREE_FAN;
    }
    add_part(nodes, UINT32_MAX, PAGE_SIZE, covers / MAX_TREE_FAN / MAX_TREE_FAN);
}

struct heap_index heap_index_init(vaddr_t base, size_t size)
{
    vaddr_t first = base + nodes_bytes(size), granules = first + first_bytes(size);

    part_count = 0;
    add_levels(base, first_fit_leaves(size));
    add_part(first, SEGMENT_SIZE, sizeof(struct block *), 0);
    add_part(granules, GRANULE_SIZE, sizeof(uint32_t), 0);
    return (struct heap_index){ (uint32_t *)base, (struct block **)first, (uint32_t *)granules };
}

/* Where the pages of a part have to end for a heap of `bytes` bytes. */
static vaddr_t needed_end(const struct part *part, size_t bytes)
{
    uint32_t entries = bytes > part->above ? (bytes - 1) / part->covers + 1 : 0;

    return round_up(part->start + entries * part->entry, PAGE_SIZE);
}

static void unmap_from(struct part *part, vaddr_t end)
{
    if (end < part->mapped) {
        heap_system_unmap(end, (part->mapped - end) / PAGE_SIZE);
        part->mapped = end;
    }
}

static bool map_up_to(struct part *part, vaddr_t end)
{
    if (end <= part->mapped)
        return true;
    if (!heap_system_map(part->mapped, (end - part->mapped) / PAGE_SIZE))
        return false;
    memset((void *)part->mapped, 0, end - part->mapped);
    part->mapped = end;
    return true;
}

bool heap_index_grow(size_t bytes)
{
    vaddr_t before[PARTS_MAX];

    for (uint32_t i = 0; i < part_count; i++) {
        before[i] = parts[i].mapped;
        if (!map_up_to(&parts[i], needed_end(&parts[i], bytes))) {
            while (i-- > 0)
                unmap_from(&parts[i], before[i]);
            return false;
        }
    }
    return true;
}

void heap_index_shrink(size_t bytes)
{
    for (uint32_t i = 0; i < part_count; i++)
        unmap_from(&parts[i], needed_end(&parts[i], bytes));
}

size_t heap_index_mapped(void)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < part_count; i++)
        bytes += parts[i].mapped - parts[i].start;
    return bytes;
}

size_t heap_index_bytes(size_t bytes)
{
    uint32_t segments = (bytes + SEGMENT_SIZE - 1) / SEGMENT_SIZE;
    uint32_t nodes = 1;

    for (uint32_t level = segments; level > 1; level = (level + MAX_TREE_FAN - 1) / MAX_TREE_FAN)
        nodes += level;
    return nodes * sizeof(uint32_t) + segments * sizeof(struct block *) + sizeof(parts);
}
