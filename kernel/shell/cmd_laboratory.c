/*
 * The memory laboratory: commands that act on the running kernel's memory. What a command gave
 * stays until it is given back; what would break the kernel is refused.
 */
#include <shell/shell.h>
#include "mem/guard.h"
#include "mem/heap_core.h"
#include "mem/layout.h"
#include <error.h>
#include <heap.h>
#include <lib/number.h>
#include <lib/string.h>
#include <log.h>
#include <mem/paging.h>
#include <mem/pmm.h>
#include <mem/starve.h>
#include <sched/thread.h>
#include <shell/laboratory.h>

#define MAX_WORDS_PEEKED 1024u

/* ---- Frames ---- */

static enum shell_result frame_alloc(void)
{
    paddr_t frame = pmm_alloc_frame_for(FRAME_LABORATORY);

    if (frame == 0) {
        kprintf("0\n");
        return SHELL_OK;
    }
    lab_add_frame(frame);
    kprintf("0x%08x\n", frame);
    return SHELL_OK;
}

static enum shell_result frame_free(paddr_t frame)
{
    if (frame % PAGE_SIZE != 0 || !lab_owns_frame(frame))
        return shell_error("0x%08x is not a frame that frame alloc gave", frame);
    vaddr_t mapping = lab_mapping_of(frame);
    if (mapping != 0)
        return shell_error("0x%08x is still mapped at 0x%08x", frame, (uint32_t)mapping);
    lab_remove_frame(frame);
    pmm_free_frame_of(FRAME_LABORATORY, frame);
    kprintf("ok\n");
    return SHELL_OK;
}

/* High frames too: nothing is left. */
static enum shell_result frame_alloc_all(void)
{
    uint32_t count = 0;
    paddr_t frame;

    while (!thread_interrupted() && (frame = pmm_alloc_frame_high_for(FRAME_LABORATORY)) != 0) {
        lab_add_frame(frame);
        count++;
    }
    kprintf("%u frames\n", count);
    return SHELL_OK;
}

static enum shell_result frame_free_all(void)
{
    uint32_t count = 0;
    paddr_t frame;
    vaddr_t mapping = lab_mapping_of_any(&frame);

    if (mapping != 0)
        return shell_error("0x%08x is still mapped at 0x%08x", frame, (uint32_t)mapping);
    for (frame = 0; (frame = lab_next_frame(frame)) != 0; count++) {
        lab_remove_frame(frame);
        pmm_free_frame_of(FRAME_LABORATORY, frame);
    }
    kprintf("%u frames\n", count);
    return SHELL_OK;
}

static const char *frame_words(uint32_t argument, uint32_t index)
{
    static const char *const words[] = { "alloc", "free" };

    if (argument == 2 && index == 0)
        return "all";
    return argument == 1 && index < ARRAY_SIZE(words) ? words[index] : NULL;
}

SHELL_COMMAND_COMPLETED(frame, "frame alloc [all] | frame free ADDR|all",
                        "takes or gives back a frame, or all there are", "frame alloc", frame_words)
{
    uint32_t address;

    if (argc == 2 && strcmp(argv[1], "alloc") == 0)
        return frame_alloc();
    if (argc == 3 && strcmp(argv[2], "all") == 0) {
        if (strcmp(argv[1], "alloc") == 0)
            return frame_alloc_all();
        return strcmp(argv[1], "free") == 0 ? frame_free_all() : SHELL_USAGE;
    }
    if (argc == 3 && strcmp(argv[1], "free") == 0 && parse_hex(argv[2], &address))
        return frame_free(address);
    return SHELL_USAGE;
}

/* ---- Mappings ---- */

/* Whether a page lies where only the kernel maps. */
static bool in_kernel_window(vaddr_t page)
{
    return page < PAGE_SIZE || page < paging_identity_end() ||
           (page >= HEAP_BASE && page < SHADOW_END);
}

static enum shell_result map(vaddr_t virt, paddr_t phys, bool read_only)
{
    if (virt % PAGE_SIZE != 0 || phys % PAGE_SIZE != 0)
        return shell_error("addresses must be multiples of %u", PAGE_SIZE);
    if (in_kernel_window(virt))
        return shell_error("0x%08x lies in a window of the kernel", (uint32_t)virt);

    const char *reason = lab_forbids(phys);
    if (reason != NULL && !read_only)
        return shell_error("0x%08x %s: map it ro", phys, reason);

    int error = map_page(virt, phys, PAGE_LABORATORY | (read_only ? 0 : PAGE_WRITE));
    if (error != OK)
        return shell_error("0x%08x: %s", (uint32_t)virt, error_text(error));
    kprintf("ok\n");
    return SHELL_OK;
}

SHELL_COMMAND(map, "map VIRT PHYS [ro]", "maps a page", "map 0xa0000000 0xb8000 ro")
{
    uint32_t virt, phys;

    if (argc < 3 || argc > 4 || !parse_hex(argv[1], &virt) || !parse_hex(argv[2], &phys) ||
        (argc == 4 && strcmp(argv[3], "ro") != 0))
        return SHELL_USAGE;
    return map(virt, phys, argc == 4);
}

SHELL_COMMAND(unmap, "unmap VIRT", "undoes map", "unmap 0xa0000000")
{
    uint32_t virt;

    if (argc != 2 || !parse_hex(argv[1], &virt))
        return SHELL_USAGE;
    if (virt % PAGE_SIZE != 0 || !(translate(virt).flags & PAGE_LABORATORY))
        return shell_error("0x%08x is not a page that map mapped", virt);

    int error = unmap_page(virt);
    if (error != OK)
        return shell_error("0x%08x: %s", virt, error_text(error));
    kprintf("ok\n");
    return SHELL_OK;
}

