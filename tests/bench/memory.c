/*
 * The memory manager's pure cores, run for an instruction counter.
 *
 *   memory OPERATION SIZE [--null]
 *
 * prepares a state of that size, performs the operation on it and prints "ops N". What is to be
 * counted happens inside measured(), the preparation outside. With --null the same loop calls
 * functions that do nothing: subtracted from the first count, it leaves the cores alone.
 *
 * The sources are the kernel's own. The system around them is the thinnest that can hold them:
 * system.c for the heap, here an array as physical memory; locks and the TLB do nothing. Nothing
 * depends on time or place, so a count comes out the same again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <error.h>
#include <heap.h>
#include <mem/frames.h>
#include <mem/memmap.h>
#include <mem/mmu.h>
#include <mem/paging.h>
#include <mem/pmm.h>
#include <multiboot2.h>
#include <panic.h>
#include "frames_model.h"
#include "mem/layout.h"
#include "system.h"

#define OPERATIONS 2000u

/* 0 <= result < limit, the same sequence in every run; a step costs the same for any limit. */
static uint32_t random_below(uint32_t limit)
{
    static uint32_t state = 1;

    state = state * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)state * limit >> 32);
}

/* ---- The system around paging: a host address, 32 bits as well, serves as a physical one ---- */

#define IDENTITY_END (64 * MIB) /* takes more tables than the bootstrap pool has */
#define RAM_FRAMES   16u

