/*
 * What an address belongs to.
 *
 * The map of the address space (mem/layout.h) decides whose an address may be; what that part of
 * the kernel keeps of it says the rest. Page tables and heap are read by probes or after every page
 * of them was found to be mapped: who asks may have found them broken.
 */
#include <address.h>
#include "mem/first_fit.h"
#include "mem/guard.h"
#include "mem/heap_walk.h"
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

static struct entries entries_of(vaddr_t address)
{
    struct entries entries = { *directory_entry(address), 0, false };

    if (is_table(entries.directory)) {
        const entry_t *table = phys_to_virt(entries.directory & PAGE_MASK);
        entries.has_table = probe_read(&table[table_index(address)], &entries.table);
    }
    return entries;
}

static bool is_present(vaddr_t address)
{
    struct entries entries = entries_of(address);

    if (is_table(entries.directory))
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
    bool large = (entries.directory & ENTRY_PRESENT) && !is_table(entries.directory);
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
    else if (is_table(entries.directory))
        ksnprintf(text->table, SIZE, "table: it cannot be read");
}

/* ---- The heap ---- */

/* Whether the heap's figures are possible and all its pages are there: then it can be walked. */
static bool heap_can_be_walked(void)
{
    if (first_fit.base != HEAP_BASE || first_fit.end > HEAP_BASE + HEAP_MAX ||
        first_fit.mapped > first_fit.end || first_fit.top > first_fit.mapped ||
        first_fit.start != first_fit.base + HEAP_HEAD || first_fit.top < first_fit.start)
        return false;
    for (vaddr_t page = first_fit.base; page < first_fit.mapped; page += PAGE_SIZE) {
        if (!is_present(page))
            return false;
    }
    return true;
}

/* The block that holds the address, its head included; false where a smashed head is in the way. */
static bool find_block(vaddr_t address, struct heap_block *block)
{
    *block = (struct heap_block){ 0, 0, HEAP_FREE };
    while (heap_walk_next(block->payload + block->size, block)) {
        if (block->kind == HEAP_TOP || address < block->payload + block->size - HEAP_HEAD)
            return true;
    }
    return false;
}

/* "allocated by F", if the word may be a return address in the kernel's text. */
static void describe_caller(const char *verb, uint32_t caller, char *text)
{
    char place[SIZE - 16];

    if (!within(caller, _text_start, _text_end))
        return;
    address_format_code(place, sizeof(place), caller, true);
    ksnprintf(text, SIZE, "%s by %s", verb, place);
}

/* What the guard of something in `room` bytes tells; it is still there after an object is freed. */
static void describe_guard(vaddr_t payload, size_t room, struct address_text *text)
{
    size_t size;

    if (guard_tells_size(payload, room, &size))
        describe_caller("allocated", (uint32_t)guard_owner(payload, room), text->allocated);
}

static void describe_object(vaddr_t address, const struct heap_object *object,
                            struct address_text *text)
{
    ksnprintf(text->what, SIZE, "heap: byte %u of the object at 0x%08x, %zu bytes, %s",
              (uint32_t)(address - object->payload), (uint32_t)object->payload, object->room,
              object->idle ? "free" : "used");
    describe_guard(object->payload, object->room, text);
    if (object->idle)
        describe_caller("freed", ((const uint32_t *)object->payload)[1], text->freed);
}

/* What kfree() has left where a free block begins, or where one began that has been merged. */
static void describe_freed(vaddr_t address, const struct heap_block *block,
                           struct address_text *text)
{
    bool began = address % HEAP_ALIGN == 0 && address - block->payload < block->size - MIN_BLOCK;
    const uint32_t *words = (const uint32_t *)(began ? address : block->payload);

    describe_caller("freed", words[1], text->freed);
    if (text->freed[0] != '\0' && block->size > MIN_BLOCK)
        describe_caller("allocated", words[2] >> GUARD_OWNER, text->allocated);
}

static void describe_block(vaddr_t address, const struct heap_block *block,
                           struct address_text *text)
{
    uint32_t payload = (uint32_t)block->payload;
    struct heap_object object;

    if (block->kind == HEAP_USED && heap_walk_object(block, address, &object)) {
        describe_object(address, &object, text);
        return;
    }
    if (address < block->payload)
        ksnprintf(text->what, SIZE, "heap: the head of the block at 0x%08x, %zu bytes, %s", payload,
                  block->size, block->kind == HEAP_USED ? "used" : "free");
    else
        ksnprintf(text->what, SIZE, "heap: byte %u of the block at 0x%08x, %zu bytes, %s",
                  (uint32_t)(address - block->payload), payload, block->size,
                  block->kind == HEAP_USED ? "used" : "free");
    if (block->kind == HEAP_USED)
        describe_guard(block->payload, block->size - HEAP_HEAD, text);
    else
        describe_freed(address, block, text);
}

static void describe_heap(vaddr_t address, struct address_text *out)
{
    struct heap_block block;
    char *text = out->what;

    if (!heap_can_be_walked())
        ksnprintf(text, SIZE, "heap, whose own figures are broken: no block can be named");
    else if (address >= first_fit.mapped)
        ksnprintf(text, SIZE, "heap: not mapped yet, the heap ends at 0x%08x",
                  (uint32_t)first_fit.mapped);
    else if (address < first_fit.start)
        ksnprintf(text, SIZE, "heap: the word before its first block");
    else if (!find_block(address, &block))
        ksnprintf(text, SIZE, "heap: the head of the block at 0x%08x is smashed, and hides it",
                  (uint32_t)block.payload);
    else if (block.kind == HEAP_TOP)
        ksnprintf(text, SIZE, "heap: free, the rest from 0x%08x on, behind the last block",
                  (uint32_t)block.payload);
    else
        describe_block(address, &block, out);
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

/* Between the parts of the address space that have an owner. */
static const char *nobodys(vaddr_t address)
{
    if (address >= WINDOWS_BASE && address < WINDOWS_END)
        return "room for windows: there is none here";
    if (address >= SHADOW_BASE && address < SHADOW_END)
        return "room that is kept for the checking build's shadow memory";
    if (is_present(address))
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
        describe_heap(address, out);
    else if (address >= HEAP_INDEX_BASE && address < HEAP_INDEX_END)
        ksnprintf(text, SIZE, "the heap's index%s", is_present(address) ? "" : ", not mapped yet");
    else if (!describe_window(address, text))
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
