/*
 * Tests of the heap's contracts on the running kernel's own heap. Where it places blocks is tested
 * in test_heap_placement.c.
 */
#include <selftest.h>
#include "mem/layout.h"
#include "selftest/support.h"
#include <check.h>
#include <error.h>
#include <heap.h>
#include <lib/bits.h>
#include <lib/string.h>
#include <mem/paging.h>
#include <mem/pmm.h>

#define PLAIN 600u /* larger than any small object */

/* ---- Sizes and alignments ---- */

SELFTEST(heap_alignment, "heap: blocks are multiples of 8 and hold what was asked for")
{
    static const size_t sizes[] = { 1, 4, 7, 8, 12, 13, 100, 255, 256, 257, 1000, 4096, 5001 };

    for (uint32_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        void *block = kmalloc(sizes[i]);
        EXPECT(block != NULL);
        size_t usable = kmalloc_usable_size(block);
        bool live = heap_is_live(block);
        memset(block, 0xa5, usable);
        bool sound = heap_validate() == HEAP_SOUND;
        kfree(block);
        EXPECT((vaddr_t)block % 8 == 0);
        EXPECT((vaddr_t)block >= HEAP_BASE && (vaddr_t)block < HEAP_BASE + HEAP_MAX);
        EXPECT(usable >= sizes[i]);
        EXPECT(live && sound);
        EXPECT(!heap_is_live(block));
    }
    return NULL;
}

/* Frees what should not have been given, so that a failure leaves nothing behind. */
static bool refused(void *block)
{
    kfree(block);
    return block == NULL;
}

SELFTEST(heap_refusals, "heap: impossible sizes and alignments give NULL and change nothing")
{
    struct figures before = figures_take();

    EXPECT(refused(kmalloc(0)));
    EXPECT(refused(kmalloc(HEAP_MAX)));
    EXPECT(refused(kmalloc((size_t)-1)));
    EXPECT(refused(kmalloc((size_t)-4)));
    EXPECT(refused(kmalloc((size_t)-8)));
    EXPECT(refused(kmalloc(0x80000000)));
    EXPECT(refused(kcalloc(0, 8)));
    EXPECT(refused(kcalloc(8, 0)));
    EXPECT(refused(kcalloc(0x10000, 0x10000)));
    EXPECT(refused(kcalloc(0x40000001, 8)));
    EXPECT(refused(kmalloc_aligned(8, 0)));
    EXPECT(refused(kmalloc_aligned(8, 24)));
    EXPECT(refused(kmalloc_aligned(8, 2 * HEAP_MAX_ALIGN)));
    EXPECT(refused(kmalloc_aligned(0, 8)));
    EXPECT(refused(kmalloc_aligned((size_t)-8, 4096)));
    EXPECT(heap_validate() == HEAP_SOUND);
    kfree(NULL);
    return figures_compare(&before);
}

static bool all_bytes(const uint8_t *bytes, uint8_t value, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != value)
            return false;
    }
    return true;
}

SELFTEST(heap_kcalloc, "heap: kcalloc clears what was used before")
{
    static const size_t sizes[] = { 24, 200, PLAIN, 3 * PAGE_SIZE };

    for (uint32_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        uint8_t *dirty = kmalloc(sizes[i] * 2);
        EXPECT(dirty != NULL);
        memset(dirty, 0xff, sizes[i] * 2);
        kfree(dirty);
        uint8_t *clean = kcalloc(2, sizes[i]);
        bool zero = clean != NULL && all_bytes(clean, 0, 2 * sizes[i]);
        kfree(clean);
        EXPECT(zero);
    }
    return NULL;
}

SELFTEST(heap_aligned, "heap: kmalloc_aligned serves every power of two up to a page")
{
    static const size_t sizes[] = { 1, 40, 256, 300, PLAIN, PAGE_SIZE, 5000 };

    for (uint32_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        for (size_t align = 1; align <= HEAP_MAX_ALIGN; align *= 2) {
            void *block = kmalloc_aligned(sizes[i], align);
            EXPECT(block != NULL);
            size_t usable = kmalloc_usable_size(block);
            memset(block, 0x5a, usable);
            bool sound = heap_validate() == HEAP_SOUND;
            kfree(block);
            EXPECT(sound);
            EXPECT((vaddr_t)block % align == 0 && (vaddr_t)block % 8 == 0);
            EXPECT(usable >= sizes[i]);
        }
    }
    return NULL;
}

/* ---- krealloc ---- */

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 7 + 3);
}

static bool has_pattern(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != pattern(i))
            return false;
    }
    return true;
}