SHELL_COMMAND(translate, "translate VIRT", "says what a virtual address means",
              "translate 0x18000000")
{
    uint32_t virt;

    if (argc != 2 || !parse_hex(argv[1], &virt))
        return SHELL_USAGE;
    struct translation to = translate(virt);
    if (!to.mapped)
        kprintf("0x%08x -> not mapped\n", virt);
    else
        kprintf("0x%08x -> 0x%08llx %s%s%s%s\n", virt, to.phys, to.flags & PAGE_WRITE ? "rw" : "ro",
                to.flags & PAGE_CACHE_DISABLE ? " uncached" : "", to.large ? " 4MiB" : "",
                to.flags & PAGE_LABORATORY ? " map" : "");
    return SHELL_OK;
}

/* ---- Heap blocks ---- */

/* A number of bytes; one that is too large for 32 bits cannot be had, but is a number. */
static bool parse_size(const char *text, size_t *size)
{
    uint32_t value;

    if (parse_decimal(text, &value)) {
        *size = value;
        return true;
    }
    *size = SIZE_MAX;
    for (const char *digit = text; *digit != '\0'; digit++) {
        if (*digit < '0' || *digit > '9')
            return false;
    }
    return *text != '\0';
}

SHELL_COMMAND(kmalloc, "kmalloc SIZE", "takes a block of the heap", "kmalloc 100")
{
    size_t size;

    if (argc != 2 || !parse_size(argv[1], &size))
        return SHELL_USAGE;
    if (!lab_has_room())
        return shell_error("the laboratory holds %u blocks already", LAB_BLOCKS);
    /* Without a guard, so that it lies where the specification says. */
    void *block = starves(STARVE_BLOCK) ? NULL : heap_alloc(size);
    if (block == NULL) {
        kprintf("0\n");
        return SHELL_OK;
    }
    /* What stands there may be the guard of one that was freed. */
    *guard_word((vaddr_t)block, heap_usable_size(block, "the laboratory")) = 0;
    lab_add_block((vaddr_t)block);
    kprintf("0x%08x\n", (uint32_t)(vaddr_t)block);
    return SHELL_OK;
}

SHELL_COMMAND(kfree, "kfree ADDR", "gives back a block that kmalloc gave", "kfree 0x18000008")
{
    uint32_t address;

    if (argc != 2 || !parse_hex(argv[1], &address))
        return SHELL_USAGE;
    if (!heap_core_is_live((const void *)(uintptr_t)address))
        return shell_error("0x%08x is not a live block", address);
    if (!lab_remove_block(address))
        return shell_error("0x%08x is a block of the kernel", address);
    heap_free((void *)(uintptr_t)address);
    kprintf("ok\n");
    return SHELL_OK;
}

/* ---- Words ---- */

typedef uint32_t __attribute__((may_alias, aligned(1))) loose_word; /* at any address */

/* Whether every byte of [address, address + length) is mapped; *bad is the first that is not. */
static bool all_mapped(uint32_t address, uint32_t length, uint32_t *bad)
{
    uint64_t end = (uint64_t)address + length;

    for (uint64_t at = address; at < end; at = (at | (PAGE_SIZE - 1)) + 1) {
        *bad = (uint32_t)at;
        if (at > 0xffffffffu || !translate((vaddr_t)at).mapped)
            return false;
    }
    return true;
}

/* Not by memcpy(): behind the last word of all no pointer can lead. */
static volatile loose_word *word_at(uint32_t address)
{
    return (volatile loose_word *)(uintptr_t)address;
}

SHELL_COMMAND(peek, "peek ADDR [COUNT]", "prints words of memory", "peek 0x100000 8")
{
    uint32_t address, bad, count = 1;

    if (argc < 2 || argc > 3 || !parse_hex(argv[1], &address) ||
        (argc == 3 && !parse_decimal(argv[2], &count)))
        return SHELL_USAGE;
    if (count < 1 || count > MAX_WORDS_PEEKED)
        return shell_error("COUNT must be from 1 to %u", MAX_WORDS_PEEKED);
    if (!all_mapped(address, count * sizeof(uint32_t), &bad))
        return shell_error("0x%08x is not mapped", bad);

    for (uint32_t i = 0; i < count && !thread_interrupted(); i++, address += sizeof(uint32_t)) {
        if (i % 4 == 0)
            kprintf("0x%08x:", address);
        kprintf(" 0x%08x%s", *word_at(address), i % 4 == 3 || i + 1 == count ? "\n" : "");
    }
    return SHELL_OK;
}

/* Why a byte must not be written, or NULL. */
static const char *poke_forbidden(uint32_t address)
{
    struct translation to = translate(address);

    if (!to.mapped)
        return "is not mapped";
    if (!(to.flags & PAGE_WRITE))
        return "is read-only";
    if (address >= HEAP_BASE && address < HEAP_BASE + HEAP_MAX)
        return lab_owns_heap(address, 1) ? NULL : "is not in a block that kmalloc gave";
    return lab_forbids(to.phys);
}

SHELL_COMMAND(poke, "poke ADDR VALUE", "writes a word of memory; VALUE is hex",
              "poke 0x18000008 0xdeadbeef")
{
    uint32_t address, value;

    if (argc != 3 || !parse_hex(argv[1], &address) || !parse_hex(argv[2], &value))
        return SHELL_USAGE;
    for (uint32_t i = 0; i < sizeof(value); i++) {
        const char *reason = address + i < address ? "is not mapped" : poke_forbidden(address + i);
        if (reason != NULL)
            return shell_error("0x%08x %s", address + i, reason);
    }
    *word_at(address) = value;
    kprintf("ok\n");
    return SHELL_OK;
}
