/*
 * Commands that look at memory: figures, maps, modules, the heap's blocks and its test.
 */
#include <shell/shell.h>
#include "mem/layout.h"
#include "mem/small.h"
#include <boot_info.h>
#include <check.h>
#include <heap.h>
#include <lib/crc32.h>
#include <lib/number.h>
#include <lib/string.h>
#include <log.h>
#include <mem/paging.h>
#include <mem/pmm.h>
#include <mem/window.h>
#include <sched/thread.h>
#include <selftest.h>
#include <x86/io.h>

static void print_kb(const char *key, uint32_t kb)
{
    kprintf("%s:%*u kB\n", key, (int)(24 - __builtin_strlen(key)), kb);
}

static uint32_t kb_up(size_t bytes)
{
    return (uint32_t)((bytes + KIB - 1) / KIB);
}

SHELL_COMMAND(meminfo, "meminfo", "shows the figures of physical memory and the heap", "meminfo")
{
    if (argc != 1)
        return SHELL_USAGE;

    /* All figures of the same moment; what is freed counts as free. */
    check_heap_drain();
    uint32_t flags = interrupts_save();
    struct pmm_stats pmm = pmm_get_stats();
    struct heap_stats heap = heap_get_stats();
    uint32_t tables = paging_table_frames();
    interrupts_restore(flags);

    uint32_t frame_kb = PAGE_SIZE / KIB;
    heap.total += check_heap_frames() * PAGE_SIZE;
    print_kb("MemTotal", pmm.total * frame_kb);
    print_kb("MemFree", pmm.free * frame_kb);
    print_kb("MemUsed", (pmm.total - pmm.free) * frame_kb);
    print_kb("PageTables", tables * frame_kb);
    print_kb("HeapTotal", heap.total / KIB);
    print_kb("HeapUsed", kb_up(heap.used));
    print_kb("HeapFree", heap.total / KIB - kb_up(heap.used));
    print_kb("HeapPeak", kb_up(heap.peak));
    print_kb("HeapLargestFree", heap.largest_free / KIB);
    kprintf("HeapBlocks: %13zu\nHeapAllocs: %13llu\nHeapFrees: %14llu\n", heap.blocks, heap.allocs,
            heap.frees);
    return SHELL_OK;
}

SHELL_COMMAND(memmap, "memmap", "lists the regions of firmware's memory map", "memmap")
{
    struct memmap_source source = boot_info_regions();
    struct memmap_region region;

    if (argc != 1)
        return SHELL_USAGE;
    source.rewind(source.context);
    while (!thread_interrupted() && source.next(source.context, &region))
        kprintf("0x%016llx - 0x%016llx  %10llu KiB  %s\n", region.start, region.end - 1,
                (region.end - region.start) / KIB, memmap_type_text(region.type));
    return SHELL_OK;
}

/* Windows of this size need no page table of their own (boot_info_after_paging). */
#define CRC_STEP (64u * KIB)

/* The CRC-32 of physical memory, wherever it lies. False when it cannot be mapped. */
static bool crc_of_range(paddr_t start, paddr_t end, uint32_t *crc)
{
    *crc = 0;
    for (paddr_t at = start; at < end && !thread_interrupted();) {
        uint32_t length = end - at < CRC_STEP ? end - at : CRC_STEP;
        const void *window = map_window(at, length, WINDOW_MEMORY);
        if (window == NULL)
            return false;
        *crc = crc32(*crc, window, length);
        unmap_window(window);
        at += length;
    }
    return true;
}

SHELL_COMMAND(modules, "modules", "lists the boot loader's modules: start, end, CRC-32, words",
              "modules")
{
    struct multiboot2_walk walk = { 0, 0 };
    struct multiboot2_module module;
    uint32_t crc;

    if (argc != 1)
        return SHELL_USAGE;
    while (boot_info_next_module(&walk, &module)) {
        if (!crc_of_range(module.start, module.end, &crc))
            return shell_error("no memory to map the module at 0x%08x", module.start);
        if (thread_interrupted())
            break;
        kprintf("0x%08x 0x%08x %08x %s\n", module.start, module.end, crc, module.command_line);
    }
    return SHELL_OK;
}

static const char *kind_text(enum heap_block_kind kind)
{
    switch (kind) {
    case HEAP_USED:
        return "used";
    case HEAP_FREE:
        return "free";
    case HEAP_TOP:
        return "top";
    }
    return "?";
}

/* What the heap's list has of each kind. */
struct listed {
    size_t count[HEAP_TOP + 1], bytes[HEAP_TOP + 1];
};

