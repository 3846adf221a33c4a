/*
 * The kernel heap: every placement against the naive model, on pages that really are closed until
 * the heap has asked for them.
 *
 * In the pictures U is a used block, f a free one, | a border and ~ the wilderness.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include <heap.h>
#include <heap_system.h>
#include <panic.h>
#include "heap_model.h"
#include "mem/layout.h"
#include "support.h"

#define ARENA_SIZE  (16 * MIB)
#define ARENA_PAGES (ARENA_SIZE / PAGE_SIZE)
#define FIRST_BYTES (HEAP_FIRST_PAGES * PAGE_SIZE)
#define NEVER       0u

/* ---- The system around the heap ---- */

static uint8_t *arena; /* ARENA_SIZE bytes without access but for the open pages */

static struct {
    bool open[ARENA_PAGES];
    uint32_t open_pages;
    uint32_t requests; /* for a page, since the last reset() or fail_requests() */
    uint32_t fail_at;  /* the request that fails; NEVER: none */
    bool fail_from;    /* those behind it fail as well */
    bool initialising; /* heap_init() needs no locks: there is one thread */
    bool spinning, growing;
    void (*while_waiting)(void);   /* what another thread does before the grow mutex is free */
    void (*while_mapping)(void);   /* ... while a page is looked for */
    void (*while_unmapping)(void); /* ... while a page is given back */
} sys;

/* Lets the other thread act, once. */
static void run_hook(void (**hook)(void))
{
    void (*action)(void) = *hook;

    *hook = NULL;
    if (action != NULL)
        action();
}

static uint32_t page_number(vaddr_t page)
{
    uint32_t number = (uint32_t)(page - (vaddr_t)arena) / PAGE_SIZE;

    assert_int_equal(page % PAGE_SIZE, 0);
    assert_in_range(number, 0, ARENA_PAGES - 1);
    return number;
}

bool heap_system_map(vaddr_t page)
{
    uint32_t number = page_number(page);

    assert_false(sys.spinning);
    assert_true(sys.growing || sys.initialising);
    assert_false(sys.open[number]);
    run_hook(&sys.while_mapping);
    sys.requests++;
    if (sys.fail_at != NEVER &&
        (sys.requests == sys.fail_at || (sys.fail_from && sys.requests > sys.fail_at)))
        return false;
    assert_int_equal(mprotect((void *)page, PAGE_SIZE, PROT_READ | PROT_WRITE), 0);
    memset((void *)page, 0xa5, PAGE_SIZE);
    sys.open[number] = true;
    sys.open_pages++;
    return true;
}

void heap_system_unmap(vaddr_t page)
{
    uint32_t number = page_number(page);

    assert_false(sys.spinning);
    assert_true(sys.growing || sys.initialising);
    assert_true(sys.open[number]);
    assert_true(sys.initialising || number >= HEAP_FIRST_PAGES);
    run_hook(&sys.while_unmapping);
    assert_int_equal(mprotect((void *)page, PAGE_SIZE, PROT_NONE), 0);
    sys.open[number] = false;
    sys.open_pages--;
}

#define LOCK_STATE 0x202u

uint32_t heap_system_lock(void)
{
    assert_false(sys.spinning);
    sys.spinning = true;
    return LOCK_STATE;
}

void heap_system_unlock(uint32_t state)
{
    assert_true(sys.spinning);
    assert_int_equal(state, LOCK_STATE);
    sys.spinning = false;
}

void heap_system_grow_lock(void)
{
    assert_false(sys.spinning);
    assert_false(sys.growing);
    run_hook(&sys.while_waiting);
    sys.growing = true;
}

bool heap_system_try_grow_lock(void)
{
    bool taken = !sys.growing;

    assert_false(sys.spinning);
    sys.growing = true;
    return taken;
}

void heap_system_grow_unlock(void)
{
    assert_true(sys.growing);
    assert_false(sys.spinning);
    sys.growing = false;
}

/* From now on the Nth request for a page fails, and those behind it too if `from`. */
static void fail_requests(uint32_t nth, bool from)
{
    sys.requests = 0;
    sys.fail_at = nth;
    sys.fail_from = from;
}

/* An empty heap at the arena's start. */
static void reset(size_t size)
{
    assert_int_equal(mprotect(arena, ARENA_SIZE, PROT_NONE), 0);
    memset(&sys, 0, sizeof(sys));
    sys.initialising = true;
    heap_init((vaddr_t)arena, size);
    sys.initialising = false;
    assert_int_equal(sys.open_pages, HEAP_FIRST_PAGES);
    assert_int_equal(heap_validate(), HEAP_SOUND);
}

