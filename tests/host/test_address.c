/*
 * What an address belongs to: on the real page tables, the real heap and the real windows, with
 * stacks, symbols and the image's borders made up.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <address.h>
#include <error.h>
#include <heap.h>
#include <log.h>
#include <mem/mmu.h>
#include <mem/paging.h>
#include <mem/pmm.h>
#include <mem/window.h>
#include <sched/thread.h>
#include <symbols.h>
#include <x86/probe.h>
#include "heap_arena.h"
#include "mem/first_fit.h"
#include "mem/layout.h"
#include "mem/page_table.h"

#define AREA                  0xb0000000u

/* ---- The image: where a small kernel would have it ---- */

#define BORDER(name, address) __asm__(".globl " #name "\n.set " #name ", " #address)

BORDER(_kernel_start, 0x100000);
BORDER(_text_start, 0x100000);
BORDER(_text_end, 0x102000);
BORDER(_rodata_start, 0x102000);
BORDER(_rodata_end, 0x103000);
BORDER(_bss_start, 0x104000);
BORDER(_kernel_end, 0x105000);

bool symbol_find(uint32_t address, const char **name, uint32_t *offset)
{
    *name = "function";
    *offset = address - 0x101000;
    return address >= 0x101000 && address < 0x102000;
}

bool symbol_line(uint32_t address, const char **file, uint32_t *line)
{
    *file = "kernel/file.c";
    *line = address - 0x101000;
    return address < 0x101800;
}

/* The last 16 bytes of each page. */
bool symbol_find_variable(uint32_t address, const char **name, uint32_t *offset)
{
    *name = "thing";
    *offset = address % PAGE_SIZE - 0xff0;
    return *offset < 16;
}

/* ---- The machine ---- */

#define FRAMES 64u

