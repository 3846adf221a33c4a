/*
 * First fit as the specification says it: an array of blocks in address order, walked from its
 * start. It begins as a copy of the running heap's list and then tells where the heap must place
 * each block. No placement of it fails: its caller asks for no more memory than there is.
 */
#ifndef SELFTEST_NAIVE_HEAP_H
#define SELFTEST_NAIVE_HEAP_H

#include <types.h>

struct naive_block {
    vaddr_t payload;
    size_t size; /* with its head */
    bool used;
};

struct naive_heap {
    struct naive_block *blocks; /* in address order, without gaps; the last one is used */
    uint32_t count, room;       /* blocks, and how many the caller's array holds */
    vaddr_t top;                /* the payload that the wilderness would serve first */
};

/* Becomes the list of the running heap. False if `room` is too small for it. */
bool naive_read(struct naive_heap *heap) MUST_CHECK;

/* Whether the running heap's list is the same. */
bool naive_agrees(const struct naive_heap *heap);

/* Whether a used block's payload is at `payload`. */
bool naive_has(const struct naive_heap *heap, vaddr_t payload);

/* What kmalloc_aligned() must return. size: at least 1; align: a power of two from 8 to a page. */
vaddr_t naive_alloc(struct naive_heap *heap, size_t size, size_t align);

/* What krealloc() must return; `payload` is a used block's. */
vaddr_t naive_realloc(struct naive_heap *heap, vaddr_t payload, size_t size);

/* What kfree() must do; `payload` is a used block's. */
void naive_free(struct naive_heap *heap, vaddr_t payload);

#endif