static int open_arena(void **state)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

    (void)state;
    arena = mmap((void *)HEAP_BASE, ARENA_SIZE, PROT_NONE, flags | MAP_FIXED_NOREPLACE, -1, 0);
    if (arena == MAP_FAILED)
        arena = mmap(NULL, ARENA_SIZE, PROT_NONE, flags, -1, 0);
    return arena == MAP_FAILED;
}

/* ---- Small helpers ---- */

static void *at(size_t offset)
{
    return arena + offset;
}

/* A block of `size` bytes with its head, which must come to lie `offset` bytes into the window. */
static void *block_at(size_t size, size_t offset)
{
    void *block = kmalloc(size - 4);

    assert_ptr_equal(block, at(offset));
    return block;
}

static void check_sound(void)
{
    struct heap_stats stats = heap_get_stats();

    assert_int_equal(heap_validate(), HEAP_SOUND);
    assert_false(sys.spinning);
    assert_false(sys.growing);
    assert_int_equal(stats.total, sys.open_pages * PAGE_SIZE);
}

/* The heap consists of exactly the model's blocks, and its figures are theirs. */
static void check_layout(const struct heap_model *model)
{
    struct heap_stats stats = heap_get_stats();
    struct heap_block block = { 0, 0, HEAP_TOP };
    size_t used = 0, live = 0, largest = 0;

    for (size_t i = 0; i < model->count; i++) {
        const struct model_block *expected = &model->blocks[i];

        assert_true(heap_next_block(block.payload + block.size, &block));
        assert_int_equal(block.payload, expected->start + 4);
        assert_int_equal(block.size, expected->size);
        assert_int_equal(block.kind, expected->used ? HEAP_USED : HEAP_FREE);
        used += expected->used ? expected->size : 0;
        live += expected->used;
        if (!expected->used && expected->size > largest)
            largest = expected->size;
    }
    assert_true(heap_next_block(block.payload + block.size, &block));
    assert_int_equal(block.kind, HEAP_TOP);
    assert_int_equal(block.payload, heap_model_top(model) + 4);
    largest = block.size > largest ? block.size : largest;
    assert_false(heap_next_block(block.payload + 1, &block)); /* the top may have no bytes */

    assert_int_equal(stats.used, used);
    assert_int_equal(stats.blocks, live);
    assert_int_equal(stats.allocs - stats.frees, live);
    assert_int_equal(stats.largest_free, largest);
    assert_in_range(stats.peak, used, stats.total > stats.peak ? stats.total : stats.peak);
}

/* All that a failed call must leave as it was: the open pages, byte for byte, and the figures. */
struct snapshot {
    struct heap_stats stats;
    uint8_t *bytes;
};

static struct snapshot take_snapshot(void)
{
    struct snapshot shot = { heap_get_stats(), malloc(sys.open_pages * PAGE_SIZE) };

    assert_non_null(shot.bytes);
    memcpy(shot.bytes, arena, shot.stats.total);
    return shot;
}

static void check_unchanged(struct snapshot *shot)
{
    struct heap_stats stats = heap_get_stats();

    check_sound();
    assert_memory_equal(&stats, &shot->stats, sizeof(stats));
    assert_memory_equal(arena, shot->bytes, stats.total);
    free(shot->bytes);
}

/* ---- Placement, case by case ---- */

/*
 * The first payload is at base + 8; a block is max(16, request + 4 rounded up to 8) bytes.
 *
 *   0   4   8        24        40             64
 *   |   |hd|U 1..12  |hd|U     |hd|U 13..20   |~~~
 */
static void test_block_sizes(void **state)
{
    (void)state;
    for (size_t request = 1; request <= 200; request++) {
        size_t size = request <= 12 ? 16 : (request + 4 + 7) / 8 * 8;

        reset(64 * KIB);
        assert_ptr_equal(kmalloc(request), at(8));
        assert_ptr_equal(kmalloc(1), at(8 + size));
        assert_int_equal(kmalloc_usable_size(at(8)), size - 4);
        assert_int_equal(heap_get_stats().used, size + 16);
        check_sound();
    }
}

/*
 * The lowest free block that is large enough serves, not the best; its rest stays free.
 *
 *   |U 16|f 64   |U 16|f 32|U 16|~~~      kmalloc of a block of 32:
 *   |U 16|U 32|f |U 16|f 32|U 16|~~~
 */
