/*
 * The page tables, built in fake RAM and read back as the CPU would read them.
 *
 * Physical addresses below RAM_SIZE lie in an array; from HIGH_BASE on there are high frames, which
 * have no memory behind them, since nobody may look into one. Others are the kernel image's, which
 * are this program's own: directory and pool stand at their virtual address.
 *
 * The TLB remembers what a page was when the test last looked, absent or not, until it is told to
 * forget: a change without an invalidation shows as a difference.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <error.h>
#include <mem/mmu.h>
#include <mem/paging.h>
#include <mem/pmm.h>
#include <mem/starve.h>
#include "mem/layout.h"
#include "brief.h"
#include "support.h"

#define RAM_FRAMES  256u
#define RAM_SIZE    (RAM_FRAMES * PAGE_SIZE)
#define PAGES       0x100000u /* of the address space */

#define HIGH_BASE   0x18000000u
#define HIGH_FRAMES 4096u
#define HIGH_END    (HIGH_BASE + HIGH_FRAMES * PAGE_SIZE)

#define AREA        0x40000000u /* addresses that nothing else uses, a table's first */
#define PHYS        0x123000u
#define OWNER       FRAME_STACKS /* of what map_new_pages() takes */

/* ---- The machine ---- */

static uint8_t ram[RAM_FRAMES][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

static struct {
    bool allocated[RAM_FRAMES];
    bool high_allocated[HIGH_FRAMES];
    enum frame_owner owner[RAM_FRAMES], high_owner[HIGH_FRAMES];
    uint32_t high_left;
    uint32_t allocated_count;
    uint32_t requests; /* for a frame, since fail_requests() */
    uint32_t fail_at;  /* the request that fails; 0: none */
    bool fail_from;    /* those behind it fail as well */
    bool locked;
    uint32_t invalidations;     /* of either kind, since the lock was taken */
    uint32_t invalidated_all;   /* how often, since forget_invalidations() */
    uint8_t invalidated[PAGES]; /* likewise, one by one */
    uint32_t locks;             /* how often the lock was taken, since forget_invalidations() */
    uint32_t *directory;        /* as mmu_enable() got it */
} machine;

/* What the TLB holds of WATCHED pages from AREA on. */
#define WATCHED  (16u * 1024u)
#define TLB_NONE 0xffffffffu

static uint32_t tlb[WATCHED];

void *phys_to_virt(paddr_t phys)
{
    assert_true(machine.locked);
    assert_int_equal(phys % PAGE_SIZE, 0);
    assert_false(phys >= HIGH_BASE && phys < HIGH_END);
    if (phys >= RAM_SIZE)
        return (void *)phys;
    assert_true(machine.allocated[phys / PAGE_SIZE]);
    return ram[phys / PAGE_SIZE];
}

paddr_t virt_to_phys(const void *virt)
{
    assert_true((vaddr_t)virt >= RAM_SIZE);
    return (paddr_t)(vaddr_t)virt;
}

void mmu_invalidate_page(vaddr_t virt)
{
    assert_true(machine.locked);
    machine.invalidated[virt / PAGE_SIZE]++;
    machine.invalidations++;
    if (virt / PAGE_SIZE - AREA / PAGE_SIZE < WATCHED)
        tlb[virt / PAGE_SIZE - AREA / PAGE_SIZE] = TLB_NONE;
}

void mmu_invalidate_all(void)
{
    assert_true(machine.locked);
    machine.invalidated_all++;
    machine.invalidations++;
    memset(tlb, 0xff, sizeof(tlb));
}

void mmu_enable(paddr_t directory)
{
    assert_int_equal(directory % PAGE_SIZE, 0);
    machine.directory = (uint32_t *)directory;
}

#define LOCK_STATE 0x246u

uint32_t mmu_lock(void)
{
    assert_false(machine.locked);
    machine.locked = true;
    machine.locks++;
    machine.invalidations = 0;
    return LOCK_STATE;
}

void mmu_unlock(uint32_t state)
{
    assert_true(machine.locked);
    assert_int_equal(state, LOCK_STATE);
    machine.locked = false;
}

static enum frame_owner *owner_of(paddr_t phys)
{
    return phys >= HIGH_BASE ? &machine.high_owner[(phys - HIGH_BASE) / PAGE_SIZE]
                             : &machine.owner[phys / PAGE_SIZE];
}

paddr_t pmm_alloc_frame_for(enum frame_owner owner)
{
    machine.requests++;
    if (machine.fail_at != 0 && (machine.requests == machine.fail_at ||
                                 (machine.fail_from && machine.requests > machine.fail_at)))
        return 0;
    for (uint32_t frame = 1; frame < RAM_FRAMES; frame++) {
        if (!machine.allocated[frame]) {
            machine.allocated[frame] = true;
            machine.allocated_count++;
            machine.owner[frame] = owner;
            memset(ram[frame], 0xff, PAGE_SIZE); /* contents are undefined */
            return frame * PAGE_SIZE;
        }
    }
    return 0;
}

/* High frames first, then low ones, as the kernel's does it. */
paddr_t pmm_alloc_frame_high_for(enum frame_owner owner)
{
    uint32_t frame = 0;

    if (machine.high_left == 0)
        return pmm_alloc_frame_for(owner);
    machine.requests++;
    if (machine.fail_at != 0 && (machine.requests == machine.fail_at ||
                                 (machine.fail_from && machine.requests > machine.fail_at)))
        return 0;
    while (machine.high_allocated[frame])
        frame++;
    machine.high_allocated[frame] = true;
    machine.high_owner[frame] = owner;
    machine.high_left--;
    return HIGH_BASE + frame * PAGE_SIZE;
}

/* A frame must be out of the tables and forgotten by the TLB before it is given back. */
void pmm_free_frame_of(enum frame_owner owner, paddr_t phys)
{
    assert_true(pmm_is_allocated(phys));
    assert_int_equal(*owner_of(phys), owner);
    assert_true(machine.invalidations > 0);
    for (uint32_t i = 0; i < 1024; i++)
        assert_true((machine.directory[i] & PAGE_MASK) != phys);
    for (uint32_t page = 0; page < WATCHED; page++)
        assert_true(tlb[page] == TLB_NONE || (tlb[page] & PAGE_MASK) != phys);
    if (phys >= HIGH_BASE) {
        machine.high_allocated[(phys - HIGH_BASE) / PAGE_SIZE] = false;
        machine.high_left++;
        return;
    }
    machine.allocated[phys / PAGE_SIZE] = false;
    machine.allocated_count--;
}

bool pmm_is_allocated(paddr_t phys)
{
    if (phys % PAGE_SIZE != 0)
        return false;
    if (phys >= HIGH_BASE && phys < HIGH_END)
        return machine.high_allocated[(phys - HIGH_BASE) / PAGE_SIZE];
    return phys < RAM_SIZE && machine.allocated[phys / PAGE_SIZE];
}

static void fail_requests(uint32_t nth, bool from)
{
    machine.requests = 0;
    machine.fail_at = nth;
    machine.fail_from = from;
}

static void forget_invalidations(void)
{
    memset(machine.invalidated, 0, sizeof(machine.invalidated));
    machine.invalidated_all = machine.locks = 0;
}

static void start(paddr_t phys_limit)
{
    memset(&machine, 0, sizeof(machine));
    memset(tlb, 0xff, sizeof(tlb));
    machine.high_left = HIGH_FRAMES;
    paging_init(phys_limit);
    assert_non_null(machine.directory);
    assert_int_equal(paging_validate(), PAGING_SOUND);
    forget_invalidations();
}

/* ---- Small helpers ---- */

/* Where the CPU finds the table of an address; NULL where there is none. */
static uint32_t *table_of(vaddr_t virt)
{
    uint32_t entry = machine.directory[virt / LARGE_PAGE_SIZE];
    paddr_t phys = entry & PAGE_MASK;

    if (!(entry & 1))
        return NULL;
    return phys < RAM_SIZE ? (uint32_t *)ram[phys / PAGE_SIZE] : (uint32_t *)phys;
}

static uint32_t *entry_of(vaddr_t virt)
{
    return &table_of(virt)[virt / PAGE_SIZE % 1024];
}

/* The entry of a watched page as the CPU reads it: 0 where nothing is. */
static uint32_t watched_entry(uint32_t page)
{
    vaddr_t virt = AREA + page * PAGE_SIZE;
    return table_of(virt) == NULL || !(*entry_of(virt) & 1) ? 0 : *entry_of(virt);
}

/* The CPU looks at every watched page. */
static void fill_tlb(void)
{
    for (uint32_t page = 0; page < WATCHED; page++)
        tlb[page] = watched_entry(page);
}

/* The TLB holds nothing that is no longer so. */
static void check_tlb(void)
{
    for (uint32_t page = 0; page < WATCHED; page++)
        assert_true(tlb[page] == TLB_NONE || tlb[page] == watched_entry(page));
}

static void expect_mapped(vaddr_t virt, paddr64_t phys, uint32_t flags, bool large)
{
    struct translation t = translate(virt);

    assert_true(t.mapped);
    assert_true(t.phys == phys);
    assert_int_equal(t.flags, flags);
    assert_int_equal(t.large, large);
}

static void expect_unmapped(vaddr_t virt)
{
    struct translation t = translate(virt);

    assert_false(t.mapped);
    assert_false(t.large);
    assert_true(t.phys == 0);
    assert_int_equal(t.flags, 0);
}

/* All that a failed call must leave as it was. */
struct snapshot {
    uint32_t directory[1024];
    uint32_t tables, frames, high_left;
};

static struct snapshot take_snapshot(void)
{
    struct snapshot shot = { .tables = paging_table_frames(),
                             .frames = machine.allocated_count,
                             .high_left = machine.high_left };

    memcpy(shot.directory, machine.directory, sizeof(shot.directory));
    return shot;
}

static void check_unchanged(const struct snapshot *shot)
{
    assert_int_equal(paging_validate(), PAGING_SOUND);
    assert_false(machine.locked);
    assert_memory_equal(shot->directory, machine.directory, sizeof(shot->directory));
    assert_int_equal(shot->tables, paging_table_frames());
    assert_int_equal(shot->frames, machine.allocated_count);
    assert_int_equal(shot->high_left, machine.high_left);
}

/* ---- The identity mapping ---- */

/*
 * [4 KiB, phys_limit) is mapped one to one, and not a page more; page 0 is not.
 *
 *   0    4K                      limit          HEAP_BASE
 *   | -- |  identity, writable     | --            |
 */
static void expect_identity(paddr_t phys_limit, paddr_t end, uint32_t tables)
{
    start(phys_limit);
    assert_true(paging_enabled());
    assert_int_equal(paging_identity_end(), end);
    assert_int_equal(paging_table_frames(), tables + 1);
    assert_int_equal(machine.allocated_count,
                     tables < MAX_BOOTSTRAP_TABLES ? 0 : tables - MAX_BOOTSTRAP_TABLES);
    for (uint32_t page = 0; page < PAGES; page++) {
        if (page > 0 && page < end / PAGE_SIZE)
            assert_int_equal(*entry_of(page * PAGE_SIZE) & ~0x60u, page * PAGE_SIZE | 3);
        else if (table_of(page * PAGE_SIZE) != NULL)
            assert_int_equal(*entry_of(page * PAGE_SIZE) & 1, 0);
    }
    expect_unmapped(0);
    expect_unmapped(PAGE_SIZE - 1);
    expect_unmapped(end);
    expect_mapped(end - 1, end - 1, PAGE_WRITE, false);
}

static void test_identity(void **state)
{
    (void)state;
    expect_identity(2 * PAGE_SIZE, 2 * PAGE_SIZE, 1);
    expect_identity(4 * MIB - PAGE_SIZE, 4 * MIB - PAGE_SIZE, 1);
    expect_identity(4 * MIB, 4 * MIB, 1);
    expect_identity(4 * MIB + PAGE_SIZE, 4 * MIB + PAGE_SIZE, 2);
    expect_identity(32 * MIB, 32 * MIB, 8); /* the pool and no more */
    expect_identity(32 * MIB + PAGE_SIZE, 32 * MIB + PAGE_SIZE, 9);
    expect_identity(384 * MIB - PAGE_SIZE, 384 * MIB - PAGE_SIZE, 96);
    expect_identity(384 * MIB, HEAP_BASE, 96);
    expect_identity(384 * MIB + PAGE_SIZE, HEAP_BASE, 96); /* the heap's window begins here */
    expect_identity(512 * MIB, HEAP_BASE, 96);
}

/* Without frames for its tables the kernel cannot go on. */
static void expect_too_little_memory(uint32_t nth)
{
    start(4 * MIB); /* so that there is a directory to look into */
    fail_requests(nth, true);
    EXPECT_PANIC("no frame for the page tables of 393216 KiB", paging_init(384 * MIB));
    assert_false(paging_enabled());
}

static void test_identity_without_memory(void **state)
{
    (void)state;
    for (uint32_t nth = 1; nth <= 88; nth += 29)
        expect_too_little_memory(nth);
}

/* ---- Single pages ---- */

/* A page leads where it was mapped to, offset and flags included, until it is unmapped. */
static void test_map_and_unmap(void **state)
{
    static const uint32_t flags[] = {
        0,          PAGE_WRITE,         PAGE_CACHE_DISABLE,
        PAGE_FLAGS, PAGE_WRITE_THROUGH, PAGE_LABORATORY | PAGE_WRITE,
    };

    (void)state;
    start(4 * MIB);
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        vaddr_t virt = AREA + (vaddr_t)i * PAGE_SIZE;

        assert_int_equal(map_page(virt, PHYS, flags[i]), OK);
        assert_int_equal(machine.invalidated[virt / PAGE_SIZE], 1);
        assert_int_equal(*entry_of(virt), PHYS | flags[i] | 1);
        expect_mapped(virt, PHYS, flags[i], false);
        expect_mapped(virt + 0xabc, PHYS + 0xabc, flags[i], false);
        expect_unmapped(virt + PAGE_SIZE);
        assert_int_equal(unmap_page(virt), OK);
        assert_int_equal(machine.invalidated[virt / PAGE_SIZE], 2);
        expect_unmapped(virt);
        assert_int_equal(unmap_page(virt), ERR_NOT_MAPPED);
    }
    assert_int_equal(map_page(0xfffff000, 0xfffff000, 0), OK); /* the last of all */
    expect_mapped(0xffffffff, 0xffffffff, 0, false);
    assert_int_equal(unmap_page(0xfffff000), OK);
    assert_int_equal(map_range(0xffffe000, 0xffffe000, 2, 0), OK);
    expect_mapped(0xffffffff, 0xffffffff, 0, false);
    unmap_range(0xffffe000, 2);
    assert_int_equal(paging_table_frames(), 2);
}