static uint8_t ram[FRAMES][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static uint32_t frames_taken;
static const void *unreadable; /* a page that probes find absent */

void *phys_to_virt(paddr_t phys)
{
    return phys < FRAMES * PAGE_SIZE ? ram[phys / PAGE_SIZE] : (void *)phys;
}

paddr_t virt_to_phys(const void *virt)
{
    return (paddr_t)(vaddr_t)virt;
}

bool probe_read(const uint32_t *address, uint32_t *value)
{
    if (((vaddr_t)address & PAGE_MASK) == (vaddr_t)unreadable)
        return false;
    *value = *address;
    return true;
}

void mmu_invalidate_page(vaddr_t virt)
{
    (void)virt;
}

void mmu_invalidate_all(void)
{
}

void mmu_enable(paddr_t directory)
{
    (void)directory;
}

uint32_t mmu_lock(void)
{
    return 0;
}

void mmu_unlock(uint32_t state)
{
    (void)state;
}

paddr_t pmm_alloc_frame_for(enum frame_owner owner UNUSED)
{
    return ++frames_taken < FRAMES ? frames_taken * PAGE_SIZE : 0;
}

paddr_t pmm_alloc_frame_high_for(enum frame_owner owner)
{
    return pmm_alloc_frame_for(owner);
}

void pmm_free_frame_of(enum frame_owner owner UNUSED, paddr_t phys)
{
    (void)phys;
}

bool pmm_is_allocated(paddr_t phys)
{
    return phys / PAGE_SIZE <= frames_taken;
}

enum frame_owner pmm_owner(paddr_t phys)
{
    return phys == 0x200000 ? FRAME_LABORATORY : FRAME_NOBODY;
}

const char *frame_owner_text(enum frame_owner owner)
{
    return owner == FRAME_LABORATORY ? "laboratory" : "?";
}

/* One stack, of "shell", in the first place. */
enum stack_part thread_stack_at(vaddr_t address, struct thread_stack *stack)
{
    if (address < STACKS_BASE || address >= STACKS_END)
        return STACK_NONE;
    if (address >= STACKS_BASE + STACK_SLOT_SIZE)
        return STACK_UNUSED;
    snprintf(stack->name, sizeof(stack->name), "shell");
    stack->end = STACKS_BASE + STACK_SLOT_SIZE;
    return address < STACKS_BASE + PAGE_SIZE ? STACK_GUARD : STACK_OWNED;
}

void kprintf(const char *format, ...)
{
    (void)format;
    fail();
}

/* ---- Small helpers ---- */

static struct address_text text;

static void expect_what(vaddr_t address, const char *what)
{
    memset(&text, '?', sizeof(text));
    address_describe(address, &text);
    assert_string_equal(text.what, what);
}

/* A heap, whose open pages are mapped, and nothing else but the identity mapping. */
static void start(void)
{
    frames_taken = 0;
    unreadable = NULL;
    paging_init(8 * MIB);
    window_init(40, true);
    reset(MIB);
    assert_int_equal(map_range(HEAP_BASE, 0, HEAP_FIRST_PAGES, PAGE_WRITE), OK);
}

/* ---- Tests ---- */

static void test_regions(void **state)
{
    (void)state;
    start();

    expect_what(0, "page 0, which is never mapped: NULL and what lies near it");
    expect_what(0xfff, "page 0, which is never mapped: NULL and what lies near it");
    expect_what(0x1000, "low memory, which belongs to firmware");
    expect_what(0xa0000, "VGA memory");
    expect_what(0xbffff, "VGA memory");
    expect_what(0xc0000, "low memory, which belongs to firmware");
    expect_what(0x100fff, "kernel text: ?+0x0");
    expect_what(0x101010, "kernel text: function+0x10 kernel/file.c:16");
    expect_what(0x101fff, "kernel text: function+0xfff");
    expect_what(0x102000, "kernel read-only data");
    expect_what(0x102ff0, "kernel read-only data: constant thing+0x0");
    expect_what(0x103000, "kernel data");
    expect_what(0x103fff, "kernel data: variable thing+0xf");
    expect_what(0x104000, "kernel data that is zero at start (.bss)");
    expect_what(0x104fff, "kernel data that is zero at start (.bss): variable thing+0xf");
    expect_what(0x105000, "RAM by identity mapping: a free or reserved frame");
    expect_what(0x200123, "RAM by identity mapping: a frame, its owner: laboratory");
    expect_what(8 * MIB, "nothing");
    expect_what(HEAP_INDEX_BASE, "the heap's index, not mapped yet");
    expect_what(WINDOWS_BASE, "room for windows: there is none here");
    expect_what(SHADOW_BASE, "room that is kept for the checking build's shadow memory");
    expect_what(SHADOW_END, "nothing");
    expect_what(UINT32_MAX, "nothing");
}

static void test_tables(void **state)
{
    char what[64];

    (void)state;
    start();
    expect_what((vaddr_t)page_directory + 4, "page directory: the entry for 0x00400000");
    snprintf(what, sizeof(what), "page table: the entry for 0x%08x", 0x401000);
    expect_what((page_directory[1] & PAGE_MASK) + 4, what);
}

static void test_stacks(void **state)
{
    (void)state;
    start();
    expect_what(STACKS_BASE, "guard page below the stack of thread shell");
    expect_what(STACKS_BASE + PAGE_SIZE, "stack of thread shell, 16384 bytes below its end");
    expect_what(STACKS_BASE + STACK_SLOT_SIZE, "room for stacks: no thread has this one");
}

static void test_windows(void **state)
{
    (void)state;
    start();
    vaddr_t window = (vaddr_t)map_window(0xfd000123, 100, WINDOW_DEVICE);

    assert_int_equal(window, WINDOWS_BASE + 0x123);
    expect_what(WINDOWS_BASE, "window onto a device or memory, 0x40000000 - 0x40000fff");
    expect_what(WINDOWS_BASE + 0xfff, "window onto a device or memory, 0x40000000 - 0x40000fff");
    assert_string_equal(text.table, "table[0] 0xfd00001b: present, writable, write-through, "
                                    "not cached, frame 0xfd000000");
    expect_what(WINDOWS_BASE + 0x1000, "room for windows: there is none here");
    unmap_window((void *)window);
    expect_what(WINDOWS_BASE, "room for windows: there is none here");
}

/*
 *   h a a a h b b b h c c c ...    each block 104 bytes with its head h; b is free
 */
static void test_blocks(void **state)
{
    (void)state;
    start();
    void *a = kmalloc(100), *b = kmalloc(100), *c = kmalloc(100);

    assert_int_equal((vaddr_t)a, HEAP_BASE + 8);
    kfree(b);
    expect_what(HEAP_BASE, "heap: the word before its first block");
    expect_what(HEAP_BASE + 4, "heap: the head of the block at 0x18000008, 104 bytes, used");
    expect_what(HEAP_BASE + 8, "heap: byte 0 of the block at 0x18000008, 104 bytes, used");
    expect_what((vaddr_t)a + 99, "heap: byte 99 of the block at 0x18000008, 104 bytes, used");
    expect_what((vaddr_t)b - 4, "heap: the head of the block at 0x18000070, 104 bytes, free");
    expect_what((vaddr_t)b, "heap: byte 0 of the block at 0x18000070, 104 bytes, free");
    expect_what((vaddr_t)c + 1, "heap: byte 1 of the block at 0x180000d8, 104 bytes, used");
    expect_what((vaddr_t)c + 100, "heap: free, the rest from 0x18000140 on, behind the last block");
    expect_what(HEAP_BASE + FIRST_BYTES, "heap: not mapped yet, the heap ends at 0x18004000");
    expect_what(HEAP_BASE + HEAP_MAX - 1, "heap: not mapped yet, the heap ends at 0x18004000");
}

static void test_a_broken_heap(void **state)
{
    static const char *const broken = "heap, whose own figures are broken: no block can be named";
    struct first_fit sound;

    (void)state;
    start();
    void *a = kmalloc(100), *b = kmalloc(100);

    expect_what((vaddr_t)b, "heap: byte 0 of the block at 0x18000070, 104 bytes, used");
    uint32_t head = *word(4);
    *word(4) = 0x41414141;
    expect_what((vaddr_t)a, "heap: the head of the block at 0x18000008 is smashed, and hides it");
    expect_what((vaddr_t)b, "heap: the head of the block at 0x18000008 is smashed, and hides it");
    *word(4) = head;

    sound = first_fit;
    first_fit.top = HEAP_BASE + HEAP_MAX;
    expect_what((vaddr_t)b, broken);
    first_fit = sound;
    first_fit.mapped += PAGE_SIZE; /* a page that is not there */
    expect_what((vaddr_t)b, broken);
    first_fit = sound;
    first_fit.base = 0;
    expect_what((vaddr_t)b, broken);
    first_fit = sound;
}

static void test_entries(void **state)
{
    (void)state;
    start();
    assert_int_equal(map_page(AREA, 0x123000, 0), OK);
    entry_t *entry = table_entry(AREA);
    char directory[ADDRESS_TEXT_MAX];

    snprintf(directory, sizeof(directory), "directory[704] 0x%08x: present, writable, table 0x%08x",
             page_directory[704], page_directory[704] & PAGE_MASK);
    expect_what(AREA + 4, "nothing of the kernel's: mapped in the memory laboratory");
    assert_string_equal(text.directory, directory);
    assert_string_equal(text.table, "table[0] 0x00123001: present, read-only, frame 0x00123000");

    *entry |= 0x66; /* writable, user, accessed, dirty */
    expect_what(AREA, "nothing of the kernel's: mapped in the memory laboratory");
    assert_string_equal(text.table, "table[0] 0x00123067: present, writable, user, accessed, "
                                    "dirty, frame 0x00123000");
    *entry = 0x123066; /* what is left of it when it is not present means nothing */
    expect_what(AREA, "nothing");
    assert_string_equal(text.table, "table[0] 0x00123066: not present");

    expect_what(SHADOW_END, "nothing");
    assert_string_equal(text.directory, "directory[640] 0x00000000: not present");
    assert_string_equal(text.table, "");
}

static void test_a_large_page(void **state)
{
    (void)state;
    start();
    assert_int_equal(map_large_page(AREA, 0x12fd000000, PAGE_WRITE), OK);
    expect_what(AREA + 0x3fffff, "nothing of the kernel's: mapped in the memory laboratory");
    assert_string_equal(text.directory,
                        "directory[704] 0xfd024083: present, writable, 4 MiB at 0x12fd000000");
    assert_string_equal(text.table, "");
}

/* The directory's entry is garbage: it leads to where nothing can be read. */
static void test_a_table_that_is_not_there(void **state)
{
    (void)state;
    start();
    page_directory[704] = 0x66666003;
    unreadable = (const void *)0x66666000;
    expect_what(AREA, "nothing");
    assert_string_equal(text.directory,
                        "directory[704] 0x66666003: present, writable, table 0x66666000");
    assert_string_equal(text.table, "table: it cannot be read");
}

static void test_code(void **state)
{
    char place[64];

    (void)state;
    address_format_code(place, sizeof(place), 0x101010, false);
    assert_string_equal(place, "function+0x10 kernel/file.c:16");
    address_format_code(place, sizeof(place), 0x101010, true); /* the call before it */
    assert_string_equal(place, "function+0x10 kernel/file.c:15");
    address_format_code(place, sizeof(place), 0x102000, true); /* a call that never returns */
    assert_string_equal(place, "function+0x1000");
    address_format_code(place, sizeof(place), 0x90000000, false);
    assert_string_equal(place, "?+0x0");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_regions),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_stacks),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_a_broken_heap),
        cmocka_unit_test(test_entries),
        cmocka_unit_test(test_a_large_page),
        cmocka_unit_test(test_a_table_that_is_not_there),
        cmocka_unit_test(test_code),
    };

    return cmocka_run_group_tests(tests, open_arena, NULL);
}