static void test_lowest_fit(void **state)
{
    (void)state;
    reset(64 * KIB);
    block_at(16, 8);
    void *large = block_at(64, 24);
    block_at(16, 88);
    void *exact = block_at(32, 104);
    block_at(16, 136);
    kfree(exact);
    kfree(large);
    block_at(32, 24);
    block_at(40, 152);
    block_at(32, 56);
    block_at(32, 104);
    check_sound();
}

/*
 * A rest of 8 bytes can hold no block and stays with the block; one of 16 becomes free.
 *
 *   |f 48        |U|        |U 40   : 8 |U|        |U 32   |f 16|U|
 */
static void test_small_rest_stays(void **state)
{
    (void)state;
    reset(64 * KIB);
    void *block = block_at(48, 8);
    block_at(16, 56);
    kfree(block);
    block = block_at(40, 8);
    assert_int_equal(kmalloc_usable_size(block), 44);
    block_at(16, 72);
    kfree(block);
    block_at(32, 8);
    block_at(16, 40);
    check_sound();
}

/*
 * Freed in any order, neighbours merge at once: three blocks serve as one, or are the wilderness.
 *
 *   |U 16|1 32|2 32|3 32|U 16|~~~      |U 16|f 96          |U 16|~~~
 */
static void test_merging(void **state)
{
    static const uint8_t orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
                                          { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };

    (void)state;
    for (size_t i = 0; i < 2 * ARRAY_SIZE(orders); i++) {
        bool closed = i % 2 == 0; /* a used block stands between the three and the wilderness */
        void *block[3];

        reset(64 * KIB);
        block_at(16, 8);
        for (size_t j = 0; j < 3; j++)
            block[j] = block_at(32, 24 + 32 * j);
        if (closed)
            block_at(16, 120);
        for (size_t j = 0; j < 3; j++) {
            kfree(block[orders[i / 2][j]]);
            check_sound();
        }
        block_at(96, 24);
        block_at(16, closed ? 136 : 120);
    }
}

/*
 * An aligned block takes the first aligned payload whose gap in front is 0 or at least 16.
 *
 *   8       32                     40: a gap of 8 cannot be a block, so the next one
 *   |f gap 24|U at 32|~~~          |U 32|f gap 24|U at 64|~~~       (alignment 32)
 */
static void test_aligned(void **state)
{
    (void)state;
    reset(64 * KIB);
    assert_ptr_equal(kmalloc_aligned(28, 32), at(32));
    block_at(24, 8);

    reset(64 * KIB);
    block_at(16, 8);
    assert_ptr_equal(kmalloc_aligned(12, 32), at(64)); /* at 32 the gap would be 8 */
    assert_ptr_equal(kmalloc_aligned(12, 16), at(48)); /* at 32 likewise */
    check_sound();

    for (size_t align = 1; align <= HEAP_MAX_ALIGN; align *= 2) {
        reset(64 * KIB);
        for (int i = 0; i < 8; i++)
            assert_int_equal((vaddr_t)kmalloc_aligned(20, align) % (align < 8 ? 8 : align), 0);
        check_sound();
    }
}

/*
 * An aligned request passes over a free block without room for any alignment (block + alignment
 * + 8 bytes), even where this one would just have fitted.
 *
 *   |U 8..32|f at 32, 80 bytes|U|~~~    block 32, alignment 32: 72 bytes are asked for
 */
static void test_aligned_needs_room(void **state)
{
    (void)state;
    for (size_t size = 32; size <= 88; size += 8) {
        reset(64 * KIB);
        block_at(24, 8);
        void *hole = block_at(size, 32);
        block_at(16, 32 + size);
        kfree(hole);
        if (size >= 72)
            assert_ptr_equal(kmalloc_aligned(28, 32), at(32));
        else
            assert_true(kmalloc_aligned(28, 32) > at(32 + size));
        check_sound();
    }
}

/* krealloc shrinks and grows in place where a neighbour allows, and else moves. */
static void test_resizing(void **state)
{
    (void)state;
    reset(64 * KIB);
    uint8_t *block = block_at(64, 8);
    memset(block, 0x5a, 60);
    block_at(16, 72);

    assert_ptr_equal(krealloc(block, 52), block); /* a tail of 8 stays */
    assert_int_equal(kmalloc_usable_size(block), 60);
    assert_ptr_equal(krealloc(block, 28), block); /* |U 32|f 32|U 16|~~~ */
    assert_ptr_equal(krealloc(block, 44), block); /* |U 48  |f |U 16|~~~ */
    block_at(16, 56);
    assert_ptr_equal(krealloc(block, 45), at(88)); /* |f 48  |U |U 16|U 56|~~~ */
    assert_ptr_equal(krealloc(at(88), 2000), at(88));
    for (int i = 0; i < 28; i++)
        assert_int_equal(((uint8_t *)at(88))[i], 0x5a);
    check_sound();

    assert_ptr_equal(krealloc(NULL, 44), at(8));
    assert_null(krealloc(at(8), 0));
    assert_false(heap_is_live(at(8)));
    assert_int_equal(heap_get_stats().blocks, 3);
}