static uint8_t ram[RAM_FRAMES][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static uint32_t ram_used; /* frames from the array's start: the last one given comes back first */

void *phys_to_virt(paddr_t phys)
{
    return (void *)phys;
}

paddr_t virt_to_phys(const void *virt)
{
    return (paddr_t)virt;
}

void mmu_invalidate_page(vaddr_t virt UNUSED)
{
}

void mmu_invalidate_all(void)
{
}

void mmu_enable(paddr_t directory UNUSED)
{
}

uint32_t mmu_lock(void)
{
    return 0;
}

void mmu_unlock(uint32_t state UNUSED)
{
}

paddr_t pmm_alloc_frame_for(enum frame_owner owner UNUSED)
{
    return ram_used < RAM_FRAMES ? virt_to_phys(ram[ram_used++]) : 0;
}

paddr_t pmm_alloc_frame_high_for(enum frame_owner owner)
{
    return pmm_alloc_frame_for(owner);
}

void pmm_free_frame_of(enum frame_owner owner UNUSED, paddr_t phys)
{
    ASSERT(ram_used > 0 && phys == virt_to_phys(ram[ram_used - 1]));
    ram_used--;
}

bool pmm_is_allocated(paddr_t phys)
{
    return phys >= virt_to_phys(ram) && phys < virt_to_phys(ram) + ram_used * PAGE_SIZE;
}

/* ---- What measured() calls: the cores, or functions that succeed and do nothing ---- */

static void *no_kmalloc(size_t size UNUSED)
{
    return &ram;
}

static void no_kfree(void *ptr UNUSED)
{
}

static void *no_krealloc(void *ptr, size_t size UNUSED)
{
    return ptr;
}

static uint32_t no_frames_alloc(struct frames *f UNUSED, enum frames_zone zone UNUSED)
{
    return 0;
}

static bool no_frames_free(struct frames *f UNUSED, uint32_t frame UNUSED)
{
    return true;
}

static uint32_t no_frames_alloc_run(struct frames *f UNUSED, uint32_t count UNUSED,
                                    uint32_t align UNUSED, uint32_t limit UNUSED)
{
    return 0;
}

static uint32_t no_model_alloc(struct frames_model *m UNUSED, enum frames_zone zone UNUSED)
{
    return 0;
}

static bool no_model_free_run(struct frames_model *m UNUSED, uint32_t first UNUSED,
                              uint32_t count UNUSED)
{
    return true;
}

static int no_map_range(vaddr_t virt UNUSED, paddr_t phys UNUSED, uint32_t pages UNUSED,
                        uint32_t flags UNUSED)
{
    return OK;
}

static void no_unmap_range(vaddr_t virt UNUSED, uint32_t pages UNUSED)
{
}

static int no_map_page(vaddr_t virt UNUSED, paddr_t phys UNUSED, uint32_t flags UNUSED)
{
    return OK;
}

static int no_unmap_page(vaddr_t virt UNUSED)
{
    return OK;
}

static struct translation no_translate(vaddr_t virt UNUSED)
{
    return (struct translation){ 0 };
}

static enum multiboot2_status no_next_region(const struct multiboot2 *mb UNUSED,
                                             struct multiboot2_walk *walk UNUSED,
                                             struct multiboot2_region *region UNUSED)
{
    return MULTIBOOT2_ITEM;
}

static bool no_region(uint64_t base UNUSED, uint64_t length UNUSED, uint32_t type UNUSED,
                      struct memmap_region *region UNUSED)
{
    return true;
}

static uint64_t no_enter(const struct memmap_source *source UNUSED, struct frames *f UNUSED)
{
    return 0;
}

struct calls {
    void *(*kmalloc)(size_t);
    void (*kfree)(void *);
    void *(*krealloc)(void *, size_t);
    uint32_t (*frames_alloc)(struct frames *, enum frames_zone);
    bool (*frames_free)(struct frames *, uint32_t);
    uint32_t (*frames_alloc_run)(struct frames *, uint32_t, uint32_t, uint32_t);
    uint32_t (*model_alloc)(struct frames_model *, enum frames_zone);
    bool (*model_free_run)(struct frames_model *, uint32_t, uint32_t);
    int (*map_range)(vaddr_t, paddr_t, uint32_t, uint32_t);
    void (*unmap_range)(vaddr_t, uint32_t);
    int (*map_page)(vaddr_t, paddr_t, uint32_t);
    int (*unmap_page)(vaddr_t);
    struct translation (*translate)(vaddr_t);
    enum multiboot2_status (*next_region)(const struct multiboot2 *, struct multiboot2_walk *,
                                          struct multiboot2_region *);
    bool (*region)(uint64_t, uint64_t, uint32_t, struct memmap_region *);
    uint64_t (*enter)(const struct memmap_source *, struct frames *);
};

static const struct calls cores = {
    .kmalloc = kmalloc,
    .kfree = kfree,
    .krealloc = krealloc,
    .frames_alloc = frames_alloc,
    .frames_free = frames_free,
    .frames_alloc_run = frames_alloc_run,
    .model_alloc = model_alloc,
    .model_free_run = model_free_run,
    .map_range = map_range,
    .unmap_range = unmap_range,
    .map_page = map_page,
    .unmap_page = unmap_page,
    .translate = translate,
    .next_region = multiboot2_next_region,
    .region = memmap_region,
    .enter = memmap_enter,
};

static const struct calls nothing = {
    .kmalloc = no_kmalloc,
    .kfree = no_kfree,
    .krealloc = no_krealloc,
    .frames_alloc = no_frames_alloc,
    .frames_free = no_frames_free,
    .frames_alloc_run = no_frames_alloc_run,
    .model_alloc = no_model_alloc,
    .model_free_run = no_model_free_run,
    .map_range = no_map_range,
    .unmap_range = no_unmap_range,
    .map_page = no_map_page,
    .unmap_page = no_unmap_page,
    .translate = no_translate,
    .next_region = no_next_region,
    .region = no_region,
    .enter = no_enter,
};

static struct calls call;

/* ---- The heap: SIZE live blocks with a hole before each ---- */

#define LIVE_MAX 4096u

/* Sizes for the first-fit heap itself, above those of a layer for small objects. */
#define BLOCK    320u
#define LARGE    1024u /* fits into no hole of BLOCK bytes */

static void *live[LIVE_MAX];

static size_t random_size(void)
{
    return 16 + random_below(LARGE - 16 + 1);
}

static size_t block_size(void)
{
    return BLOCK;
}

/*
 *     | hole | live[0] | hole | live[1] | ... ~
 *
 * The holes are made from the highest down, which is the order that costs a sorted list least.
 */
static void make_holes(unsigned count, size_t (*size)(void))
{
    static void *holes[LIVE_MAX];

    system_heap_init();
    for (unsigned i = 0; i < count; i++) {
        holes[i] = kmalloc(size());
        live[i] = kmalloc(size());
        ASSERT(holes[i] != NULL && live[i] != NULL);
    }
    for (unsigned i = count; i-- > 0;)
        kfree(holes[i]);
}

static void prepare_equal_blocks(unsigned count)
{
    make_holes(count, block_size);
}

/* Some block is freed and one of another size takes its place, so many times. */
static void replace_blocks(unsigned count, unsigned times)
{
    unsigned failed = 0;

    for (unsigned i = 0; i < times; i++) {
        unsigned slot = random_below(count);
        call.kfree(live[slot]);
        live[slot] = call.kmalloc(random_size());
        failed += live[slot] == NULL;
    }
    ASSERT(failed == 0);
}

/* Most blocks are replaced before anything is counted: holes are then where first fit left them. */
static void prepare_random_blocks(unsigned count)
{
    make_holes(count, random_size);
    replace_blocks(count, 2 * count);
}

static unsigned run_heap_pair(unsigned count)
{
    replace_blocks(count, OPERATIONS);
    return OPERATIONS;
}

/* A block for which all holes are too small comes and goes. */
static unsigned run_heap_search(unsigned count UNUSED)
{
    unsigned failed = 0;

    for (unsigned i = 0; i < OPERATIONS; i++) {
        void *block = call.kmalloc(LARGE);
        failed += block == NULL;
        call.kfree(block);
    }
    ASSERT(failed == 0);
    return OPERATIONS;
}

/* Some block grows into the hole behind it and gives it back. The last has the wilderness there. */
static unsigned run_heap_realloc(unsigned count)
{
    unsigned moved = 0;

    for (unsigned i = 0; i < OPERATIONS / 2; i++) {
        void *block = live[random_below(count)];
        moved += call.krealloc(block, BLOCK + BLOCK / 2) != block;
        moved += call.krealloc(block, BLOCK) != block;
    }
    ASSERT(moved == 0);
    return OPERATIONS / 2 * 2;
}

/* ---- Frames: SIZE percent of the low zone allocated ---- */

#define LOW_FRAMES FRAMES_HIGH_FIRST

static struct frames frames;
static uint32_t taken[LOW_FRAMES];

/* At least one frame is allocated, so that there is one to give back. */
static unsigned taken_frames(unsigned percent)
{
    unsigned count = LOW_FRAMES / 100 * percent;
    return count == 0 ? 1 : count;
}

static void prepare_frames(unsigned percent)
{
    frames_init(&frames);
    frames_add(&frames, 0, FRAMES_MAX);
    for (unsigned i = 0; i < taken_frames(percent); i++)
        taken[i] = frames_alloc(&frames, FRAMES_LOW);
}

/* Some frame is given back, and the lowest free one taken. */
static unsigned run_frames(unsigned percent)
{
    unsigned count = taken_frames(percent);
    unsigned failed = 0;

    for (unsigned i = 0; i < OPERATIONS; i++) {
        unsigned slot = random_below(count);
        failed += !call.frames_free(&frames, taken[slot]);
        taken[slot] = call.frames_alloc(&frames, FRAMES_LOW);
        failed += taken[slot] == FRAMES_NONE;
    }
    ASSERT(failed == 0);
    return OPERATIONS;
}

/* ---- Frames, alone, and the same in the flat bitmap that is the host tests' model ---- */

#define SOME_FRAMES 500u

static struct frames_model flat;

/* SIZE percent are taken from the bottom; 100 means all but the zone's last frame. */
static uint32_t first_not_taken(unsigned percent)
{
    return percent == 100 ? LOW_FRAMES - 1 : LOW_FRAMES / 100 * percent;
}

static unsigned frame_operations(unsigned percent)
{
    return percent == 100 ? 1 : SOME_FRAMES;
}

static void prepare_taken(uint32_t count)
{
    frames_init(&frames);
    frames_add(&frames, 0, FRAMES_MAX);
    model_init(&flat);
    model_add(&flat, 0, FRAMES_MAX);
    ASSERT(count == 0 || (frames_alloc_run(&frames, count, 1, FRAMES_MAX) == 0 &&
                          model_alloc_run(&flat, count, 1, FRAMES_MAX) == 0));
}

/* Chooses frames anywhere in what is taken, each once; where nothing is, the lowest. */
static void choose_taken(unsigned percent)
{
    uint32_t count = first_not_taken(percent);

    for (unsigned i = 0; i < frame_operations(percent); i++)
        taken[i] = count < SOME_FRAMES ? i : (i * 7919u + 13u) * 31u % count;
    if (percent == 100)
        taken[0] = LOW_FRAMES - 1;
}

/* Free are: some frames anywhere below, and all above. */
static void prepare_frame_alloc(unsigned percent)
{
    prepare_taken(first_not_taken(percent));
    choose_taken(percent);
    for (unsigned i = 0; percent > 0 && percent < 100 && i < SOME_FRAMES; i++)
        ASSERT(frames_free(&frames, taken[i]) && model_free_run(&flat, taken[i], 1));
}

static void prepare_frame_free(unsigned percent)
{
    uint32_t count = first_not_taken(percent);

    prepare_taken(percent == 100 ? LOW_FRAMES : count < SOME_FRAMES ? SOME_FRAMES : count);
    choose_taken(percent);
}

static unsigned run_frame_alloc(unsigned percent)
{
    unsigned failed = 0;

    for (unsigned i = 0; i < frame_operations(percent); i++)
        failed += call.frames_alloc(&frames, FRAMES_LOW) == FRAMES_NONE;
    ASSERT(failed == 0);
    return frame_operations(percent);
}

static unsigned run_frame_free(unsigned percent)
{
    unsigned failed = 0;

    for (unsigned i = 0; i < frame_operations(percent); i++)
        failed += !call.frames_free(&frames, taken[i]);
    ASSERT(failed == 0);
    return frame_operations(percent);
}

static unsigned run_flat_alloc(unsigned percent)
{
    unsigned failed = 0;

    for (unsigned i = 0; i < frame_operations(percent); i++)
        failed += call.model_alloc(&flat, FRAMES_LOW) == FRAMES_NONE;
    ASSERT(failed == 0);
    return frame_operations(percent);
}

static unsigned run_flat_free(unsigned percent)
{
    unsigned failed = 0;

    for (unsigned i = 0; i < frame_operations(percent); i++)
        failed += !call.model_free_run(&flat, taken[i], 1);
    ASSERT(failed == 0);
    return frame_operations(percent);
}

/* SIZE 0: all is free; else so many are by turns taken and free, up to the last 64 KiB. */
static void prepare_frame_run(unsigned comb)
{
    prepare_taken(comb == 0 ? 0 : LOW_FRAMES - 16);
    for (uint32_t first = 0; comb != 0 && first + 2 * comb <= LOW_FRAMES - 16; first += 2 * comb)
        ASSERT(frames_free_run(&frames, first, comb));
}

static unsigned run_frame_run(unsigned comb UNUSED)
{
    uint32_t run = call.frames_alloc_run(&frames, 16, 16, LOW_FRAMES);

    ASSERT(run != FRAMES_NONE);
    return 1;
}

/* ---- Paging ---- */

#define TEST_PAGE (SHADOW_END + PAGE_SIZE) /* a page far from the identity mapping */

/* SIZE 1: a page beside it keeps the table; 0: the table is made and given back each time. */
static void prepare_map(unsigned neighbours)
{
    paging_init(IDENTITY_END);
    for (unsigned i = 0; i < neighbours; i++) {
        int error = map_page(TEST_PAGE + (i + 1) * PAGE_SIZE, PAGE_SIZE, PAGE_WRITE);
        ASSERT(error == OK);
    }
}

static unsigned run_map(unsigned neighbours UNUSED)
{
    unsigned failed = 0;

    for (unsigned i = 0; i < OPERATIONS; i++) {
        failed += call.map_page(TEST_PAGE, PAGE_SIZE, PAGE_WRITE) != OK;
        failed += call.unmap_page(TEST_PAGE) != OK;
    }
    ASSERT(failed == 0);
    return OPERATIONS;
}

/* SIZE pages in a row, from the start of a table; one operation is a page. */
static void prepare_range(unsigned pages UNUSED)
{
    paging_init(IDENTITY_END);
}

static unsigned run_range(unsigned pages)
{
    unsigned times = OPERATIONS / pages + 1;
    unsigned failed = 0;

    for (unsigned i = 0; i < times; i++) {
        failed += call.map_range(SHADOW_END, PAGE_SIZE, pages, PAGE_WRITE) != OK;
        call.unmap_range(SHADOW_END, pages);
    }
    ASSERT(failed == 0);
    return times * pages;
}

/* SIZE 1: addresses of the identity mapping; 0: addresses where there is not even a table. */
static vaddr_t translated(unsigned mapped, unsigned i)
{
    return (mapped ? PAGE_SIZE : TEST_PAGE) + i * PAGE_SIZE;
}

static void prepare_translate(unsigned mapped)
{
    paging_init(IDENTITY_END);
    ASSERT(translate(translated(mapped, 0)).mapped == (mapped != 0));
    ASSERT(translate(translated(mapped, OPERATIONS)).mapped == (mapped != 0));
}

static unsigned run_translate(unsigned mapped)
{
    for (unsigned i = 0; i < OPERATIONS; i++)
        call.translate(translated(mapped, i));
    return OPERATIONS;
}

/* ---- The memory map: SIZE entries, one operation each ---- */

#define ENTRIES_MAX   512u
#define REGION_FRAMES 16u

/* As the Multiboot2 specification lays it out: a block of this one tag. */
static struct {
    uint32_t total_size, reserved;
    struct {
        uint32_t type, size, entry_size, entry_version;
    } tag;
    struct {
        uint64_t base, length;
        uint32_t type, reserved;
    } entries[ENTRIES_MAX];
} info;

static struct multiboot2 boot_block;
static struct multiboot2_walk walk;

/* Regions without gaps, available and reserved by turns. A block may end without an end tag. */
static void prepare_memmap(unsigned count)
{
    const uint32_t region = REGION_FRAMES * PAGE_SIZE;

    info.tag.type = 6;
    info.tag.entry_size = sizeof(info.entries[0]);
    info.tag.size = (uint32_t)(sizeof(info.tag) + count * sizeof(info.entries[0]));
    info.total_size = (uint32_t)offsetof(typeof(info), tag) + info.tag.size;
    for (uint32_t i = 0; i < count; i++) {
        info.entries[i].base = i * region;
        info.entries[i].length = region;
        info.entries[i].type = i % 2 == 0 ? MEMMAP_AVAILABLE : MEMMAP_RESERVED;
    }

    enum multiboot2_status status = multiboot2_open(&boot_block, &info, sizeof(info));
    ASSERT(status == MULTIBOOT2_ITEM);
    frames_init(&frames);
}

/* Reads every entry and makes a region of it. */
static unsigned run_memmap_read(unsigned count)
{
    unsigned failed = 0;

    for (unsigned i = 0; i < count; i++) {
        struct multiboot2_region entry = { 0 };
        struct memmap_region region;
        failed += call.next_region(&boot_block, &walk, &entry) != MULTIBOOT2_ITEM;
        failed += !call.region(entry.base, entry.length, entry.type, &region);
    }
    ASSERT(failed == 0);
    return count;
}

static void rewind_regions(void *context UNUSED)
{
    walk = (struct multiboot2_walk){ 0 };
}

static bool next_region(void *context, struct memmap_region *region)
{
    struct multiboot2_region entry;

    return multiboot2_next_region(context, &walk, &entry) == MULTIBOOT2_ITEM &&
           memmap_region(entry.base, entry.length, entry.type, region);
}

/* What the boot does: two walks over the entries, and the frames entered. */
static unsigned run_memmap_enter(unsigned count)
{
    const struct memmap_source source = { rewind_regions, next_region, &boot_block };

    call.enter(&source, &frames);
    return count;
}

/* ---- Choosing and running one ---- */

struct operation {
    const char *name;
    unsigned min, max; /* of SIZE */
    void (*prepare)(unsigned size);
    unsigned (*run)(unsigned size); /* returns how many operations that were */
};

static const struct operation operations[] = {
    { "heap-pair", 1, LIVE_MAX, prepare_random_blocks, run_heap_pair },
    { "heap-search", 1, LIVE_MAX, prepare_equal_blocks, run_heap_search },
    { "heap-realloc", 1, LIVE_MAX, prepare_equal_blocks, run_heap_realloc },
    { "frames", 0, 100, prepare_frames, run_frames },
    { "frame-alloc", 0, 100, prepare_frame_alloc, run_frame_alloc },
    { "flat-alloc", 0, 100, prepare_frame_alloc, run_flat_alloc },
    { "frame-free", 0, 100, prepare_frame_free, run_frame_free },
    { "flat-free", 0, 100, prepare_frame_free, run_flat_free },
    { "frame-run", 0, 15, prepare_frame_run, run_frame_run },
    { "map", 0, 1, prepare_map, run_map },
    { "map-range", 1, 1024, prepare_range, run_range },
    { "translate", 0, 1, prepare_translate, run_translate },
    { "memmap-read", 1, ENTRIES_MAX, prepare_memmap, run_memmap_read },
    { "memmap-enter", 1, ENTRIES_MAX, prepare_memmap, run_memmap_enter },
};

unsigned measured(const struct operation *operation, unsigned size);

/* The counter is switched on where this begins and off where it ends: it stays one function. */
__attribute__((noipa)) unsigned measured(const struct operation *operation, unsigned size)
{
    return operation->run(size);
}

static const struct operation *find_operation(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
        if (strcmp(operations[i].name, name) == 0)
            return &operations[i];
    }
    return NULL;
}

_Noreturn static void usage(void)
{
    fputs("usage: memory OPERATION SIZE [--null]\n", stderr);
    for (size_t i = 0; i < ARRAY_SIZE(operations); i++)
        fprintf(stderr, "  %s, %u to %u\n", operations[i].name, operations[i].min,
                operations[i].max);
    exit(2);
}

int main(int argc, char **argv)
{
    bool null = argc == 4 && strcmp(argv[3], "--null") == 0;

    if (argc != 3 && !null)
        usage();

    const struct operation *operation = find_operation(argv[1]);
    char *end;
    unsigned long size = strtoul(argv[2], &end, 10);
    if (operation == NULL || *end != '\0' || size < operation->min || size > operation->max)
        usage();

    call = null ? nothing : cores;
    if (!null)
        operation->prepare((unsigned)size);
    printf("ops %u\n", measured(operation, (unsigned)size));
    return EXIT_SUCCESS;
}