/* Every error, and nothing changed by any. */
static void test_errors(void **state)
{
    (void)state;
    start(4 * MIB);
    assert_int_equal(map_page(AREA, PHYS, PAGE_WRITE), OK);
    assert_int_equal(map_large_page(AREA + LARGE_PAGE_SIZE, 1ull << 32, 0), OK);
    forget_invalidations();
    struct snapshot shot = take_snapshot();

    assert_int_equal(map_page(AREA + 1, PHYS, 0), ERR_UNALIGNED);
    assert_int_equal(map_page(AREA + PAGE_SIZE, PHYS + 0x800, 0), ERR_UNALIGNED);
    assert_int_equal(map_range(AREA + PAGE_SIZE, PHYS + 0x800, 2, 0), ERR_UNALIGNED);
    assert_int_equal(map_page(0, PHYS, 0), ERR_RANGE);
    for (uint32_t bit = 0; bit < 32; bit++) {
        if (!(PAGE_FLAGS >> bit & 1))
            assert_int_equal(map_page(AREA + PAGE_SIZE, PHYS, 1u << bit), ERR_RANGE);
    }
    assert_int_equal(map_page(AREA, PHYS, PAGE_WRITE), ERR_MAPPED);
    assert_int_equal(map_page(PAGE_SIZE, PHYS, 0), ERR_MAPPED);
    assert_int_equal(map_page(AREA + LARGE_PAGE_SIZE + PAGE_SIZE, PHYS, 0), ERR_MAPPED);
    assert_int_equal(unmap_page(AREA + 1), ERR_UNALIGNED);
    assert_int_equal(unmap_page(0), ERR_NOT_MAPPED);
    assert_int_equal(unmap_page(AREA + PAGE_SIZE), ERR_NOT_MAPPED);
    assert_int_equal(unmap_page(AREA + LARGE_PAGE_SIZE), ERR_NOT_MAPPED); /* not a small one */
    assert_int_equal(unmap_page(0x70000000), ERR_NOT_MAPPED);             /* no table */

    assert_int_equal(map_range(AREA + PAGE_SIZE, PHYS, 0x100000, 0), ERR_RANGE);
    assert_int_equal(map_range(0xffffe000, PHYS, 3, 0), ERR_RANGE);
    assert_int_equal(map_range(AREA + PAGE_SIZE, 0xffffe000, 3, 0), ERR_RANGE);
    assert_int_equal(map_range(AREA + PAGE_SIZE, PHYS, UINT32_MAX, 0), ERR_RANGE);
    assert_int_equal(map_range(0, PHYS, 2, 0), ERR_RANGE);
    assert_int_equal(map_range(AREA + PAGE_SIZE, PHYS, 0, 0), OK); /* nothing to do */
    check_unchanged(&shot);
    for (uint32_t page = 0; page < PAGES; page++)
        assert_int_equal(machine.invalidated[page], 0);
    expect_mapped(AREA, PHYS, PAGE_WRITE, false);

    EXPECT_PANIC("assertion", unmap_range(AREA, 2)); /* the second page is not mapped */
    expect_mapped(AREA, PHYS, PAGE_WRITE, false);
}