/* Sizes of 0, beyond the window and around 2^32 give NULL and change nothing. */
static void test_impossible_sizes(void **state)
{
    static const size_t sizes[] = {
        0,          64 * KIB,   64 * KIB + 1, 0x7fffffff, 0x80000000, 0xffffeff8,
        0xfffff000, 0xfffffff0, 0xfffffff8,   0xfffffffb, 0xfffffffc, 0xffffffff,
    };

    (void)state;
    reset(64 * KIB);
    void *block = kmalloc(100);
    struct snapshot shot = take_snapshot();

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        assert_null(kmalloc(sizes[i]));
        assert_null(kcalloc(sizes[i], 1));
        assert_null(kcalloc(1, sizes[i]));
        assert_null(kmalloc_aligned(sizes[i], 8));
        assert_null(kmalloc_aligned(sizes[i], 4096));
        if (sizes[i] != 0)
            assert_null(krealloc(block, sizes[i]));
    }
    assert_null(kcalloc(0x10000, 0x10000)); /* 2^32 */
    assert_null(kcalloc(0x10001, 0x10000));
    assert_null(kcalloc(0x80000001, 2));
    for (uint32_t bit = 13; bit < 32; bit++)
        assert_null(kmalloc_aligned(8, 1u << bit));
    assert_null(kmalloc_aligned(8, 0));
    assert_null(kmalloc_aligned(8, 24));
    kfree(NULL);
    check_unchanged(&shot);
}

/* The window's last byte can be used, and not one more. */
static void test_whole_window(void **state)
{
    (void)state;
    reset(64 * KIB);
    uint8_t *all = kmalloc(64 * KIB - 16);
    assert_ptr_equal(all, at(8));
    memset(all, 0xff, kmalloc_usable_size(all));
    assert_int_equal(sys.open_pages, 16);
    assert_null(kmalloc(1));
    kfree(all);
    assert_null(kmalloc(64 * KIB - 8 - 3));
    assert_ptr_equal(kmalloc(64 * KIB - 8 - 4), at(8));
    check_sound();
}

static void test_calloc_clears(void **state)
{
    (void)state;
    reset(64 * KIB);
    void *dirty = kmalloc(1000);
    memset(dirty, 0xff, 1000);
    kfree(dirty);

    uint8_t *block = kcalloc(10, 100);
    assert_ptr_equal(block, dirty);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(block[i], 0);
}

/* heap_is_live answers for any address, heads and free blocks included. */
static void test_questions(void **state)
{
    (void)state;
    reset(64 * KIB);
    block_at(32, 8);
    void *hole = block_at(32, 40);
    block_at(32, 72);
    kfree(hole);
    for (size_t offset = 0; offset < 200; offset++)
        assert_int_equal(heap_is_live(at(offset)), offset == 8 || offset == 72);
    assert_false(heap_is_live(NULL));
    assert_false(heap_is_live((void *)UINTPTR_MAX));

    struct heap_block block;
    assert_true(heap_next_block((vaddr_t)at(9), &block)); /* from anywhere, the next one */
    assert_int_equal(block.payload, (vaddr_t)at(40));
}

/* ---- Broken calls and broken memory ---- */

/* Each stops the kernel, in words that name the mistake. The lock stays taken: nothing goes on. */
static void expect_bad_free(const char *text, void *ptr)
{
    EXPECT_PANIC(text, kfree(ptr));
    sys.spinning = false;
    EXPECT_PANIC(text, krealloc(ptr, 100) == NULL ? fail() : (void)0);
    sys.spinning = false;
    assert_int_equal(heap_validate(), HEAP_SOUND);
}

