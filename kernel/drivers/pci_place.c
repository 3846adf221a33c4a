/*
 * A new place for a BAR that cannot stay where it is.
 *
 * It lies between the end of RAM and the I/O APIC, and touches nothing that is known: no entry of
 * the memory map, no BAR and no enabled expansion ROM, no window of a bridge that is not before
 * the function. Behind bridges it lies within the windows of all of them: the one for memory, or
 * for a prefetchable BAR also the prefetchable one. All these are cut out of the address space in
 * the same way; what is left are the gaps.
 *
 * What firmware does not tell of (memory stolen by graphics above RAM, registers of the chipset)
 * lies at the edges of what it does tell of. So the largest gap is taken, and the middle of it.
 *
 * Where something is not known, there is no place: a table that was too small, CardBus bridges,
 * whose windows are not read, a bus that no bridge leads to, a memory map of absurd length.
 *
 * Sources: PCI-to-PCI Bridge Architecture Specification 1.2, "Memory Base Register and Memory
 * Limit Register" and the one behind it; PCI Local Bus Specification 3.0, "Expansion ROM Base
 * Address Register".
 */
#include <drivers/pci_place.h>
#include "mem/layout.h"

#define FOUR_GIB     (1ull << 32)
#define PLACES_START 0x00100000u /* RAM or not, low memory is full of surprises */
#define PLACES_END   0xfec00000u /* the I/O APIC, and behind it local APICs and firmware */
#define REGIONS_MAX  4096u       /* firmware has some hundred; the time goes with the square */
#define ROM_MAX      (16u * MIB) /* the most that an expansion ROM may have */

struct gap {
    paddr64_t start, end; /* [start, end) */
};

struct search {
    const struct pci_surroundings *around;
    bool prefetchable;
    bool on_path[PCI_MAX_FUNCTIONS]; /* the bridges before the function */
};

/*
 * Takes [start, end) from the gap: moves the gap's start behind it, or its end before it. An end
 * that wrapped is the end of the address space.
 */
static void cut(struct gap *gap, paddr64_t start, paddr64_t end)
{
    if (end < start)
        end = UINT64_MAX;
    if (start <= gap->start && gap->start < end)
        gap->start = end;
    else if (start > gap->start && start < gap->end && start < end)
        gap->end = start;
}

static void cut_regions(const struct memmap_source *regions, struct gap *gap)
{
    struct memmap_region region;

    regions->rewind(regions->context);
    while (regions->next(regions->context, &region))
        cut(gap, region.start, region.end);
}

/* One that was not probed lies at a multiple of its size, so it has no more than that. */
static void cut_bar(const struct pci_bar *bar, struct gap *gap)
{
    uint64_t size = bar->size != 0 ? bar->size : bar->base & -bar->base;

    if (bar->kind == PCI_BAR_MEMORY && bar->base != 0)
        cut(gap, bar->base, bar->base + size);
}

static void cut_rom(paddr64_t rom, struct gap *gap)
{
    uint64_t size = rom & -rom;

    cut(gap, rom, rom + (size < ROM_MAX ? size : ROM_MAX));
}

/* Takes what lies outside of both windows, either of which may be closed. */
static void confine(struct gap *gap, struct pci_window a, struct pci_window b)
{
    if (a.start == a.end)
        a = b;
    if (b.start == b.end)
        b = a;
    struct pci_window lower = a.start <= b.start ? a : b;
    struct pci_window upper = a.start <= b.start ? b : a;

    cut(gap, 0, lower.start);
    if (lower.end < upper.start)
        cut(gap, lower.end, upper.start);
    cut(gap, lower.end > upper.end ? lower.end : upper.end, UINT64_MAX);
}

static void cut_bridge(const struct search *search, const struct pci_device_info *bridge,
                       bool on_path, struct gap *gap)
{
    const struct pci_window closed = { .start = 0, .end = 0 };

    if (on_path)
        confine(gap, bridge->memory_window,
                search->prefetchable ? bridge->prefetchable_window : closed);
    else
        cut(gap, bridge->memory_window.start, bridge->memory_window.end);
    if (!on_path || !search->prefetchable)
        cut(gap, bridge->prefetchable_window.start, bridge->prefetchable_window.end);
}

