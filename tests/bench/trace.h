/*
 * A trace: what a program asked of its heap, to be replayed on another one.
 *
 * The file: four little-endian words (magic, operations, slots, peak live bytes), then a pair
 * (slot, size) for each operation. Size 0 frees what the slot holds, any other allocates into a
 * slot that is empty.
 */
#ifndef TESTS_BENCH_TRACE_H
#define TESTS_BENCH_TRACE_H

#include <stddef.h>
#include <stdint.h>

struct trace_operation {
    uint32_t slot;
    uint32_t size; /* 0: a free */
};

struct trace {
    size_t count; /* of operations */
    size_t slots;
    size_t peak_live; /* bytes: the highest sum of live requests, recounted */
    struct trace_operation *operations;
};

/*
 * Reads a trace and checks every operation, so that a replay has nothing to check: slots are in
 * range, a free finds a full slot and an allocation an empty one. A name that ends in .xz is read
 * through xz(1). A file that is anything else ends the program with one line and status 1. No more
 * than the first `limit` operations are kept.
 */
void trace_read(struct trace *trace, const char *path, size_t limit);

#endif