static void test_panics(void **state)
{
    static uint64_t elsewhere[4];

    (void)state;
    reset(64 * KIB);
    void *block = kcalloc(1, 100), *behind = kcalloc(1, 100), *last;
    assert_non_null(kmalloc(100));
    last = kmalloc(100);
    kfree(block);
    kfree(last);
    expect_bad_free("double free", block);
    expect_bad_free("double free", last); /* has become wilderness */
    expect_bad_free("double free", (uint8_t *)block + 8);
    kfree(behind);
    expect_bad_free("double free", behind); /* merged with what is before it */

    uint32_t *live = kcalloc(1, 100);
    expect_bad_free("invalid free", live + 2);
    live[1] = 32; /* a head that says free, and two that are no size */
    expect_bad_free("invalid free", live + 2);
    live[1] = 8 | 1;
    expect_bad_free("invalid free", live + 2);
    live[1] = 0xfffffff8 | 1;
    expect_bad_free("invalid free", live + 2);
    expect_bad_free("invalid free", live + 1);
    expect_bad_free("invalid free", (uint8_t *)live + 1);
    expect_bad_free("invalid free", at(0));
    expect_bad_free("invalid free", (void *)8);
    expect_bad_free("invalid free", elsewhere);
    expect_bad_free("invalid free", at(64 * KIB + 8));
    kfree(live);

    assert_int_equal(mprotect(arena, ARENA_SIZE, PROT_NONE), 0);
    memset(&sys, 0, sizeof(sys));
    sys.initialising = true;
    fail_requests(HEAP_FIRST_PAGES, false);
    EXPECT_PANIC("too little memory", heap_init((vaddr_t)arena, 64 * KIB));
    EXPECT_PANIC("assertion", heap_init((vaddr_t)arena + 8, 64 * KIB));
    EXPECT_PANIC("assertion", heap_init((vaddr_t)arena, 3 * PAGE_SIZE));
}

static uint32_t *word(size_t offset)
{
    return at(offset);
}

/* |A 32|f 64|B 32|C 32|~~~   heads at 4, 36, 100 and 132; the free block's link is at 40 */
static void three_blocks_and_a_hole(void)
{
    reset(64 * KIB);
    block_at(32, 8);
    void *hole = block_at(64, 40);
    block_at(32, 104);
    block_at(32, 136);
    kfree(hole);
}

static void expect_fault(enum heap_fault fault)
{
    assert_int_equal(heap_validate(), fault);
    three_blocks_and_a_hole();
}

/* The validator finds each kind of damage and calls it by its name. */
static void test_validator(void **state)
{
    (void)state;
    three_blocks_and_a_hole();

    *word(4) = 8 | 1; /* too small */
    expect_fault(HEAP_BAD_SIZE);
    *word(4) = 32 | 3; /* a bit that means nothing */
    expect_fault(HEAP_BAD_SIZE);
    *word(132) = 40 | 1; /* past the top */
    expect_fault(HEAP_BAD_SIZE);
    *word(132) = 0xfffffff8 | 1;
    expect_fault(HEAP_BAD_SIZE);

    *word(4) = 32; /* marked free, not listed: |f|f|U|U|~ */
    expect_fault(HEAP_BAD_LIST);
    *word(40) = (uint32_t)(vaddr_t)at(100); /* a used block listed */
    expect_fault(HEAP_BAD_LIST);

    *word(36) = 32; /* one free block becomes two, both listed */
    *word(68) = 32;
    *word(40) = (uint32_t)(vaddr_t)at(68);
    *word(72) = 0;
    expect_fault(HEAP_UNMERGED);

    *word(132) = 32; /* the last block free and listed, below the wilderness */
    *word(40) = (uint32_t)(vaddr_t)at(132);
    *word(136) = 0;
    expect_fault(HEAP_FREE_BELOW_TOP);

    *word(36) = 80; /* the border between free and used moved up */
    *word(116) = 16 | 1;
    expect_fault(HEAP_USED_COUNT);

    *word(100) = 64 | 1; /* two used blocks become one */
    expect_fault(HEAP_BLOCK_COUNT);
}

/* A link that leads out of the heap: what is freed before it merges with it, top and all. */
static void test_validator_top(void **state)
{
    static struct {
        uint32_t unused, head, next;
    } outside __attribute__((aligned(8)));

    (void)state;
    three_blocks_and_a_hole();
    outside.head = (uint32_t)((vaddr_t)at(132) - (vaddr_t)&outside.head); /* ends where C begins */
    *word(40) = (uint32_t)(vaddr_t)&outside.head;
    kfree(at(136));
    assert_int_equal(heap_validate(), HEAP_BAD_TOP);
}

/* ---- Pages ---- */