/* ---- Tables ---- */

/* Tables come from the pool, then from the PMM, and go back where they came from when empty. */
static void test_tables(void **state)
{
    (void)state;
    start(4 * MIB); /* one of the pool */
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(paging_table_frames(), 2 + i);
        assert_int_equal(machine.allocated_count, i < 7 ? 0 : i - 7);
        assert_int_equal(map_page(AREA + i * LARGE_PAGE_SIZE, PHYS, 0), OK);
        assert_true(paging_owns_frame(machine.directory[AREA / LARGE_PAGE_SIZE + i] & PAGE_MASK));
    }
    assert_true(paging_owns_frame((paddr_t)(vaddr_t)machine.directory));
    assert_false(paging_owns_frame(PHYS));
    assert_false(paging_owns_frame(0));

    /* A table goes with its last page, not before. */
    assert_int_equal(map_page(AREA + PAGE_SIZE, PHYS, 0), OK);
    assert_int_equal(unmap_page(AREA), OK);
    assert_non_null(table_of(AREA));
    assert_int_equal(unmap_page(AREA + PAGE_SIZE), OK);
    assert_null(table_of(AREA));

    /* That was one of the pool, and serves again before the PMM is asked. */
    uint32_t frames = machine.allocated_count;
    assert_int_equal(map_page(0x70000000, PHYS, 0), OK);
    assert_int_equal(machine.allocated_count, frames);
    assert_int_equal(unmap_page(0x70000000), OK);
    for (uint32_t i = 1; i < 20; i++)
        assert_int_equal(unmap_page(AREA + i * LARGE_PAGE_SIZE), OK);
    assert_int_equal(paging_table_frames(), 2);
    assert_int_equal(machine.allocated_count, 0);
    assert_int_equal(paging_validate(), PAGING_SOUND);
}

