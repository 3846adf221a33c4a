/*
 * What the heap asks of the kernel: pages from the PMM, a spinlock, a mutex for growing.
 */
#include <heap_lock.h>
#include <heap_system.h>
#include "mem/layout.h"
#include <check.h>
#include <error.h>
#include <mem/paging.h>
#include <sched/sched.h>
#include <sched/spinlock.h>
#include <sched/sync.h>

struct spinlock heap_spinlock;
static struct mutex grow_mutex = MUTEX_INITIALIZER(grow_mutex);

bool heap_system_map(vaddr_t first, size_t pages)
{
    vaddr_t end = first + pages * PAGE_SIZE;

    if (map_new_pages(first, pages, PAGE_WRITE, FRAME_HEAP) != OK)
        return false;
    if (check_cover(first, end))
        return true;
    unmap_and_free_pages(first, pages, FRAME_HEAP);
    return false;
}

void heap_system_unmap(vaddr_t first, size_t pages)
{
    unmap_and_free_pages(first, pages, FRAME_HEAP);
    check_uncover(first, first + pages * PAGE_SIZE);
}

void heap_system_grow_lock(void)
{
    if (sched_running())
        mutex_lock(&grow_mutex);
}

bool heap_system_try_grow_lock(void)
{
    return !sched_running() || mutex_try_lock(&grow_mutex);
}

void heap_system_grow_unlock(void)
{
    if (sched_running())
        mutex_unlock(&grow_mutex);
}
