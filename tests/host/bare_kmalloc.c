/*
 * kmalloc's family without guards, for tests and benchmarks of the bare heap: linked in place of
 * kernel/kmalloc.c, so that the model foretells every address.
 */
#include <heap.h>
#include "mem/heap_core.h"
#include <string.h>

void *kmalloc(size_t size)
{
    return heap_alloc(size);
}

void *kmalloc_aligned(size_t size, size_t align)
{
    return heap_alloc_aligned(size, align);
}

void *kcalloc(size_t count, size_t size)
{
    size_t total;
    void *ptr = __builtin_mul_overflow(count, size, &total) ? NULL : heap_alloc(total);

    if (ptr != NULL)
        memset(ptr, 0, total);
    return ptr;
}

void kfree(void *ptr)
{
    heap_free(ptr);
}

void *krealloc(void *ptr, size_t size)
{
    if (ptr == NULL)
        return heap_alloc(size);
    if (size == 0) {
        heap_free(ptr);
        return NULL;
    }

    size_t kept = heap_usable_size(ptr, "krealloc");
    if (heap_resize(ptr, size, "krealloc"))
        return ptr;
    void *copy = heap_alloc(size);
    if (copy != NULL) {
        memcpy(copy, ptr, kept < size ? kept : size);
        heap_free(ptr);
    }
    return copy;
}

size_t kmalloc_usable_size(const void *ptr)
{
    return heap_usable_size(ptr, "kmalloc_usable_size");
}

bool heap_is_live(const void *ptr)
{
    return heap_core_is_live(ptr);
}