/* The identity mapping keeps its tables, though every page in one is unmapped. */
static void test_identity_keeps_tables(void **state)
{
    (void)state;
    start(4 * MIB + PAGE_SIZE);
    assert_int_equal(unmap_page(4 * MIB), OK);
    assert_int_equal(paging_table_frames(), 3);
    assert_int_equal(paging_validate(), PAGING_SOUND);
    assert_int_equal(map_page(4 * MIB, 4 * MIB, PAGE_WRITE), OK);
    assert_int_equal(paging_table_frames(), 3);

    start(4 * MIB); /* a table that begins where the identity mapping ends is like any other */
    assert_int_equal(map_page(4 * MIB, PHYS, PAGE_WRITE), OK);
    assert_int_equal(paging_table_frames(), 3);
    assert_int_equal(unmap_page(4 * MIB), OK);
    assert_int_equal(paging_table_frames(), 2);
}

/* The pages of the identity mapping's last table that lie behind it may lead anywhere. */
static void test_behind_the_identity(void **state)
{
    (void)state;
    start(6 * MIB);
    assert_int_equal(map_page(6 * MIB, PHYS, PAGE_WRITE), OK);
    assert_int_equal(paging_validate(), PAGING_SOUND);
    expect_mapped(6 * MIB, PHYS, PAGE_WRITE, false);
}

/* A request for a table fails when it is its turn, wherever the table would have come from. */
static void test_starved_table(void **state)
{
    (void)state;
    start(4 * MIB);
    struct snapshot shot = take_snapshot();
    starve_begin(1, false);
    assert_int_equal(map_page(AREA, PHYS, 0), ERR_NO_MEMORY);
    assert_int_equal(starve_get().seen[STARVE_TABLE], 1);
    check_unchanged(&shot);
    assert_int_equal(map_page(AREA, PHYS, 0), OK);
    assert_int_equal(unmap_page(AREA), OK);
    starve_end();
}

/* The directory's frame and each table's are paging's own, and no others. */
static void test_owned_frames(void **state)
{
    (void)state;
    start(4 * MIB);
    assert_int_equal(map_page(AREA, PHYS, 0), OK);
    assert_true(paging_owns_frame(virt_to_phys(machine.directory)));
    assert_true(paging_owns_frame(virt_to_phys(table_of(0))));
    assert_true(paging_owns_frame(virt_to_phys(table_of(AREA))));
    assert_false(paging_owns_frame(PHYS));
    assert_false(paging_owns_frame(0));
}

/*
 * Out of frames in the middle of a range: all that was mapped is undone, every table given back.
 *
 *   |   table 1 of the pool ... 7   |  frame 1  |  frame 2  |   X   |
 */
static void test_out_of_frames(void **state)
{
    const uint32_t pages = 13 * 1024; /* 7 tables of the pool, 6 frames */

    (void)state;
    for (uint32_t i = 0; i < 2 * 6; i++) {
        uint32_t nth = 1 + i / 2;

        start(4 * MIB);
        struct snapshot shot = take_snapshot();
        fill_tlb();
        fail_requests(nth, i % 2 == 0);
        assert_int_equal(map_range(AREA, 0, pages, PAGE_WRITE), ERR_NO_MEMORY);
        check_unchanged(&shot);
        check_tlb();
        assert_int_equal(machine.requests, nth);
        for (uint32_t page = 0; page < pages; page++)
            expect_unmapped(AREA + page * PAGE_SIZE);
        fail_requests(0, false);
        assert_int_equal(map_range(AREA, 0, pages, PAGE_WRITE), OK);
        assert_int_equal(machine.allocated_count, 6);
        expect_mapped(AREA + pages * PAGE_SIZE - 1, pages * PAGE_SIZE - 1, PAGE_WRITE, false);
        unmap_range(AREA, pages);
        check_unchanged(&shot);
    }
}

