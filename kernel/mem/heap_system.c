/*
 * What the heap asks of the kernel: pages from the PMM, a spinlock, a mutex for growing.
 */
#include <heap_system.h>
#include <error.h>
#include <mem/paging.h>
#include <mem/pmm.h>
#include <panic.h>
#include <sched/sched.h>
#include <sched/spinlock.h>
#include <sched/sync.h>
#include <x86/irq.h>

static struct spinlock structure_lock;
static struct mutex grow_mutex = MUTEX_INITIALIZER(grow_mutex);

bool heap_system_map(vaddr_t page)
{
    paddr_t frame = pmm_alloc_frame_high();

    if (frame == 0)
        return false;
    if (map_page(page, frame, PAGE_WRITE) != OK) {
        pmm_free_frame(frame);
        return false;
    }
    return true;
}

void heap_system_unmap(vaddr_t page)
{
    struct translation mapping = translate(page);
    int error = unmap_page(page);

    ASSERT(error == OK);
    pmm_free_frame((paddr_t)mapping.phys);
}

uint32_t heap_system_lock(void)
{
    ASSERT(!irq_active());
    return spin_lock(&structure_lock);
}

void heap_system_unlock(uint32_t state)
{
    spin_unlock(&structure_lock, state);
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
