/*
 * What an address belongs to.
 *
 * The map of the address space (mem/layout.h) decides whose an address may be; what that part of
 * the kernel keeps of it says the rest. Page tables and heap are read by probes or after every page
 * of them was found to be mapped: who asks may have found them broken.
 */
#include <address.h>
#include "address_heap.h"
#include "mem/layout.h"
#include "mem/page_table.h"
#include <lib/printf.h>
#include <log.h>
#include <mem/paging.h>
#include <mem/pmm.h>
#include <mem/sections.h>
#include <mem/window.h>
#include <sched/thread.h>
#include <symbols.h>
#include <x86/probe.h>

#define SIZE ADDRESS_TEXT_MAX

static bool within(vaddr_t address, const char *start, const char *end)
{
    return address >= (vaddr_t)start && address < (vaddr_t)end;
}

/* ---- Page tables ---- */

/* Bits of both kinds of entry. Intel SDM vol 3, "32-Bit Paging", formats of the entries. */
#define ENTRY_USER     (1u << 2)
#define ENTRY_ACCESSED (1u << 5)
#define ENTRY_DIRTY    (1u << 6)

/* The entries that lead to an address, as the CPU would read them. */
struct entries {
    entry_t directory, table;
    bool has_table; /* the directory's entry leads to one, and it can be read */
};

/* Also the checking build's tables, which is_table() leaves to it. */
static bool leads_to_table(entry_t directory)
{
    return (directory & (ENTRY_PRESENT | ENTRY_LARGE)) == ENTRY_PRESENT;
}

static struct entries entries_of(vaddr_t address)
{
    struct entries entries = { *directory_entry(address), 0, false };

    if (leads_to_table(entries.directory)) {
        const entry_t *table = phys_to_virt(entries.directory & PAGE_MASK);
        entries.has_table = probe_read(&table[table_index(address)], &entries.table);
    }
    return entries;
}

bool address_is_present(vaddr_t address)
{
    struct entries entries = entries_of(address);

    if (leads_to_table(entries.directory))
        return entries.has_table && (entries.table & ENTRY_PRESENT);
    return entries.directory & ENTRY_PRESENT;
}

/* The flags in words, and where the entry leads. */
static void format_entry(char *text, const char *name, uint32_t index, entry_t entry,
                         const char *target, paddr64_t phys)
{
    if (!(entry & ENTRY_PRESENT)) {
        ksnprintf(text, SIZE, "%s[%u] 0x%08x: not present", name, index, entry);
        return;
    }
    ksnprintf(text, SIZE, "%s[%u] 0x%08x: present, %s%s%s%s%s%s, %s 0x%08llx", name, index, entry,
              entry & PAGE_WRITE ? "writable" : "read-only", entry & ENTRY_USER ? ", user" : "",
              entry & PAGE_WRITE_THROUGH ? ", write-through" : "",
              entry & PAGE_CACHE_DISABLE ? ", not cached" : "",
              entry & ENTRY_ACCESSED ? ", accessed" : "", entry & ENTRY_DIRTY ? ", dirty" : "",
              target, phys);
}

static void describe_entries(vaddr_t address, struct address_text *text)
{
    struct entries entries = entries_of(address);
    bool large = (entries.directory & ENTRY_PRESENT) && !leads_to_table(entries.directory);
    paddr64_t target = entries.directory & PAGE_MASK;

    text->table[0] = '\0';
    if (!paging_enabled()) {
        ksnprintf(text->directory, SIZE, "paging is off: every address is its own");
        return;
    }
    if (large)
        target = translate(address).phys - address % LARGE_PAGE_SIZE;
    format_entry(text->directory, "directory", directory_index(address), entries.directory,
                 large ? "4 MiB at" : "table", target);
    if (entries.has_table)
        format_entry(text->table, "table", table_index(address), entries.table, "frame",
                     entries.table & PAGE_MASK);
    else if (leads_to_table(entries.directory))
        ksnprintf(text->table, SIZE, "table: it cannot be read");
}

/* ---- Stacks ---- */

/* False if the address is no stack's. */
static bool describe_stack(vaddr_t address, char *text)
{
    struct thread_stack stack;

    switch (thread_stack_at(address, &stack)) {
    case STACK_NONE:
        return false;
    case STACK_GUARD:
        ksnprintf(text, SIZE, "guard page below the stack of thread %s", stack.name);
        break;
    case STACK_OWNED:
        ksnprintf(text, SIZE, "stack of thread %s, %u bytes below its end", stack.name,
                  (uint32_t)(stack.end - address));
        break;
    case STACK_UNUSED:
        ksnprintf(text, SIZE, "room for stacks: no thread has this one");
        break;
    }
    return true;
}

/* ---- The kernel's image, and what is identity-mapped ---- */

static bool describe_table(vaddr_t address, char *text)
{
    paddr_t page = (paddr_t)address & PAGE_MASK;

    if (page == virt_to_phys(page_directory)) {
        ksnprintf(text, SIZE, "page directory: the entry for 0x%08x",
                  (uint32_t)(address - page) / 4 * LARGE_PAGE_SIZE);
        return true;
    }
    for (uint32_t i = 0; i < ENTRIES; i++) {
        if (is_table(page_directory[i]) && (page_directory[i] & PAGE_MASK) == page) {
            ksnprintf(text, SIZE, "page table: the entry for 0x%08x",
                      i * LARGE_PAGE_SIZE + (uint32_t)(address - page) / 4 * PAGE_SIZE);
            return true;
        }
    }
    return false;
}