/* A page in the way undoes a range as well, and stays what it was. */
static void test_page_in_the_way(void **state)
{
    (void)state;
    start(4 * MIB);
    assert_int_equal(map_page(AREA + 1500 * PAGE_SIZE, PHYS, PAGE_CACHE_DISABLE), OK);
    struct snapshot shot = take_snapshot();
    assert_int_equal(map_range(AREA, 0, 2000, PAGE_WRITE), ERR_MAPPED);
    check_unchanged(&shot);
    expect_unmapped(AREA + 1499 * PAGE_SIZE);
    expect_mapped(AREA + 1500 * PAGE_SIZE, PHYS, PAGE_CACHE_DISABLE, false);
    assert_int_equal(map_range(AREA + PAGE_SIZE, 0, 1499, 0), OK);
}

/* ---- Ranges ---- */

#define SINGLY 32u /* so many pages of a table are invalidated one by one, more by all at once */

/* What a change of the range has cost: the lock once a table, and as few invalidations. */
static void check_cost(vaddr_t virt, uint32_t pages)
{
    uint32_t tables = 0, whole = 0, singly = 0;

    for (uint32_t part; pages > 0; pages -= part, virt += part * PAGE_SIZE, tables++) {
        part = 1024 - virt / PAGE_SIZE % 1024;
        part = part < pages ? part : pages;
        whole += part > SINGLY;
        singly += part > SINGLY ? 0 : part;
    }
    assert_int_equal(machine.locks, tables);
    assert_int_equal(machine.invalidated_all, whole);
    for (uint32_t page = 0; page < PAGES; page++)
        singly -= machine.invalidated[page];
    assert_int_equal(singly, 0);
}

static void before_change(void)
{
    fill_tlb();
    forget_invalidations();
}

/* What is mapped in the range, and that nothing is beside it. */
static void check_range(vaddr_t virt, uint32_t pages, uint32_t flags)
{
    expect_unmapped(virt - PAGE_SIZE);
    expect_unmapped(virt + pages * PAGE_SIZE);
    for (uint32_t i = 0; i < pages; i++)
        expect_mapped(virt + i * PAGE_SIZE, PHYS + i * PAGE_SIZE, flags, false);
    assert_int_equal(paging_validate(), PAGING_SOUND);
}

/*
 * Ranges that begin and end anywhere in a table:
 *
 *   |   table 0    |   table 1    |   table 2    |
 *         |  ->           range         ->  |
 */
static void test_ranges(void **state)
{
    static const uint32_t starts[] = { 1, 2, 992, 1000, 1023, 1024 };
    static const uint32_t lengths[] = { 1, 2, SINGLY, SINGLY + 1, 1023, 1024, 1025, 3000 };

    (void)state;
    start(4 * MIB);
    struct snapshot shot = take_snapshot();
    for (size_t i = 0; i < ARRAY_SIZE(starts) * ARRAY_SIZE(lengths); i++) {
        vaddr_t virt = AREA + starts[i / ARRAY_SIZE(lengths)] * PAGE_SIZE;
        uint32_t pages = lengths[i % ARRAY_SIZE(lengths)];

        before_change();
        assert_int_equal(map_range(virt, PHYS, pages, PAGE_WRITE | PAGE_LABORATORY), OK);
        check_cost(virt, pages);
        check_tlb();
        check_range(virt, pages, PAGE_WRITE | PAGE_LABORATORY);

        before_change();
        paging_protect(virt, virt + pages * PAGE_SIZE);
        check_cost(virt, pages);
        check_tlb();
        check_range(virt, pages, PAGE_LABORATORY);

        before_change();
        unmap_range(virt, pages);
        check_cost(virt, pages);
        check_tlb();
        check_unchanged(&shot);
    }
}

/* Unmapping only a part leaves the rest and its table. */
static void test_unmap_part(void **state)
{
    (void)state;
    start(4 * MIB);
    assert_int_equal(map_range(AREA, 0, 3000, 0), OK);
    unmap_range(AREA + 500 * PAGE_SIZE, 2000);
    assert_int_equal(paging_table_frames(), 4); /* the middle one went */
    for (uint32_t page = 0; page < 3000; page++) {
        if (page < 500 || page >= 2500)
            expect_mapped(AREA + page * PAGE_SIZE, page * PAGE_SIZE, 0, false);
        else
            expect_unmapped(AREA + page * PAGE_SIZE);
    }
    assert_int_equal(paging_validate(), PAGING_SOUND);
}

/* ---- Pages with frames of their own ---- */

static uint32_t frames_taken(void)
{
    return HIGH_FRAMES - machine.high_left + machine.allocated_count;
}

/* Each page has a frame that no other has; all come back, whole or in pieces. */
static void test_new_pages(void **state)
{
    static bool seen[HIGH_FRAMES];
    vaddr_t virt = AREA + 1000 * PAGE_SIZE;

    (void)state;
    start(4 * MIB);
    struct snapshot shot = take_snapshot();
    for (uint32_t pages = 1; pages <= 2100; pages += pages / 2 + 1) {
        memset(seen, 0, sizeof(seen));
        before_change();
        assert_int_equal(map_new_pages(virt, pages, PAGE_WRITE, OWNER), OK);
        check_cost(virt, pages);
        check_tlb();
        assert_int_equal(frames_taken(), pages);
        for (uint32_t i = 0; i < pages; i++) {
            struct translation to = translate(virt + i * PAGE_SIZE);

            assert_true(to.mapped && to.flags == PAGE_WRITE && pmm_is_allocated((paddr_t)to.phys));
            assert_false(seen[(to.phys - HIGH_BASE) / PAGE_SIZE]);
            seen[(to.phys - HIGH_BASE) / PAGE_SIZE] = true;
        }

        before_change();
        unmap_and_free_pages(virt, pages / 2, OWNER);
        check_tlb();
        assert_int_equal(frames_taken(), pages - pages / 2);
        fill_tlb();
        unmap_and_free_pages(virt + pages / 2 * PAGE_SIZE, pages - pages / 2, OWNER);
        check_tlb();
        check_unchanged(&shot);
    }
}