static void cut_everything(const struct search *search, struct gap *gap)
{
    const struct pci_surroundings *around = search->around;

    cut_regions(&around->regions, gap);
    for (uint32_t i = 0; i < around->taken_count; i++)
        cut(gap, around->taken[i].start, around->taken[i].end);
    for (uint32_t i = 0; i < around->table->count; i++) {
        const struct pci_device_info *function = &around->table->functions[i];

        for (uint32_t bar = 0; bar < PCI_BARS; bar++)
            cut_bar(&function->bars[bar], gap);
        cut_rom(function->rom, gap);
        if (function->header == PCI_HEADER_BRIDGE)
            cut_bridge(search, function, search->on_path[i], gap);
    }
}

/* The first gap at or behind `from`; behind the last one it starts at or above PLACES_END. */
static struct gap next_gap(const struct search *search, paddr64_t from)
{
    struct gap gap = { from, 0 };
    paddr64_t before;

    do { /* until nothing lies over its start: then its end holds too */
        before = gap.start;
        gap.end = PLACES_END;
        cut_everything(search, &gap);
    } while (gap.start != before && gap.start < PLACES_END);
    return gap;
}

/* The place nearest to the gap's middle, downwards, at a multiple of `size`; 0 if none fits. */
static paddr64_t place_in(const struct gap *gap, uint64_t size)
{
    paddr64_t first = (gap->start + size - 1) & -size;

    if (first > gap->end || gap->end - first < size)
        return 0;
    paddr64_t middle = (gap->start + (gap->end - gap->start - size) / 2) & -size;
    return middle > first ? middle : first;
}

static paddr64_t end_of_ram(const struct memmap_source *regions)
{
    struct memmap_region region;
    paddr64_t end = PLACES_START;

    regions->rewind(regions->context);
    while (regions->next(regions->context, &region)) {
        if (region.type == MEMMAP_AVAILABLE && region.start < FOUR_GIB && region.end > end)
            end = region.end;
    }
    return end;
}

static bool is_too_long(const struct memmap_source *regions)
{
    struct memmap_region region;
    uint32_t count = 0;

    regions->rewind(regions->context);
    while (count <= REGIONS_MAX && regions->next(regions->context, &region))
        count++;
    return count > REGIONS_MAX;
}

static bool all_is_known(const struct pci_table *table)
{
    for (uint32_t i = 0; i < table->count; i++) {
        if (table->functions[i].header > PCI_HEADER_BRIDGE)
            return false;
    }
    return table->left_out == 0;
}

/* Index of the bridge to that bus, or the table's count. */
static uint32_t find_bridge(const struct pci_table *table, uint32_t bus)
{
    uint32_t i = 0;

    while (i < table->count && (table->functions[i].header != PCI_HEADER_BRIDGE ||
                                table->functions[i].secondary != bus))
        i++;
    return i;
}

/* Marks the bridges from bus 0 to that bus; false if there is no such path. */
static bool find_path(const struct pci_table *table, uint32_t bus, bool *on_path)
{
    while (bus != 0) {
        uint32_t i = find_bridge(table, bus);
        if (i == table->count || on_path[i])
            return false;
        on_path[i] = true;
        bus = pci_bus(table->functions[i].address);
    }
    return true;
}

static paddr64_t place_in_largest_gap(const struct search *search, uint64_t size)
{
    paddr64_t from = end_of_ram(&search->around->regions);
    paddr64_t best = 0, best_length = 0;

    while (from < PLACES_END) {
        struct gap gap = next_gap(search, from);
        paddr64_t place = gap.start < PLACES_END ? place_in(&gap, size) : 0;

        if (place != 0 && gap.end - gap.start > best_length) {
            best = place;
            best_length = gap.end - gap.start;
        }
        from = gap.start < PLACES_END ? gap.end : gap.start;
    }
    return best;
}

paddr64_t pci_place(const struct pci_surroundings *around, const struct pci_device_info *info,
                    uint32_t bar, const char **why)
{
    const struct pci_bar *b = &info->bars[bar];
    struct search search = { .around = around, .prefetchable = b->prefetchable };

    if (b->kind != PCI_BAR_MEMORY || b->size == 0 || b->size >= FOUR_GIB) {
        *why = "its size does not fit";
        return 0;
    }
    if (is_too_long(&around->regions)) {
        *why = "the memory map has too many entries";
        return 0;
    }
    if (!all_is_known(around->table)) {
        *why = "not all that is on the buses is known";
        return 0;
    }
    if (!find_path(around->table, pci_bus(info->address), search.on_path)) {
        *why = "no bridge leads to its bus";
        return 0;
    }
    paddr64_t place = place_in_largest_gap(&search, b->size > PAGE_SIZE ? b->size : PAGE_SIZE);
    *why = place != 0 ? NULL : "no gap is large enough";
    return place;
}