/* Pages come as they are needed and go when many lie unused at the top; the first four stay. */
static void test_pages_come_and_go(void **state)
{
    (void)state;
    reset(MIB);
    void *first = kmalloc(FIRST_BYTES - 16);
    assert_int_equal(sys.open_pages, HEAP_FIRST_PAGES);
    void *second = kmalloc(1);
    assert_int_equal(sys.open_pages, HEAP_FIRST_PAGES + 1);
    void *third = kmalloc(512 * KIB);
    assert_in_range(sys.open_pages, 132, 134);

    kfree(third);
    assert_in_range(sys.open_pages, HEAP_FIRST_PAGES + 1, 30);
    kfree(second);
    kfree(first);
    check_sound();
    assert_in_range(sys.open_pages, HEAP_FIRST_PAGES, 20);

    /* Where the pages are had again, blocks are as before. */
    assert_ptr_equal(kmalloc(FIRST_BYTES - 16), first);
    assert_ptr_equal(kmalloc(1), second);
    assert_ptr_equal(kmalloc(512 * KIB), third);
}

/* The calls that ask for pages, each given the heap's last block. */
static void *grow_by_malloc(void *last)
{
    (void)last;
    return kmalloc(40000);
}

static void *grow_by_aligned(void *last)
{
    (void)last;
    return kmalloc_aligned(40000, 4096);
}

static void *grow_by_calloc(void *last)
{
    (void)last;
    return kcalloc(200, 200);
}

static void *grow_by_realloc(void *last)
{
    return krealloc(last, 60000);
}

/*
 * Whichever request for a page fails, once or from then on: NULL leaves the heap byte for byte as
 * it was, the pages had before are given back, and with memory there again the call succeeds.
 */
static void test_every_page_refused(void **state)
{
    static void *(*const calls[])(void *) = { grow_by_malloc, grow_by_aligned, grow_by_calloc,
                                              grow_by_realloc };
    uint32_t refused = 0;

    (void)state;
    for (size_t i = 0; i < 2 * ARRAY_SIZE(calls); i++) {
        for (uint32_t nth = 1;; nth++) {
            reset(MIB);
            block_at(1000, 8);
            void *last = block_at(16000, 1008);
            struct snapshot shot = take_snapshot();

            fail_requests(nth, i % 2 == 0);
            void *got = calls[i / 2](last);
            bool all_granted = sys.requests < nth;
            if (got != NULL) {
                check_sound();
                free(shot.bytes);
            } else {
                check_unchanged(&shot);
                refused++;
                fail_requests(NEVER, false);
                assert_non_null(calls[i / 2](last));
            }
            if (all_granted) {
                assert_non_null(got);
                break;
            }
        }
    }
    assert_true(refused >= 7 * 9); /* refused once, krealloc moves the block */
}

/* ---- Another thread in between ---- */

static void *shared, *others;

static void other_frees(void)
{
    kfree(shared);
}

static void other_allocates(void)
{
    others = kmalloc(100);
}

static void other_grows(void)
{
    others = kmalloc(50000);
}

/*
 * While a thread waits for its turn to grow the heap, another frees: the hole must serve, and no
 * page is mapped.
 *
 *   |U 12000|U 16|~~~   kmalloc(9000) waits;   |f 12000|U 16|~~~   so it goes to the front
 */
static void test_freed_while_waiting(void **state)
{
    (void)state;
    reset(MIB);
    shared = block_at(12000, 8);
    block_at(16, 12008);
    sys.while_waiting = other_frees;
    assert_ptr_equal(kmalloc(9000), at(8));
    assert_int_equal(sys.open_pages, HEAP_FIRST_PAGES);
    check_sound();
}

/* Another thread takes the very place; or grows the heap itself, by more than is needed. */
static void test_allocated_while_waiting(void **state)
{
    (void)state;
    reset(MIB);
    sys.while_waiting = other_allocates;
    assert_ptr_equal(kmalloc(20000), at(8 + 104));
    assert_ptr_equal(others, at(8));
    check_sound();

    reset(MIB);
    sys.while_waiting = other_grows;
    assert_ptr_equal(kmalloc(20000), at(8 + 50008));
    check_sound();

    /* A block at the end of the heap that is no longer the last when its turn comes must move. */
    reset(MIB);
    uint8_t *block = block_at(1000, 8);
    memset(block, 0x77, 996);
    sys.while_waiting = other_allocates;
    uint8_t *moved = krealloc(block, 20000);
    assert_ptr_equal(moved, at(8 + 1000 + 104));
    for (int i = 0; i < 996; i++)
        assert_int_equal(moved[i], 0x77);
    assert_false(heap_is_live(block));
    check_sound();
}