/*
 * The frames end at the first, the second ... request, be it for a page or for a table: nothing
 * stays mapped, no frame is lost, no table left.
 */
static void test_new_pages_without_frames(void **state)
{
    const uint32_t pages = 120;
    vaddr_t virt = AREA + 990 * PAGE_SIZE;

    (void)state;
    for (uint32_t nth = 1; nth <= pages + 2; nth++) {
        start(32 * MIB); /* all of the pool's tables are taken */
        struct snapshot shot = take_snapshot();
        fill_tlb();
        fail_requests(nth, true);
        assert_int_equal(map_new_pages(virt, pages, PAGE_WRITE, OWNER), ERR_NO_MEMORY);
        check_unchanged(&shot);
        check_tlb();
        fail_requests(0, false);
        assert_int_equal(map_new_pages(virt, pages, PAGE_WRITE, OWNER), OK);
        assert_int_equal(frames_taken(), pages + 2);
    }
    fail_requests(pages + 3, true); /* one more than it takes */
    unmap_and_free_pages(virt, pages, OWNER);
    assert_int_equal(frames_taken(), 0);
    assert_int_equal(map_new_pages(virt, pages, PAGE_WRITE, OWNER), OK);
}

/*
 * A page whose frame has gone leaves nothing in its entry; where there was no frame from the first,
 * one page is invalidated, for the table that is taken away again.
 */
static void test_new_pages_leave_nothing(void **state)
{
    (void)state;
    start(4 * MIB);
    assert_int_equal(map_new_pages(AREA, 2, PAGE_WRITE, OWNER), OK);
    unmap_and_free_pages(AREA, 1, OWNER);
    assert_int_equal(*entry_of(AREA), 0);
    unmap_and_free_pages(AREA + PAGE_SIZE, 1, OWNER);

    before_change();
    machine.high_left = 0;
    fail_requests(1, true);
    assert_int_equal(map_new_pages(AREA, 2, PAGE_WRITE, OWNER), ERR_NO_MEMORY);
    assert_int_equal(machine.invalidations, 1);
    assert_int_equal(paging_table_frames(), 2);
    fail_requests(0, false);
    EXPECT_PANIC("assertion", assert_int_equal(map_new_pages(AREA, 1, 0, FRAME_NOBODY), OK));
    EXPECT_PANIC("assertion", unmap_and_free_pages(AREA, 0, FRAME_NOBODY));
}

/* Errors, and a page in the way: no frame is taken. Where no high frame is left, low ones serve. */
static void test_new_pages_errors(void **state)
{
    (void)state;
    start(4 * MIB);
    assert_int_equal(map_page(AREA + 1500 * PAGE_SIZE, PHYS, 0), OK);
    struct snapshot shot = take_snapshot();
    assert_int_equal(map_new_pages(AREA, 1501, PAGE_WRITE, OWNER), ERR_MAPPED);
    assert_int_equal(map_new_pages(AREA + 1500 * PAGE_SIZE, 1, PAGE_WRITE, OWNER), ERR_MAPPED);
    assert_int_equal(map_new_pages(AREA + 1, 1, PAGE_WRITE, OWNER), ERR_UNALIGNED);
    assert_int_equal(map_new_pages(0, 1, PAGE_WRITE, OWNER), ERR_RANGE);
    assert_int_equal(map_new_pages(AREA, 1, 1u << 7, OWNER), ERR_RANGE);
    assert_int_equal(map_new_pages(0xffffe000, 3, PAGE_WRITE, OWNER), ERR_RANGE);
    assert_int_equal(map_new_pages(AREA, 0, PAGE_WRITE, OWNER), OK);
    check_unchanged(&shot);

    machine.high_left = 0;
    assert_int_equal(map_new_pages(AREA, 3, PAGE_WRITE, OWNER), OK);
    assert_int_equal(machine.allocated_count, shot.frames + 3);
    EXPECT_PANIC("assertion", unmap_and_free_pages(AREA, 4, OWNER));
    unmap_and_free_pages(AREA, 3, OWNER);
    assert_int_equal(machine.allocated_count, shot.frames);
}

/* ---- Protection and large pages ---- */

/* The right to write goes from the mapped pages of [start, end), and from no others. */
static void test_protect(void **state)
{
    (void)state;
    start(4 * MIB);
    assert_int_equal(map_page(AREA, PHYS, PAGE_WRITE | PAGE_LABORATORY), OK);
    forget_invalidations();
    paging_protect(0x100000, 0x103000);
    paging_protect(0x200000, 0x200000);
    paging_protect(4 * MIB - PAGE_SIZE, AREA + 4 * PAGE_SIZE); /* with nothing in between */
    for (uint32_t page = 1; page < 1024; page++) {
        bool taken = (page >= 0x100 && page < 0x103) || page == 1023;

        expect_mapped(page * PAGE_SIZE, page * PAGE_SIZE, taken ? 0 : PAGE_WRITE, false);
        assert_int_equal(machine.invalidated[page], taken);
    }
    expect_mapped(AREA, PHYS, PAGE_LABORATORY, false);
    assert_int_equal(machine.invalidated[AREA / PAGE_SIZE], 1);
    assert_int_equal(machine.invalidated_all, 0);
    assert_int_equal(paging_validate(), PAGING_SOUND);
    before_change();
    paging_protect(0x100000, 0x103000); /* nothing left to be forgotten */
    assert_int_equal(machine.invalidations, 0);
    EXPECT_PANIC("assertion", paging_protect(0x100001, 0x102000));
    EXPECT_PANIC("assertion", paging_protect(0x100000, 0x102001));
}