/* Up and down through sizes; a block that is as large as before is written again to its end. */
SELFTEST(heap_krealloc, "heap: krealloc keeps the contents")
{
    static const size_t sizes[] = { 10, 30, 200, 300, 5000, 20000, 4000, 100, 24, 8 };
    uint8_t *block = NULL;
    size_t old = 0;

    for (uint32_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        uint8_t *moved = krealloc(block, sizes[i]);
        bool kept = moved != NULL && has_pattern(moved, old < sizes[i] ? old : sizes[i]);
        if (moved != NULL)
            block = moved;
        if (!kept || heap_validate() != HEAP_SOUND) {
            kfree(block);
            return moved == NULL ? "NULL" : "contents lost or the heap not sound";
        }
        old = sizes[i];
        for (size_t j = 0; j < old; j++)
            block[j] = pattern(j);
    }
    EXPECT(krealloc(block, 0) == NULL);
    EXPECT(!heap_is_live(block));
    return NULL;
}

/* One block behind the other, at the end of all blocks, as the wilderness gives them. */
static const char *grow_in_place(uint8_t **block, uint8_t **behind)
{
    EXPECT(*behind > *block);
    size_t room = (size_t)(*behind - *block) + kmalloc_usable_size(*behind);

    for (size_t i = 0; i < PLAIN; i++)
        (*block)[i] = pattern(i);
    kfree(*behind);
    *behind = NULL;

    uint8_t *grown = krealloc(*block, room);
    EXPECT(grown == *block);
    EXPECT(has_pattern(grown, PLAIN));
    EXPECT(krealloc(grown, 40 * PAGE_SIZE) == grown); /* into new pages at the top */
    EXPECT(has_pattern(grown, PLAIN));
    EXPECT(kmalloc_usable_size(grown) >= 40 * PAGE_SIZE);
    EXPECT(krealloc(grown, PLAIN) == grown);
    EXPECT(has_pattern(grown, PLAIN));
    return NULL;
}

SELFTEST(heap_krealloc_in_place, "heap: krealloc grows into what is free behind a block")
{
    if (BLOCKS_HAVE_RED_ZONES)
        return NULL;

    size_t nowhere_else = heap_get_stats().largest_free + PAGE_SIZE;
    uint8_t *block = kmalloc(nowhere_else), *behind = kmalloc(nowhere_else);

    const char *wrong = "kmalloc returned NULL";
    if (block != NULL && behind != NULL)
        wrong = grow_in_place(&block, &behind);
    kfree(behind);
    kfree(block);
    return wrong;
}

SELFTEST(heap_krealloc_refusal, "heap: a krealloc that cannot be had leaves the block")
{
    uint8_t *block = kmalloc(PLAIN);

    EXPECT(block != NULL);
    for (size_t i = 0; i < PLAIN; i++)
        block[i] = pattern(i);
    uint8_t *huge = krealloc(block, HEAP_MAX);
    uint8_t *overflow = krealloc(block, (size_t)-2);
    bool kept = has_pattern(block, PLAIN) && heap_is_live(block);
    kfree(block);
    EXPECT(huge == NULL && overflow == NULL);
    EXPECT(kept);
    return NULL;
}

/* ---- Merging ---- */

SELFTEST(heap_merge, "heap: freed neighbours become one block again")
{
    size_t request = PAGE_SIZE - 4;
    uint8_t *blocks[4];

    for (uint32_t i = 0; i < 4; i++)
        blocks[i] = kmalloc(i < 3 ? request : PLAIN);
    /* The outer two first, then the one between: it merges with both. */
    kfree(blocks[0]);
    kfree(blocks[2]);
    kfree(blocks[1]);
    uint8_t *merged = kmalloc(3 * PAGE_SIZE - 4);
    kfree(merged);
    kfree(blocks[3]);
    EXPECT(blocks[3] != NULL);
    /* In a heap with older gaps the four need not be neighbours. */
    if (blocks[1] == blocks[0] + PAGE_SIZE && blocks[2] == blocks[1] + PAGE_SIZE)
        EXPECT(merged != NULL && merged <= blocks[0]);
    return NULL;
}

/* ---- Pages and figures ---- */

SELFTEST(heap_pages, "heap: grows by mapped pages and gives them back")
{
    struct figures before = figures_take();
    struct heap_stats small = heap_get_stats();
    size_t size = small.largest_free + 64 * PAGE_SIZE;
    uint8_t *block = kmalloc(size);

    EXPECT(block != NULL);
    struct heap_stats large = heap_get_stats();
    bool mapped = translate((vaddr_t)block + size - 1).mapped;
    bool mapped_behind = translate(HEAP_BASE + large.mapped).mapped;
    block[0] = block[size - 1] = 1;
    kfree(block);
    check_heap_drain();
    struct heap_stats after = heap_get_stats();

    EXPECT(mapped && !mapped_behind);
    EXPECT(large.mapped >= small.mapped + 64 * PAGE_SIZE);
    EXPECT(large.used >= small.used + size && large.blocks == small.blocks + 1);
    EXPECT(after.mapped < large.mapped && after.total < large.total);
    EXPECT(after.mapped >= HEAP_FIRST_PAGES * PAGE_SIZE);
    return figures_compare(&before);
}

