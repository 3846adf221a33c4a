/*
 * The system around the heap, in a bench program: windows, locks that do nothing, a panic.
 */
#define _GNU_SOURCE /* MAP_FIXED_NOREPLACE */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <heap.h>
#include <heap_system.h>
#include <panic.h>
#include "mem/layout.h"
#include "system.h"

/* What the stack protector compares with, as in the kernel (x86/stack_guard.h). */
uint32_t __stack_chk_guard = 0x5eed0000;

_Noreturn static void stop(const char *format, va_list arguments)
{
    fflush(stdout);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(EXIT_FAILURE);
}

_Noreturn void panic(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    stop(format, arguments);
}

_Noreturn void panic_about(vaddr_t address, const char *format, ...)
{
    va_list arguments;

    (void)address;
    va_start(arguments, format);
    stop(format, arguments);
}

/*
 * The windows are closed at first and opened from the start of each in long steps, ahead of the
 * heap, and never closed again: what mapping costs is the system's affair and not to be measured
 * here. That the heap touches nothing but what it has mapped is seen in tests/host/test_heap.c.
 */
static struct window {
    vaddr_t start, end, open;
} windows[] = {
    { HEAP_BASE, HEAP_BASE + HEAP_MAX, HEAP_BASE },
    { HEAP_INDEX_BASE, HEAP_INDEX_END, HEAP_INDEX_BASE },
};

uint32_t system_page_calls;

#define OPENED_AHEAD (64u * PAGE_SIZE)

static void reserve_windows(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(windows); i++) {
        void *start = (void *)windows[i].start;
        size_t size = windows[i].end - windows[i].start;
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;

        if (mmap(start, size, PROT_NONE, flags, -1, 0) != start)
            panic("bench: no room for the heap's window at %p", start);
    }
}

static struct window *window_of(vaddr_t page)
{
    size_t i = 0;
    while (i < ARRAY_SIZE(windows) && (page < windows[i].start || page >= windows[i].end))
        i++;
    if (i == ARRAY_SIZE(windows))
        panic("bench: the heap maps %p, outside of its windows", (void *)page);
    return &windows[i];
}

bool heap_system_map(vaddr_t first, size_t pages)
{
    struct window *window = window_of(first);
    vaddr_t need = first + pages * PAGE_SIZE;

    system_page_calls++;
    if (need > window->open) {
        vaddr_t open = need + OPENED_AHEAD < window->end ? need + OPENED_AHEAD : window->end;
        if (mprotect((void *)window->open, open - window->open, PROT_READ | PROT_WRITE) != 0)
            return false;
        window->open = open;
    }
    return true;
}

void heap_system_unmap(vaddr_t first UNUSED, size_t pages UNUSED)
{
    system_page_calls++;
}

void system_heap_init(void)
{
    reserve_windows();
    heap_init(HEAP_BASE, HEAP_MAX, HEAP_INDEX_BASE);
}

void heap_system_grow_lock(void)
{
}

bool heap_system_try_grow_lock(void)
{
    return true;
}

void heap_system_grow_unlock(void)
{
}