/*
 * A 4 MiB entry under PSE-36:
 *
 *   31        22 21 20         13 12 11 9 8 7 6 5 4  3  2 1 0
 *   | 31:22     | 0 | 39:32      |P | avl|G|1|D|A|CD|WT|U|W|1|
 */
static void test_large_pages(void **state)
{
    (void)state;
    start(4 * MIB);
    struct snapshot shot = take_snapshot();

    assert_int_equal(map_large_page(AREA, 0xab12400000, PAGE_WRITE | PAGE_CACHE_DISABLE), OK);
    assert_int_equal(machine.directory[AREA / LARGE_PAGE_SIZE],
                     0x12400000u | 0xabu << 13 | 1u << 7 | 1u << 4 | 1u << 1 | 1u);
    assert_int_equal(machine.invalidated[AREA / PAGE_SIZE], 1);
    expect_mapped(AREA + 0x3fffff, 0xab127fffff, PAGE_WRITE | PAGE_CACHE_DISABLE, true);
    assert_int_equal(paging_table_frames(), shot.tables);
    assert_false(paging_owns_frame(0x12400000));
    assert_int_equal(map_large_page(AREA, 0, 0), ERR_MAPPED);
    assert_int_equal(unmap_large_page(AREA), OK);
    assert_int_equal(machine.invalidated[AREA / PAGE_SIZE], 2);
    assert_int_equal(unmap_large_page(AREA), ERR_NOT_MAPPED);

    for (uint32_t bit = 22; bit < 40; bit++) {
        assert_int_equal(map_large_page(AREA, 1ull << bit, 0), OK);
        expect_mapped(AREA + 5, (1ull << bit) + 5, 0, true);
        assert_int_equal(unmap_large_page(AREA), OK);
    }
    machine.directory[AREA / LARGE_PAGE_SIZE] = 1u << 7; /* not present, whatever else it says */
    expect_unmapped(AREA);
    assert_int_equal(unmap_large_page(AREA), ERR_NOT_MAPPED);
    machine.directory[AREA / LARGE_PAGE_SIZE] = 0;
    assert_int_equal(map_large_page(AREA, 1ull << 40, 0), ERR_RANGE);
    assert_int_equal(map_large_page(AREA, UINT64_MAX - 0x3fffff, 0), ERR_RANGE);
    assert_int_equal(map_large_page(0, 1ull << 32, 0), ERR_RANGE);
    assert_int_equal(map_large_page(AREA, 1ull << 32, 1u << 7), ERR_RANGE);
    assert_int_equal(map_large_page(AREA + PAGE_SIZE, 1ull << 32, 0), ERR_UNALIGNED);
    assert_int_equal(map_large_page(AREA, (1ull << 32) + PAGE_SIZE, 0), ERR_UNALIGNED);
    assert_int_equal(unmap_large_page(AREA + PAGE_SIZE), ERR_UNALIGNED);

    assert_int_equal(map_page(AREA + 7 * PAGE_SIZE, PHYS, 0), OK);
    assert_int_equal(map_large_page(AREA, 1ull << 32, 0), ERR_MAPPED); /* a table is there */
    assert_int_equal(unmap_large_page(AREA), ERR_NOT_MAPPED);
    assert_int_equal(unmap_page(AREA + 7 * PAGE_SIZE), OK);
    check_unchanged(&shot);
}

/* The lowest 4 MiB belong to page 0 and what is next to it; large pages begin behind them. */
static void test_lowest_large_page(void **state)
{
    (void)state;
    start(2 * PAGE_SIZE);
    assert_int_equal(map_large_page(0, 1ull << 32, 0), ERR_RANGE);
    assert_int_equal(map_large_page(LARGE_PAGE_SIZE, 1ull << 32, 0), OK);
    assert_int_equal(unmap_large_page(LARGE_PAGE_SIZE), OK);
}

static void expect_next(vaddr_t from, vaddr_t virt, paddr64_t phys, bool large)
{
    struct mapped_page page;

    assert_true(paging_next_page(from, &page));
    assert_int_equal(page.virt, virt);
    assert_true(page.to.mapped);
    assert_true(page.to.phys == phys);
    assert_int_equal(page.to.large, large);
}

/* From page to page, over empty tables' worth of addresses, up to the last page of all. */
static void test_next_page(void **state)
{
    struct mapped_page page;

    (void)state;
    start(2 * PAGE_SIZE);
    expect_next(0, PAGE_SIZE, PAGE_SIZE, false);
    assert_false(paging_next_page(2 * PAGE_SIZE, &page));
    assert_int_equal(map_page(AREA + 1023 * PAGE_SIZE, PHYS, 0), OK);
    assert_int_equal(map_large_page(AREA + LARGE_PAGE_SIZE, 1ull << 32, 0), OK);
    assert_int_equal(map_page(0xfffff000, PHYS, 0), OK);
    expect_next(2 * PAGE_SIZE, AREA + 1023 * PAGE_SIZE, PHYS, false);
    expect_next(AREA - PAGE_SIZE, AREA + 1023 * PAGE_SIZE, PHYS, false);
    expect_next(AREA + LARGE_PAGE_SIZE, AREA + LARGE_PAGE_SIZE, 1ull << 32, true);
    expect_next(AREA + 2 * LARGE_PAGE_SIZE, 0xfffff000, PHYS, false);
    expect_next(0xfffff000, 0xfffff000, PHYS, false);
    expect_next(0xffffffff, 0xffffffff, PHYS + 0xfff, false);
    assert_int_equal(unmap_page(0xfffff000), OK);
    assert_false(paging_next_page(AREA + 2 * LARGE_PAGE_SIZE, &page));
    assert_false(paging_next_page(0xfffff000, &page));
}

