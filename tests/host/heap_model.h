/*
 * The heap's model: where each block has to be, from the specification alone.
 *
 * A list of blocks in address order and, for small objects, chunks in plain lists: no payloads, no
 * pages, no speed. What the heap in kernel/heap.c does must agree with it address by address.
 */
#ifndef TESTS_HEAP_MODEL_H
#define TESTS_HEAP_MODEL_H

#include <types.h>

struct model_chunk;

struct model_block {
    vaddr_t start; /* of its head */
    size_t size;   /* with its head */
    bool used;
    struct model_chunk *chunk; /* that the block is, or NULL */
};

#define MODEL_CLASSES 33u /* class c: objects of 8 c bytes */

struct model_class {
    struct model_chunk *partial; /* chunks with idle and live objects, the latest first */
    struct model_chunk *spare;   /* one without live objects, or NULL */
    size_t chunks;
};

struct heap_model {
    vaddr_t base, end;          /* the window */
    vaddr_t limit;              /* no page can be had from here on; at most `end` */
    struct model_block *blocks; /* in address order, without gaps; the last one is used */
    size_t count, capacity;
    size_t used; /* bytes in used blocks, chunks apart, and in live objects */
    size_t live; /* blocks, chunks apart, and objects */
    bool use_small;
    bool grown; /* it has once been so large that small objects are worth it */
    struct model_class classes[MODEL_CLASSES];
    size_t chunks_made, spares_dropped; /* the latter for want of memory */
};

/* An empty heap on [base, base + size), with or without small objects. */
void heap_model_init(struct heap_model *model, vaddr_t base, size_t size, bool use_small);
void heap_model_destroy(struct heap_model *model);

/* The payload's address, or 0 where the heap answers NULL. `align`: a power of two up to 4096. */
vaddr_t heap_model_alloc(struct heap_model *model, size_t request, size_t align);
vaddr_t heap_model_realloc(struct heap_model *model, vaddr_t payload, size_t request);

/* `payload`: one that is in use. */
void heap_model_free(struct heap_model *model, vaddr_t payload);

/* Where the wilderness begins: the end of the last used block. */
vaddr_t heap_model_top(const struct heap_model *model);

#endif