/* No page can be had, but meanwhile a block was freed: a last search finds it. */
static void test_freed_while_mapping(void **state)
{
    (void)state;
    reset(MIB);
    shared = block_at(12000, 8);
    block_at(16, 12008);
    sys.while_mapping = other_frees;
    fail_requests(1, true);
    assert_ptr_equal(kmalloc(9000), at(8));
    check_sound();
}

/* A large free while another thread grows gives no page back: they are about to be used. */
static void test_no_trim_while_growing(void **state)
{
    (void)state;
    reset(MIB);
    shared = kmalloc(200000);
    sys.while_mapping = other_frees;
    assert_non_null(kmalloc(300000));
    check_sound();
}

/* While pages are given back another thread allocates: never in a page that is going. */
static void test_allocated_while_unmapping(void **state)
{
    (void)state;
    reset(MIB);
    shared = kmalloc(500000);
    sys.while_unmapping = other_allocates;
    kfree(shared);
    assert_ptr_equal(others, at(8));
    memset(others, 0xff, kmalloc_usable_size(others));
    check_sound();
}

/* ---- Against the model ---- */

struct live {
    uint8_t *payload; /* NULL: the slot is empty */
    size_t size;
    uint8_t tag; /* what fills it */
};

#define SLOTS_MAX 1024u

static struct {
    struct prng prng;
    struct heap_model model;
    struct live slots[SLOTS_MAX];
    uint32_t slot_count;
    uint32_t size_bits; /* sizes are below 2^size_bits, small ones as likely as large */
    uint32_t failures;
} play;

static void fill(struct live *slot, void *payload, size_t size)
{
    slot->payload = payload;
    slot->size = size;
    slot->tag = (uint8_t)prng_next(&play.prng);
    memset(payload, slot->tag, size);
}

static void check_contents(const struct live *slot, size_t size)
{
    assert_int_equal(slot->payload[0], slot->tag);
    assert_memory_equal(slot->payload, slot->payload + 1, size - 1);
}

static size_t random_size(void)
{
    return 1 + prng_next(&play.prng) % (1u << (1 + prng_below(&play.prng, play.size_bits)));
}

static void *play_alloc(size_t size, vaddr_t *expected)
{
    size_t align = 1u << prng_below(&play.prng, 13);
    uint32_t kind = prng_below(&play.prng, 8);

    *expected = heap_model_alloc(&play.model, size, kind == 0 ? align : 8);
    if (kind == 0)
        return kmalloc_aligned(size, align);
    if (kind != 1)
        return kmalloc(size);

    uint8_t *cleared = kcalloc(1, size);
    if (cleared != NULL) {
        assert_int_equal(cleared[0], 0);
        assert_memory_equal(cleared, cleared + 1, size - 1);
    }
    return cleared;
}

static void play_realloc(struct live *slot)
{
    size_t size = random_size(), kept = size < slot->size ? size : slot->size;
    vaddr_t expected = heap_model_realloc(&play.model, (vaddr_t)slot->payload, size);
    uint8_t *payload = krealloc(slot->payload, size);

    assert_ptr_equal(payload, expected);
    play.failures += payload == NULL;
    if (payload != NULL) {
        slot->payload = payload;
        check_contents(slot, kept);
        fill(slot, payload, size);
    }
}

static void play_free(struct live *slot)
{
    check_contents(slot, slot->size);
    heap_model_free(&play.model, (vaddr_t)slot->payload);
    kfree(slot->payload);
    slot->payload = NULL;
}

/* One random operation on one random slot; every tenth may get no more pages. */
static void play_once(void)
{
    struct live *slot = &play.slots[prng_below(&play.prng, play.slot_count)];
    bool starved = prng_once_in(&play.prng, 10);

    fail_requests(starved ? 1 : NEVER, true);
    play.model.limit = starved ? play.model.base + heap_get_stats().total : play.model.end;
    if (slot->payload == NULL) {
        size_t size = random_size();
        vaddr_t expected;
        uint8_t *payload = play_alloc(size, &expected);

        assert_ptr_equal(payload, expected);
        play.failures += payload == NULL;
        if (payload != NULL)
            fill(slot, payload, size);
    } else if (prng_once_in(&play.prng, 3)) {
        play_realloc(slot);
    } else {
        play_free(slot);
    }
    check_sound();
}

/*
 * Every block lies where the model puts it, keeps its contents and leaves the heap sound. Half of
 * `slots` blocks live on average: with `size_bits` that says how full the window gets.
 */