static bool list_blocks(struct listed *listed)
{
    struct heap_block block = { 0, 0, HEAP_FREE };

    while (block.kind != HEAP_TOP && heap_next_block(block.payload + block.size, &block)) {
        if (thread_interrupted())
            return false;
        kprintf("0x%08x %zu %s\n", (uint32_t)block.payload, block.size, kind_text(block.kind));
        listed->count[block.kind]++;
        listed->bytes[block.kind] += block.size;
    }
    return true;
}

/* Which of the used blocks are chunks, and what is in them. `heap` is of the same moment. */
static void print_chunks(const struct listed *listed, const struct heap_stats *heap)
{
    size_t chunks = 0;

    for (uint32_t i = 0; i < SMALL_CLASSES; i++)
        chunks += small.classes[i].chunks;
    if (chunks != 0)
        kprintf("chunks: %zu of the used, with %zu live objects and %zu bytes that are in none\n",
                chunks, heap->blocks - (listed->count[HEAP_USED] - chunks),
                listed->bytes[HEAP_USED] - heap->used);
}

static const char *const fault_texts[] = {
    [HEAP_BAD_TOP] = "the wilderness begins outside the mapped pages",
    [HEAP_BAD_SIZE] = "the head of a block makes no sense",
    [HEAP_BAD_END] = "a free block's last word is not its size",
    [HEAP_BAD_FLAG] = "a block is wrong about whether the one in front is free",
    [HEAP_UNMERGED] = "two free blocks touch",
    [HEAP_FREE_BELOW_TOP] = "a free block touches the wilderness",
    [HEAP_BAD_LIST] = "a list is not exactly the free blocks of its segment",
    [HEAP_BAD_TREE] = "the tree does not hold the largest of each list",
    [HEAP_BAD_CHUNK] = "a chunk's idle objects, counts or list are wrong",
    [HEAP_BAD_TABLE] = "the table of chunks is wrong about one",
    [HEAP_USED_COUNT] = "bytes in live blocks differ from the figure",
    [HEAP_BLOCK_COUNT] = "live blocks differ from what was allocated and not freed",
};

/* Looks at everything there is to be looked at. */
static enum shell_result check_heap(void)
{
    struct check_heap_figures figures;
    enum heap_fault fault = heap_validate();
    const char *damage = check_heap_validate(&figures);

    if (fault != HEAP_SOUND)
        return shell_error("the heap is not sound: %s", fault_texts[fault]);
    if (damage != NULL)
        return shell_error("%s 0x%08x", damage, (uint32_t)figures.damaged);
    kprintf("the heap is sound: %zu live blocks", heap_get_stats().blocks);
    if (BLOCKS_HAVE_RED_ZONES)
        kprintf(", %zu of them in quarantine with %zu bytes; all red zones are whole",
                figures.quarantined, figures.bytes);
    kprintf("\n");
    return SHELL_OK;
}

static const char *heap_words(uint32_t argument, uint32_t index)
{
    return argument == 1 && index == 0 ? "check" : NULL;
}

SHELL_COMMAND_COMPLETED(
    heap, "heap [check]",
    "lists the heap's blocks (address, size with head, kind), or looks for damage", "heap",
    heap_words)
{
    struct listed listed = { { 0 }, { 0 } };

    if (argc == 2 && strcmp(argv[1], "check") == 0)
        return check_heap();
    if (argc != 1)
        return SHELL_USAGE;
    struct heap_stats before = heap_get_stats();
    if (!list_blocks(&listed))
        return SHELL_OK;
    struct heap_stats after = heap_get_stats();

    kprintf("total: %zu used with %zu bytes, %zu free with %zu bytes, top %zu bytes\n",
            listed.count[HEAP_USED], listed.bytes[HEAP_USED], listed.count[HEAP_FREE],
            listed.bytes[HEAP_FREE], listed.bytes[HEAP_TOP]);
    if (before.allocs != after.allocs || before.frees != after.frees)
        kprintf("the heap has changed while it was listed\n");
    else if (listed.count[HEAP_TOP] == 0)
        return shell_error("the head behind the last block listed is smashed");
    else
        print_chunks(&listed, &after);
    return SHELL_OK;
}

SHELL_COMMAND_BACKGROUND(heap_test, "heap_test [COUNT]",
                         "tests the heap, without memory and by threads, with COUNT operations",
                         "heap_test")
{
    uint32_t operations = 0;

    if (argc > 2 || (argc == 2 && !parse_decimal(argv[1], &operations)))
        return SHELL_USAGE;
    if (argc == 2 && (operations < 1 || operations > HEAP_TEST_MAX))
        return shell_error("COUNT must be from 1 to %u", HEAP_TEST_MAX);
    const char *failure = heap_test_run(operations);
    if (failure == NULL)
        kprintf("heap_test: " STYLE_GOOD "PASS" STYLE_PLAIN "\n");
    else
        kprintf("heap_test: " STYLE_BAD "FAIL" STYLE_PLAIN " %s\n", failure);
    return SHELL_OK;
}
