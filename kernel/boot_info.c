/*
 * The Multiboot2 block over its whole life: read by its physical address before paging, by a
 * read-only window after it, wherever it lies.
 */
#include <boot_info.h>
#include <mem/paging.h>
#include <mem/window.h>
#include <panic.h>

static struct multiboot2 block;
static paddr_t block_start;
static struct multiboot2_walk region_walk;
static const char *complaint;

const char *boot_info_init(uint32_t magic, paddr_t address)
{
    static const uint32_t empty[2] = { sizeof(empty), 0 };

    enum multiboot2_status status = multiboot2_open(&block, empty, sizeof(empty));
    ASSERT(status == MULTIBOOT2_ITEM);

    if (magic != MULTIBOOT2_MAGIC)
        return "not started by a Multiboot2 loader";
    if (address == 0 || address % 8 != 0)
        return "the Multiboot2 block is not at a multiple of 8";

    struct multiboot2 opened;
    status = multiboot2_open(&opened, (const void *)(uintptr_t)address, 0u - address);
    if (status != MULTIBOOT2_ITEM)
        return multiboot2_status_text(status);
    block = opened;
    block_start = address;
    return NULL;
}

void boot_info_after_paging(void)
{
    /* There was no block: what stands for it needs no window. */
    if (block_start == 0)
        return;

    const void *window = map_window(block_start, block.size, WINDOW_MEMORY);
    if (window == NULL)
        panic("too little memory: the Multiboot2 block cannot be mapped");
    block.info = window;
}

const struct multiboot2 *boot_info(void)
{
    return &block;
}

paddr_t boot_info_start(void)
{
    return block_start;
}

paddr_t boot_info_end(void)
{
    return block_start + block.size;
}

static bool note(enum multiboot2_status status)
{
    if (status != MULTIBOOT2_ITEM && status != MULTIBOOT2_END)
        complaint = multiboot2_status_text(status);
    return status == MULTIBOOT2_ITEM;
}

static void rewind_regions(void *context UNUSED)
{
    region_walk = (struct multiboot2_walk){ 0, 0 };
}

static bool next_region(void *context UNUSED, struct memmap_region *region)
{
    struct multiboot2_region raw;

    while (note(multiboot2_next_region(&block, &region_walk, &raw))) {
        if (memmap_region(raw.base, raw.length, raw.type, region))
            return true;
    }
    return false;
}

struct memmap_source boot_info_regions(void)
{
    return (struct memmap_source){ rewind_regions, next_region, NULL };
}

bool boot_info_next_module(struct multiboot2_walk *walk, struct multiboot2_module *module)
{
    return note(multiboot2_next_module(&block, walk, module));
}

const char *boot_info_complaint(void)
{
    return complaint;
}
