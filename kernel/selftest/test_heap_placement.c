/*
 * Where the running heap puts its blocks, compared with a naive list, address by address.
 *
 * A script of random operations from a fixed seed runs on the kernel's own heap, whatever it holds.
 * With small objects off the naive list foretells every placement. With them on it foretells those
 * of blocks, and is read anew after each operation on an object, which may take or free a chunk.
 */
#include <selftest.h>
#include "mem/guard.h"
#include "mem/small.h"
#include "selftest/naive_heap.h"
#include "selftest/support.h"
#include <heap.h>

#define SLOTS          48u
#define OPERATIONS     4000u
#define VALIDATE_EVERY 64u

struct script {
    struct naive_heap naive;
    vaddr_t slots[SLOTS]; /* live blocks and objects, or 0 */
    uint32_t random;
    uint32_t objects; /* requests that were served from chunks */
    uint64_t calls;   /* allocations and frees */
};

/* Sizes on both sides of every rounding; few that are larger than what is free between blocks. */
static size_t random_size(struct script *script)
{
    uint32_t kind = random_next(&script->random) % 16, value = random_next(&script->random);

    return 1 + value % (kind < 6 ? 64 : kind < 10 ? 512 : kind < 15 ? 3000 : 12000);
}

/* The naive list after an operation that it cannot foretell. */
static const char *read_anew(struct script *script)
{
    return naive_read(&script->naive) ? NULL : "more blocks than a script can have";
}

static const char *compare(const struct script *script, vaddr_t expected, vaddr_t got)
{
    if (got != expected)
        return got == 0 ? "NULL" : "a block is not at the lowest address that fits";
    return naive_agrees(&script->naive) ? NULL : "the blocks are not those of the naive list";
}

static const char *allocate(struct script *script, vaddr_t *slot)
{
    size_t size = random_size(script);
    size_t align =
        random_next(&script->random) % 8 == 0 ? 8u << random_next(&script->random) % 10 : 8;
    vaddr_t got = (vaddr_t)kmalloc_aligned(size, align);

    *slot = got;
    script->calls += got != 0;
    if (align > 8 || !small_serves(size + GUARD_SIZE))
        return compare(script, naive_alloc(&script->naive, size + GUARD_SIZE, align), got);

    const char *wrong = got == 0 ? "NULL" : read_anew(script);
    script->objects += got != 0 && !naive_has(&script->naive, got);
    return wrong;
}

static const char *resize(struct script *script, vaddr_t *slot)
{
    vaddr_t old = *slot;
    bool block = naive_has(&script->naive, old);
    size_t size = random_size(script) + (small_serves(SMALL_MAX) ? SMALL_MAX : 0);
    vaddr_t got = (vaddr_t)krealloc((void *)old, size);

    if (got == 0)
        return "NULL";
    *slot = got;
    script->calls += got != old ? 2 : 0;
    if (block)
        return compare(script, naive_realloc(&script->naive, old, size + GUARD_SIZE), got);
    if (got != naive_alloc(&script->naive, size + GUARD_SIZE, 8))
        return "what was an object is not at the lowest address that fits";
    return read_anew(script);
}

static const char *release(struct script *script, vaddr_t *slot)
{
    vaddr_t old = *slot;

    kfree((void *)old);
    *slot = 0;
    script->calls++;
    if (!naive_has(&script->naive, old))
        return read_anew(script);
    naive_free(&script->naive, old);
    return compare(script, 0, 0);
}

static const char *operate(struct script *script)
{
    vaddr_t *slot = &script->slots[random_next(&script->random) % SLOTS];

    if (*slot == 0)
        return allocate(script, slot);
    return random_next(&script->random) % 4 == 0 ? resize(script, slot) : release(script, slot);
}

static const char *operations(struct script *script)
{
    const char *wrong = read_anew(script);

    for (uint32_t i = 1; i <= OPERATIONS && wrong == NULL; i++) {
        wrong = operate(script);
        if (wrong == NULL && i % VALIDATE_EVERY == 0 && heap_validate() != HEAP_SOUND)
            wrong = "the heap is not sound";
    }
    for (uint32_t i = 0; i < SLOTS; i++) {
        if (script->slots[i] != 0)
            kfree((void *)script->slots[i]);
    }
    return wrong;
}

