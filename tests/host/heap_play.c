/*
 * The heap beside its model.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "heap_play.h"

/* Of a block that is larger than two of these, only so much at both ends is filled. */
#define FILLED 160u

struct play play;

/* ---- What is in the blocks ---- */

static size_t filled(size_t size)
{
    return size > 2 * FILLED ? FILLED : size;
}

/* Bytes that the heap might take for its own come first: none and all bits. */
static void fill(struct play_slot *slot, void *payload, size_t size)
{
    *slot = (struct play_slot){ payload, size, (uint8_t)-play.tag };
    play.tag = (uint8_t)((play.tag + 1) % 8);
    memset(slot->payload, slot->tag, filled(size));
    memset(slot->payload + size - filled(size), slot->tag, filled(size));
}

static void check_filled(const struct play_slot *slot, size_t from, size_t end)
{
    for (size_t i = from; i < end; i++) {
        if (slot->payload[i] != slot->tag)
            fail_msg("call %u: byte %zu of the block at %p is 0x%02x, not 0x%02x", play.calls, i,
                     (void *)slot->payload, slot->payload[i], slot->tag);
    }
}

/* The first `kept` bytes of what was in the slot. */
static void check_contents(const struct play_slot *slot, size_t kept)
{
    size_t front = filled(slot->size), back = slot->size - front;

    check_filled(slot, 0, front < kept ? front : kept);
    if (back < kept)
        check_filled(slot, back, kept);
}

/* ---- Calls ---- */

void play_start(size_t window, bool use_small)
{
    reset_unchecked(window, use_small);
    heap_model_destroy(&play.model); /* of a test that has failed */
    memset(&play, 0, sizeof(play));
    heap_model_init(&play.model, (vaddr_t)arena, window, use_small);
    play.model.grown = window <= ARENA_GROWN;
}

void play_limit(uint32_t pages)
{
    sys.limit = (vaddr_t)arena + heap_get_stats().mapped + pages * PAGE_SIZE;
    play.model.limit = sys.limit < play.model.end ? sys.limit : play.model.end;
}

void play_no_limit(void)
{
    sys.limit = 0;
    play.model.limit = play.model.end;
}

static bool agree(void *payload, vaddr_t expected, const char *call, size_t size)
{
    play.calls++;
    if ((vaddr_t)payload != expected)
        fail_msg("call %u: %s of %zu bytes gives %p instead of %p", play.calls, call, size, payload,
                 (void *)expected);
    play.failures += payload == NULL;
    return payload != NULL;
}

void play_alloc(struct play_slot *slot, size_t size, size_t align)
{
    vaddr_t expected = heap_model_alloc(&play.model, size, align);
    void *payload = align > 8 ? kmalloc_aligned(size, align) : kmalloc(size);

    if (agree(payload, expected, "kmalloc", size))
        fill(slot, payload, size);
}

void play_calloc(struct play_slot *slot, size_t size)
{
    vaddr_t expected = heap_model_alloc(&play.model, size, 8);
    uint8_t *payload = kcalloc(1, size);

    if (agree(payload, expected, "kcalloc", size)) {
        assert_int_equal(payload[0], 0);
        assert_int_equal(memcmp(payload, payload + 1, size - 1), 0);
        fill(slot, payload, size);
    }
}

void play_realloc(struct play_slot *slot, size_t size)
{
    vaddr_t expected = heap_model_realloc(&play.model, (vaddr_t)slot->payload, size);
    void *payload = krealloc(slot->payload, size);

    if (agree(payload, expected, "krealloc", size)) {
        slot->payload = payload;
        check_contents(slot, size < slot->size ? size : slot->size);
        fill(slot, payload, size);
    }
}

void play_free(struct play_slot *slot)
{
    check_contents(slot, slot->size);
    heap_model_free(&play.model, (vaddr_t)slot->payload);
    kfree(slot->payload);
    slot->payload = NULL;
    play.calls++;
}

/* ---- Comparing everything ---- */

void play_check_layout(void)
{
    const struct heap_model *model = &play.model;
    struct heap_stats stats = heap_get_stats();
    struct heap_block block = { 0, 0, HEAP_TOP };
    size_t largest = 0;

    for (size_t i = 0; i < model->count; i++) {
        const struct model_block *expected = &model->blocks[i];

        assert_true(heap_next_block(block.payload + block.size, &block));
        assert_int_equal(block.payload, expected->start + 4);
        assert_int_equal(block.size, expected->size);
        assert_int_equal(block.kind, expected->used ? HEAP_USED : HEAP_FREE);
        if (!expected->used && expected->size > largest)
            largest = expected->size;
    }
    assert_true(heap_next_block(block.payload + block.size, &block));
    assert_int_equal(block.kind, HEAP_TOP);
    assert_int_equal(block.payload, heap_model_top(model) + 4);
    largest = block.size > largest ? block.size : largest;
    assert_false(heap_next_block(block.payload + 1, &block)); /* the top may have no bytes */

    assert_int_equal(stats.used, model->used);
    assert_int_equal(stats.blocks, model->live);
    assert_int_equal(stats.allocs - stats.frees, model->live);
    assert_int_equal(stats.largest_free, largest);
    assert_true(stats.peak >= model->used);
    assert_true(stats.extent >= heap_model_top(model) - (vaddr_t)arena);
}

void play_end(void)
{
    play_no_limit();
    for (uint32_t i = 0; i < PLAY_SLOTS; i++) {
        if (play.slots[i].payload != NULL)
            play_free(&play.slots[i]);
    }
    assert_int_equal(play.model.used, 0);
    play_check_layout();
    check_sound();
    heap_model_destroy(&play.model);
}
