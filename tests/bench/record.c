/*
 * Records what a program asks of malloc: make_trace.py makes a trace of it.
 *
 *   RECORD=PREFIX LD_PRELOAD=./record.so PROGRAM ...
 *
 * writes PREFIX.PID for each program that is started: pairs (address, size) of 64-bit words in
 * the order of the calls, size 0 for a free. A realloc is recorded as a free and an allocation;
 * what a child does before its exec is not recorded. An address alone says which block it is: it
 * is free from the record of its free to that of the next allocation, because the one is written
 * before the call and the other behind it.
 *
 * glibc's own names for its functions are called, so that nothing has to be looked up first.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *ptr, size_t size);
void *__libc_memalign(size_t align, size_t size);
void __libc_free(void *ptr);

static struct {
    uint64_t address, size;
} records[4096]; /* guarded by `lock`, like all below */

static size_t count;
static int file = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void flush(void)
{
    const char *bytes = (const char *)records;
    size_t left = count * sizeof(records[0]);

    while (file >= 0 && left > 0) {
        ssize_t written = write(file, bytes, left);
        if (written < 0)
            break;
        bytes += written;
        left -= (size_t)written;
    }
    count = 0;
}

static void record(const void *ptr, size_t size)
{
    int error = errno;

    pthread_mutex_lock(&lock);
    if (file >= 0) {
        records[count].address = (uintptr_t)ptr;
        records[count].size = size;
        if (++count == sizeof(records) / sizeof(records[0]))
            flush();
    }
    pthread_mutex_unlock(&lock);
    errno = error;
}

/* A block of no bytes is a block all the same: the least that a heap can be asked for. */
static void *record_new(void *ptr, size_t size)
{
    if (ptr != NULL)
        record(ptr, size > 0 ? size : 1);
    return ptr;
}

static void stop_in_child(void)
{
    close(file);
    file = -1;
}

__attribute__((constructor)) static void start(void)
{
    const char *prefix = getenv("RECORD");
    char path[4096];

    if (prefix == NULL)
        return;
    snprintf(path, sizeof(path), "%s.%d", prefix, (int)getpid());
    pthread_atfork(NULL, NULL, stop_in_child);
    file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
}

__attribute__((destructor)) static void finish(void)
{
    pthread_mutex_lock(&lock);
    flush();
    file = -1;
    pthread_mutex_unlock(&lock);
}

void *malloc(size_t size)
{
    return record_new(__libc_malloc(size), size);
}

void *calloc(size_t number, size_t size)
{
    return record_new(__libc_calloc(number, size), number * size);
}

void free(void *ptr)
{
    if (ptr != NULL)
        record(ptr, 0);
    __libc_free(ptr);
}

/* One that fails is recorded as having moved the block to where it is. */
void *realloc(void *ptr, size_t size)
{
    if (ptr != NULL)
        record(ptr, 0);

    void *copy = __libc_realloc(ptr, size);
    if (copy == NULL && size > 0)
        record_new(ptr, size);
    return record_new(copy, size);
}

void *memalign(size_t align, size_t size)
{
    return record_new(__libc_memalign(align, size), size);
}

void *aligned_alloc(size_t align, size_t size)
{
    return memalign(align, size);
}

int posix_memalign(void **ptr, size_t align, size_t size)
{
    *ptr = memalign(align, size);
    return *ptr != NULL ? 0 : ENOMEM;
}