/* A block that ends where the heap's last page table ends; NULL where that cannot be had. */
static void *fill_page_table(void)
{
    struct heap_block block = { 0, 0, HEAP_FREE };
    vaddr_t end = round_up(HEAP_BASE + heap_get_stats().mapped, LARGE_PAGE_SIZE);

    while (block.kind != HEAP_TOP && heap_next_block(block.payload + block.size, &block))
        ;
    if (end - block.payload < heap_get_stats().largest_free + 8)
        end += LARGE_PAGE_SIZE;
    void *filler = kmalloc(end - block.payload - 8);
    if (filler == NULL || HEAP_BASE + heap_get_stats().mapped == end)
        return filler;
    kfree(filler);
    return NULL;
}

/*
 * More pages need their frames, one for their table, and some for the heap's index, which is mapped
 * first. Whichever of them is missing, the others go back.
 */
static const char *grow_without_table(struct hoard *hoard)
{
    size_t nowhere_else = heap_get_stats().largest_free + 8;
    uint32_t pages = (uint32_t)(round_up(nowhere_else, PAGE_SIZE) / PAGE_SIZE);
    uint32_t frames = 0;
    void *block = NULL;

    while (block == NULL) {
        EXPECT(frames <= pages + 8);
        EXPECT(hoard->count > 0);
        EXPECT(hoard_release_one(hoard) == NULL);
        frames++;
        EXPECT(pmm_get_stats().free == frames);
        block = kmalloc(nowhere_else);
        EXPECT(block != NULL || pmm_get_stats().free == frames);
        EXPECT(heap_validate() == HEAP_SOUND);
    }
    kfree(block);
    EXPECT(frames > pages);
    return NULL;
}

SELFTEST(heap_no_table, "heap: a page whose table cannot be had is given back")
{
    const uint32_t tables = MAX_BOOTSTRAP_TABLES + 1;
    vaddr_t space = unused_space(tables);
    struct hoard hoard = { 0, 0 };
    const char *wrong = NULL;

    if (pmm_phys_limit() > HEAP_BASE || BLOCKS_HAVE_RED_ZONES)
        return NULL; /* high frames cannot be hoarded here; a filler cannot be made to measure */
    trim_heap();
    void *filler = fill_page_table();
    hoard_low_frames(&hoard);
    for (uint32_t i = 0; i < tables; i++) { /* the tables of the pool, too, are gone then */
        if (map_page(space + i * LARGE_PAGE_SIZE, LOW_MEMORY_END, 0) != OK)
            break;
    }
    if (filler != NULL)
        wrong = grow_without_table(&hoard);
    unmap_everything(space, space + tables * LARGE_PAGE_SIZE);
    const char *lost = hoard_release(&hoard);
    kfree(filler);
    return wrong != NULL ? wrong : lost;
}

SELFTEST(heap_figures, "heap: figures agree with each other and with a recount")
{
    struct heap_stats heap = heap_get_stats();
    struct pmm_stats pmm = pmm_get_stats();
    struct heap_block block = { 0, 0, HEAP_FREE };
    size_t size[HEAP_TOP + 1] = { 0 };

    EXPECT(heap_validate() == HEAP_SOUND);
    do {
        EXPECT(heap_next_block(block.payload + block.size, &block));
        size[block.kind] += block.size;
    } while (block.kind != HEAP_TOP);
    EXPECT(size[HEAP_USED] >= heap.used);
    EXPECT(heap.mapped - size[HEAP_USED] - size[HEAP_FREE] - size[HEAP_TOP] <= 8);
    EXPECT(heap.total > heap.mapped && heap.mapped % PAGE_SIZE == 0);
    EXPECT(heap.total % PAGE_SIZE == 0);
    EXPECT(heap.used <= heap.mapped && heap.used <= heap.peak);
    EXPECT(heap.largest_free <= heap.mapped - heap.used);
    EXPECT(heap.largest_free >= size[HEAP_TOP]);
    EXPECT(heap.allocs - heap.frees == heap.blocks);
    EXPECT(pmm.total - pmm.free == pmm.reserved + pmm.allocated);
    EXPECT(pmm.allocated >= heap.total / PAGE_SIZE);
    return NULL;
}