static void describe_data(vaddr_t address, const char *section, const char *kind, char *text)
{
    const char *name;
    uint32_t offset;

    if (symbol_find_variable((uint32_t)address, &name, &offset))
        ksnprintf(text, SIZE, "%s: %s %s+0x%x", section, kind, name, offset);
    else
        ksnprintf(text, SIZE, "%s", section);
}

static void describe_image(vaddr_t address, char *text)
{
    if (within(address, _text_start, _text_end)) {
        char place[SIZE - 16];
        address_format_code(place, sizeof(place), (uint32_t)address, false);
        ksnprintf(text, SIZE, "kernel text: %s", place);
    } else if (within(address, _rodata_start, _rodata_end)) {
        describe_data(address, "kernel read-only data", "constant", text);
    } else if (within(address, _rodata_end, _bss_start)) {
        describe_data(address, "kernel data", "variable", text);
    } else {
        describe_data(address, "kernel data that is zero at start (.bss)", "variable", text);
    }
}

/* An address of the identity mapping that is neither the image's nor a page table's. */
static void describe_memory(vaddr_t address, char *text)
{
    enum frame_owner owner = pmm_owner((paddr_t)address & PAGE_MASK);

    if (address >= VGA_MEMORY_START && address < VGA_MEMORY_END)
        ksnprintf(text, SIZE, "VGA memory");
    else if (address < LOW_MEMORY_END)
        ksnprintf(text, SIZE, "low memory, which belongs to firmware");
    else if (owner != FRAME_NOBODY && owner < FRAME_OWNERS)
        ksnprintf(text, SIZE, "RAM by identity mapping: a frame, its owner: %s",
                  frame_owner_text(owner));
    else
        ksnprintf(text, SIZE, "RAM by identity mapping: a free or reserved frame");
}

/* ---- All of it ---- */

static bool describe_window(vaddr_t address, char *text)
{
    vaddr_t start, end;

    if (!window_find(address, &start, &end))
        return false;
    ksnprintf(text, SIZE, "window onto a device or memory, 0x%08x - 0x%08x", (uint32_t)start,
              (uint32_t)end - 1);
    return true;
}

/* Only the checking build has it. */
static bool describe_shadow(vaddr_t address, char *text)
{
    if (address < SHADOW_BASE || address >= SHADOW_END || !address_is_present(address))
        return false;
    ksnprintf(text, SIZE, "shadow memory: what may be touched of the 8 bytes at 0x%08x",
              (uint32_t)(address - SHADOW_BASE) << SHADOW_SHIFT);
    return true;
}

/* Between the parts of the address space that have an owner. */
static const char *nobodys(vaddr_t address)
{
    if (address >= WINDOWS_BASE && address < WINDOWS_END)
        return "room for windows: there is none here";
    if (address >= SHADOW_BASE && address < SHADOW_END)
        return "room that is kept for the checking build's shadow memory";
    if (address_is_present(address))
        return "nothing of the kernel's: mapped in the memory laboratory";
    return "nothing";
}

static void describe_what(vaddr_t address, struct address_text *out)
{
    char *text = out->what;

    if (address < PAGE_SIZE)
        ksnprintf(text, SIZE, "page 0, which is never mapped: NULL and what lies near it");
    else if (describe_stack(address, text) || describe_table(address, text))
        return;
    else if (within(address, _kernel_start, _kernel_end))
        describe_image(address, text);
    else if (!paging_enabled())
        ksnprintf(text, SIZE, "physical memory, or none");
    else if (address < paging_identity_end())
        describe_memory(address, text);
    else if (address >= HEAP_BASE && address < HEAP_BASE + HEAP_MAX)
        address_describe_heap(address, out);
    else if (address >= HEAP_INDEX_BASE && address < HEAP_INDEX_END)
        ksnprintf(text, SIZE, "the heap's index%s",
                  address_is_present(address) ? "" : ", not mapped yet");
    else if (!describe_window(address, text) && !describe_shadow(address, text))
        ksnprintf(text, SIZE, "%s", nobodys(address));
}

void address_describe(vaddr_t address, struct address_text *text)
{
    text->allocated[0] = text->freed[0] = '\0';
    describe_what(address, text);
    describe_entries(address, text);
}

void address_print(vaddr_t address, const struct address_text *text)
{
    kprintf("0x%08x: %s\n", (uint32_t)address, text->what);
    if (text->allocated[0] != '\0')
        kprintf("%s\n", text->allocated);
    if (text->freed[0] != '\0')
        kprintf("%s\n", text->freed);
    kprintf("%s\n", text->directory);
    if (text->table[0] != '\0')
        kprintf("%s\n", text->table);
}

void address_format_code(char *text, size_t size, uint32_t address, bool is_return_address)
{
    const char *name, *file;
    uint32_t offset, line;
    uint32_t inside = address - is_return_address; /* after a call that never returns it matters */

    if (!symbol_find(inside, &name, &offset))
        ksnprintf(text, size, "?+0x0");
    else if (!symbol_line(inside, &file, &line))
        ksnprintf(text, size, "%s+0x%x", name, offset + is_return_address);
    else
        ksnprintf(text, size, "%s+0x%x %s:%u", name, offset + is_return_address, file, line);
}