/* ---- The validator ---- */

static void expect_fault(enum paging_fault fault)
{
    assert_int_equal(paging_validate(), fault);
    start(36 * MIB); /* the pool and one frame */
    assert_int_equal(map_page(AREA, PHYS, 0), OK);
}

/* It finds each kind of damage and calls it by its name. */
static void test_validator(void **state)
{
    static uint32_t empty[1024] __attribute__((aligned(PAGE_SIZE)));

    (void)state;
    start(4 * MIB);
    *entry_of(0) = PHYS | 1; /* in the only table */
    expect_fault(PAGING_PAGE_0);
    expect_fault(PAGING_SOUND);
    *entry_of(0) = PHYS | 1;
    expect_fault(PAGING_PAGE_0);
    *entry_of(AREA + PAGE_SIZE) = PHYS | 1;
    expect_fault(PAGING_ENTRY_COUNT);
    *entry_of(AREA) = 0;
    expect_fault(PAGING_ENTRY_COUNT);
    *entry_of(5 * PAGE_SIZE) = 0;
    expect_fault(PAGING_ENTRY_COUNT);
    machine.directory[900] = (uint32_t)(vaddr_t)empty | 3;
    expect_fault(PAGING_EMPTY_TABLE);
    machine.directory[AREA / LARGE_PAGE_SIZE] = 0;
    expect_fault(PAGING_TABLE_COUNT);
    machine.directory[AREA / LARGE_PAGE_SIZE] |= 1u << 7;
    expect_fault(PAGING_TABLE_COUNT);
    memcpy(empty, table_of(AREA), PAGE_SIZE);
    machine.directory[AREA / LARGE_PAGE_SIZE] = (uint32_t)(vaddr_t)empty | 3;
    expect_fault(PAGING_TABLE_FRAME);
    *entry_of(7 * MIB) = (7 * MIB + PAGE_SIZE) | 3;
    expect_fault(PAGING_IDENTITY);
}

/* ---- Against a model ---- */

#define AREAS      16u
#define AREA_PAGES 8u

struct model_page {
    bool mapped;
    paddr_t phys;
    uint32_t flags;
};

static struct model_page model[AREAS][AREA_PAGES];

static vaddr_t model_address(uint32_t area, uint32_t page)
{
    return AREA + area * LARGE_PAGE_SIZE + (page < 4 ? page : 1024 - page) * PAGE_SIZE;
}

static uint32_t model_tables(void)
{
    uint32_t tables = 0;

    for (uint32_t area = 0; area < AREAS; area++) {
        bool any = false;
        for (uint32_t page = 0; page < AREA_PAGES; page++)
            any = any || model[area][page].mapped;
        tables += any;
    }
    return tables;
}

static void check_model(void)
{
    for (uint32_t area = 0; area < AREAS; area++) {
        for (uint32_t page = 0; page < AREA_PAGES; page++) {
            struct model_page *p = &model[area][page];
            vaddr_t virt = model_address(area, page);

            if (p->mapped)
                expect_mapped(virt + 1, p->phys + 1, p->flags, false);
            else
                expect_unmapped(virt);
        }
    }
}

/* What a call must answer, with or without a frame to be had for a table. */
static int expected_error(const struct model_page *page, bool new_table, bool starved)
{
    if (page->mapped)
        return ERR_MAPPED;
    return new_table && starved ? ERR_NO_MEMORY : OK;
}

/* Random pages in more areas than the pool has tables; every fourth step has no frames. */
static void test_random_operations(void **state)
{
    struct prng prng = { 32 };

    (void)state;
    start(4 * MIB);
    memset(model, 0, sizeof(model));
    for (uint32_t round = 0; round < test_rounds(40000); round++) {
        uint32_t area = prng_below(&prng, AREAS), page = prng_below(&prng, AREA_PAGES);
        vaddr_t virt = model_address(area, page);
        struct model_page *p = &model[area][page];
        bool mapping = prng_below(&prng, 8) < (round / 2000 % 2 == 0 ? 5 : 2);

        fail_requests(prng_once_in(&prng, 4), true);
        if (mapping) {
            struct model_page new = { true, prng_next(&prng) & PAGE_MASK,
                                      prng_next(&prng) & PAGE_FLAGS };
            bool in_pool =
                paging_table_frames() - 1 - machine.allocated_count < MAX_BOOTSTRAP_TABLES;
            int error = expected_error(p, table_of(virt) == NULL && !in_pool, machine.fail_at);

            assert_int_equal(map_page(virt, new.phys, new.flags), error);
            if (error == OK)
                *p = new;
        } else {
            assert_int_equal(unmap_page(virt), p->mapped ? OK : ERR_NOT_MAPPED);
            p->mapped = false;
        }
        assert_int_equal(paging_validate(), PAGING_SOUND);
        assert_int_equal(paging_table_frames(), 2 + model_tables());
        if (round % 16 == 0)
            check_model();
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_identity_without_memory),
        cmocka_unit_test(test_map_and_unmap),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_identity_keeps_tables),
        cmocka_unit_test(test_lowest_large_page),
        cmocka_unit_test(test_new_pages_leave_nothing),
        cmocka_unit_test(test_behind_the_identity),
        cmocka_unit_test(test_starved_table),
        cmocka_unit_test(test_owned_frames),
        cmocka_unit_test(test_out_of_frames),
        cmocka_unit_test(test_page_in_the_way),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_unmap_part),
        cmocka_unit_test(test_new_pages),
        cmocka_unit_test(test_new_pages_without_frames),
        cmocka_unit_test(test_new_pages_errors),
        cmocka_unit_test(test_protect),
        cmocka_unit_test(test_large_pages),
        cmocka_unit_test(test_next_page),
        cmocka_unit_test(test_validator),
        cmocka_unit_test(test_random_operations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
