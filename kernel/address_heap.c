/*
 * What an address of the heap belongs to: a block or an object, and who allocated and freed it.
 *
 * The heap may be broken: its figures are looked at before it is walked.
 */
#include "address_heap.h"
#include "mem/first_fit.h"
#include "mem/guard.h"
#include "mem/heap_walk.h"
#include "mem/layout.h"
#include <check.h>
#include <lib/printf.h>
#include <mem/sections.h>

#define SIZE ADDRESS_TEXT_MAX

/* Whether the heap's figures are possible and all its pages are there: then it can be walked. */
static bool heap_can_be_walked(void)
{
    if (first_fit.base != HEAP_BASE || first_fit.end > HEAP_BASE + HEAP_MAX ||
        first_fit.mapped > first_fit.end || first_fit.top > first_fit.mapped ||
        first_fit.start != first_fit.base + HEAP_HEAD || first_fit.top < first_fit.start)
        return false;
    for (vaddr_t page = first_fit.base; page < first_fit.mapped; page += PAGE_SIZE) {
        if (!address_is_present(page))
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

    if (caller < (vaddr_t)_text_start || caller >= (vaddr_t)_text_end)
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

/* A block of the checking build, which lies in one of the heap below; false if there is none. */
static bool describe_checked(vaddr_t address, struct address_text *text)
{
    struct check_block_place block;

    if (!check_find_block(address, &block))
        return false;
    const char *state = block.live ? "used" : "freed, in quarantine";
    if (address - block.start < block.size)
        ksnprintf(text->what, SIZE, "heap: byte %u of the block at 0x%08x, %zu bytes, %s",
                  (uint32_t)(address - block.start), (uint32_t)block.start, block.size, state);
    else
        ksnprintf(text->what, SIZE, "heap: red zone %s the block at 0x%08x, %zu bytes, %s",
                  address < block.start ? "before" : "behind", (uint32_t)block.start, block.size,
                  state);
    describe_caller("allocated", block.allocated, text->allocated);
    describe_caller("freed", block.freed, text->freed);
    return true;
}

void address_describe_heap(vaddr_t address, struct address_text *out)
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
    else if (!describe_checked(address, out))
        describe_block(address, &block, out);
}