static void play_against_model(size_t window, uint32_t slots, uint32_t size_bits, uint32_t rounds)
{
    reset(window);
    memset(&play, 0, sizeof(play));
    play.prng.state = window + slots + size_bits;
    play.slot_count = slots;
    play.size_bits = size_bits;
    heap_model_init(&play.model, (vaddr_t)arena, window);

    for (uint32_t round = 0; round < rounds; round++) {
        play_once();
        if (round % 1024 == 0)
            check_layout(&play.model);
    }
    for (uint32_t i = 0; i < slots; i++) {
        if (play.slots[i].payload != NULL)
            play_free(&play.slots[i]);
    }
    assert_int_equal(heap_model_top(&play.model), (vaddr_t)arena + 4);
    check_layout(&play.model);
    check_sound();
    heap_model_destroy(&play.model);
}

static void test_model_64_kib(void **state)
{
    (void)state;
    play_against_model(64 * KIB, 16, 9, 200000); /* nearly empty */
    play_against_model(64 * KIB, 128, 11, 200000);
    play_against_model(64 * KIB, 400, 13, 100000); /* always full */
    assert_true(play.failures > 5000);
}

static void test_model_1_mib(void **state)
{
    (void)state;
    play_against_model(MIB, 64, 12, 150000);
    play_against_model(MIB, 256, 15, 150000);
}

static void test_model_16_mib(void **state)
{
    (void)state;
    play_against_model(16 * MIB, 64, 17, 100000);
    play_against_model(16 * MIB, 1024, 16, 50000);
    play_against_model(16 * MIB, 200, 20, 50000);
}

/* What another thread does while this one waits comes first, in the model as in the heap. */
static struct live *others_slot;

static void other_plays(void)
{
    vaddr_t expected;

    if (others_slot->payload != NULL) {
        play_free(others_slot);
        return;
    }
    expected = heap_model_alloc(&play.model, 3000, 8);
    fill(others_slot, kmalloc(3000), 3000);
    assert_ptr_equal(others_slot->payload, expected);
}

static void test_model_two_threads(void **state)
{
    uint32_t met = 0;

    (void)state;
    reset(16 * MIB);
    memset(&play, 0, sizeof(play));
    play.prng.state = 2;
    play.slot_count = 128;
    play.size_bits = 16;
    heap_model_init(&play.model, (vaddr_t)arena, 16 * MIB);
    for (uint32_t round = 0; round < 50000; round++) {
        struct live *slot = &play.slots[prng_below(&play.prng, 64)];
        size_t size = random_size();

        others_slot = &play.slots[64 + prng_below(&play.prng, 64)];
        if (slot->payload != NULL) {
            play_free(slot);
        } else {
            sys.while_waiting = other_plays;
            fill(slot, kmalloc(size), size);
            met += sys.while_waiting == NULL;
            sys.while_waiting = NULL;
            assert_int_equal((vaddr_t)slot->payload, heap_model_alloc(&play.model, size, 8));
        }
        check_sound();
    }
    assert_true(met > 100);
    check_layout(&play.model);
    heap_model_destroy(&play.model);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_block_sizes),
        cmocka_unit_test(test_lowest_fit),
        cmocka_unit_test(test_small_rest_stays),
        cmocka_unit_test(test_merging),
        cmocka_unit_test(test_aligned),
        cmocka_unit_test(test_aligned_needs_room),
        cmocka_unit_test(test_resizing),
        cmocka_unit_test(test_impossible_sizes),
        cmocka_unit_test(test_whole_window),
        cmocka_unit_test(test_calloc_clears),
        cmocka_unit_test(test_questions),
        cmocka_unit_test(test_panics),
        cmocka_unit_test(test_validator),
        cmocka_unit_test(test_validator_top),
        cmocka_unit_test(test_pages_come_and_go),
        cmocka_unit_test(test_every_page_refused),
        cmocka_unit_test(test_freed_while_waiting),
        cmocka_unit_test(test_allocated_while_waiting),
        cmocka_unit_test(test_freed_while_mapping),
        cmocka_unit_test(test_no_trim_while_growing),
        cmocka_unit_test(test_allocated_while_unmapping),
        cmocka_unit_test(test_model_64_kib),
        cmocka_unit_test(test_model_1_mib),
        cmocka_unit_test(test_model_16_mib),
        cmocka_unit_test(test_model_two_threads),
    };

    return cmocka_run_group_tests(tests, open_arena, NULL);
}
