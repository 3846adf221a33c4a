/*
 * The heap's worst single operations on a trace, in instructions.
 *
 *   heap-worst [--no-small] TRACE
 *
 * A counter from outside sees sums only. So the heap is built here from assembly in which every
 * instruction counts itself first (the Makefile's rule for *.counted.S), and nothing else counts.
 * That is callgrind's count but for what pads the start of a loop, one or two instructions of an
 * operation, and the repetitions of a string instruction, which is one here.
 * The window's pages are the system's affair: its functions are not counted, and operations in
 * which pages came or went are listed apart, because the heap's own loop over them is as long as
 * they are many.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <heap.h>
#include <panic.h>
#include "mem/layout.h"
#include "system.h"
#include "trace.h"

extern uint32_t instructions;
uint32_t instructions; /* the counted code adds one for each that it executes */

struct worst {
    const char *name;
    uint32_t instructions;
    size_t operation; /* which one that was */
    uint32_t size;    /* what it asked for */
    uint64_t sum;
    size_t count;
};

enum {
    ALLOC,
    FREE,
    WITH_PAGES,
    KINDS,
};

static struct worst worst[KINDS] = {
    [ALLOC] = { .name = "alloc" },
    [FREE] = { .name = "free" },
    [WITH_PAGES] = { .name = "with_pages" },
};

static void perform(struct trace_operation op, void **slot)
{
    if (op.size == 0)
        kfree(*slot);
    else if ((*slot = kmalloc(op.size)) == NULL)
        panic("heap-worst: no %u bytes can be had", op.size);
}

static void enter(struct worst *kind, size_t operation, uint32_t size)
{
    kind->sum += instructions;
    kind->count++;
    if (instructions > kind->instructions) {
        kind->instructions = instructions;
        kind->operation = operation;
        kind->size = size;
    }
}

static void measure(const struct trace *trace, void **slots)
{
    for (size_t i = 0; i < trace->count; i++) {
        struct trace_operation op = trace->operations[i];
        uint32_t page_calls = system_page_calls;

        instructions = 0;
        perform(op, &slots[op.slot]);
        if (system_page_calls != page_calls)
            enter(&worst[WITH_PAGES], i, op.size);
        else
            enter(&worst[op.size != 0 ? ALLOC : FREE], i, op.size);
    }
}

int main(int argc, char **argv)
{
    bool no_small = argc == 3 && strcmp(argv[1], "--no-small") == 0;
    struct trace trace;

    if (argc != 2 + no_small) {
        fputs("usage: heap-worst [--no-small] TRACE\n", stderr);
        return 2;
    }
    trace_read(&trace, argv[argc - 1], SIZE_MAX);

    void **slots = calloc(trace.slots + 1, sizeof(slots[0]));
    if (slots == NULL)
        panic("heap-worst: no memory for %zu slots", trace.slots);
    system_heap_init();
    heap_use_small(!no_small);
    measure(&trace, slots);

    for (unsigned i = 0; i < KINDS; i++)
        printf("%s %u operation %zu size %u mean %.1f of %zu\n", worst[i].name,
               worst[i].instructions, worst[i].operation, worst[i].size,
               worst[i].count > 0 ? (double)worst[i].sum / worst[i].count : 0.0, worst[i].count);
    return EXIT_SUCCESS;
}