static uint32_t count_blocks(void)
{
    struct heap_block block = { 0, 0, HEAP_FREE };
    uint32_t count = 0;

    while (block.kind != HEAP_TOP && heap_next_block(block.payload + block.size, &block))
        count++;
    return count;
}

/* *disturbed: somebody else used the heap meanwhile, and the result means nothing. */
static const char *run_script(struct script *script, bool *disturbed)
{
    /* Every block of the script may have a free one behind it and a chunk of its own. */
    uint32_t room = count_blocks() + 4 * SLOTS + SMALL_CLASSES;

    *script = (struct script){ .random = 2463534242u };
    script->naive.room = room;
    script->naive.blocks = kmalloc(room * sizeof(struct naive_block));
    if (script->naive.blocks == NULL)
        return "NULL";

    struct heap_stats before = heap_get_stats();
    const char *wrong = operations(script);
    struct heap_stats after = heap_get_stats();

    uint64_t used = 0;
    for (uint32_t i = 0; i < SLOTS; i++)
        used += script->slots[i] != 0;
    *disturbed = after.allocs + after.frees - before.allocs - before.frees != script->calls + used;
    kfree(script->naive.blocks);
    return wrong;
}

static const char *run_undisturbed(struct script *script)
{
    const char *wrong;
    bool disturbed = false;
    uint32_t tries = 0;

    do
        wrong = run_script(script, &disturbed);
    while (disturbed && ++tries < 3);
    return disturbed ? "somebody else used the heap all the time" : wrong;
}

static struct script script; /* one test at a time */

SELFTEST(heap_placement, "heap: 4000 operations place every block where a naive list does")
{
    bool was_on = small.use;

    heap_use_small(false);
    const char *wrong = run_undisturbed(&script);
    heap_use_small(was_on);
    return wrong;
}

/* A block that makes the heap large enough for chunks of more classes. NULL if there is no memory.
 */
static void *take_ballast(void)
{
    return kmalloc(small.threshold + 256 * KIB);
}

SELFTEST(heap_placement_small, "heap: the same with small objects in chunks")
{
    bool was_on = small.use;
    void *ballast = take_ballast();

    heap_use_small(true);
    const char *wrong = run_undisturbed(&script);
    heap_use_small(was_on);
    kfree(ballast);
    if (wrong == NULL && ballast != NULL && script.objects == 0)
        wrong = "no chunk ever served";
    return wrong;
}

/* ---- Objects ---- */

#define OBJECTS     200u
#define OBJECT_SIZE 24u

/* Each is live on its own, and no other address is. */
static const char *check_objects(vaddr_t *objects)
{
    struct heap_stats before = heap_get_stats();

    for (uint32_t i = 0; i < OBJECTS; i++) {
        objects[i] = (vaddr_t)kmalloc(OBJECT_SIZE);
        EXPECT(objects[i] != 0 && objects[i] % 8 == 0);
        EXPECT(kmalloc_usable_size((void *)objects[i]) == OBJECT_SIZE);
    }
    struct heap_stats full = heap_get_stats();
    EXPECT(full.blocks == before.blocks + OBJECTS);
    EXPECT(full.used == before.used + OBJECTS * (OBJECT_SIZE + GUARD_SIZE));
    EXPECT(heap_validate() == HEAP_SOUND);

    for (uint32_t i = 0; i < OBJECTS; i++) {
        EXPECT(heap_is_live((void *)objects[i]));
        EXPECT(!heap_is_live((void *)(objects[i] + 8)));
        kfree((void *)objects[i]);
        EXPECT(!heap_is_live((void *)objects[i]));
        objects[i] = 0;
    }
    EXPECT(heap_get_stats().used == before.used);
    return NULL;
}

SELFTEST(heap_objects, "heap: small objects live and end one by one")
{
    static vaddr_t objects[OBJECTS];
    bool was_on = small.use;
    void *ballast = take_ballast();
    const char *wrong = NULL;

    heap_use_small(true);
    if (ballast != NULL)
        wrong = check_objects(objects);
    for (uint32_t i = 0; i < OBJECTS; i++) {
        kfree((void *)objects[i]);
        objects[i] = 0;
    }
    heap_use_small(was_on);
    kfree(ballast);
    return wrong;
}
