/*
 * Reads traces. Whatever does not fit the format is refused: a replay of it would say nothing.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trace.h"

#define MAGIC     0x54524143u
#define MAX_SLOTS (1u << 24) /* the table of slots must fit beside the heap's window */

struct header {
    uint32_t magic, operations, slots, peak_live;
};

_Noreturn static void refuse(const char *path, const char *why)
{
    fprintf(stderr, "%s: %s\n", path, why);
    exit(EXIT_FAILURE);
}

_Noreturn static void refuse_operation(const char *path, size_t number, const char *why)
{
    fprintf(stderr, "%s: operation %zu %s\n", path, number, why);
    exit(EXIT_FAILURE);
}

static bool ends_in(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* The output of `xz -dc PATH`; *child is to be waited for. */
static FILE *open_xz(const char *path, pid_t *child)
{
    int ends[2];

    if (pipe(ends) != 0 || (*child = fork()) < 0)
        refuse(path, "no process for xz");
    if (*child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execlp("xz", "xz", "-dcq", "--", path, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    return fdopen(ends[0], "rb");
}

/* All operations that the header announces, and not a byte more. */
static void read_file(struct trace *trace, FILE *file, const char *path)
{
    struct header header;

    if (fread(&header, sizeof(header), 1, file) != 1)
        refuse(path, "too short for a trace's header");
    if (header.magic != MAGIC)
        refuse(path, "not a trace: the magic is wrong");
    if (header.slots > MAX_SLOTS)
        refuse(path, "the header has more slots than can be");

    trace->count = header.operations;
    trace->slots = header.slots;
    trace->operations = malloc((size_t)header.operations * sizeof(trace->operations[0]) + 1);
    if (header.operations > SIZE_MAX / 16 || trace->operations == NULL)
        refuse(path, "the header has more operations than memory can hold");
    if (fread(trace->operations, sizeof(trace->operations[0]), trace->count, file) != trace->count)
        refuse(path, "shorter than its header says");
    if (fgetc(file) != EOF)
        refuse(path, "longer than its header says");
}

/*
 * Follows the slots through all operations and counts what lives. Its table is not taken from
 * malloc, which may be what is going to be measured.
 */
static void check(struct trace *trace, const char *path)
{
    size_t bytes = (trace->slots + 1) * sizeof(uint32_t);
    uint32_t *sizes = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t live = 0;

    if (sizes == MAP_FAILED)
        refuse(path, "no memory for its slots");
    for (size_t i = 0; i < trace->count; i++) {
        struct trace_operation op = trace->operations[i];

        if (op.slot >= trace->slots)
            refuse_operation(path, i, "names a slot that is out of range");
        if (op.size == 0 && sizes[op.slot] == 0)
            refuse_operation(path, i, "frees a slot that is empty");
        if (op.size != 0 && sizes[op.slot] != 0)
            refuse_operation(path, i, "allocates into a slot that is full");
        if (op.size > SIZE_MAX - live)
            refuse_operation(path, i, "brings more to life than memory can hold");
        live += op.size - sizes[op.slot];
        sizes[op.slot] = op.size;
        if (live > trace->peak_live)
            trace->peak_live = live;
    }
    munmap(sizes, bytes);
}

void trace_read(struct trace *trace, const char *path, size_t limit)
{
    bool compressed = ends_in(path, ".xz");
    pid_t child = 0;
    int status = 0;
    FILE *file = compressed ? open_xz(path, &child) : fopen(path, "rb");

    *trace = (struct trace){ 0 };
    if (file == NULL)
        refuse(path, "cannot be opened");
    read_file(trace, file, path);
    fclose(file);
    if (compressed && (waitpid(child, &status, 0) != child || status != 0))
        refuse(path, "xz cannot read it");
    if (trace->count > limit)
        trace->count = limit;
    check(trace, path);
}
