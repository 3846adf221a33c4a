/*
 * Faults that only the checking build sees. The compiler must neither see that these accesses are
 * wrong nor leave them out: hide() gives an address that it knows nothing about.
 */
#include <shell/crash.h>
#include <check.h>
#include <heap.h>
#include <lib/string.h>
#include <sched/spinlock.h>
#include <sched/sync.h>
#include <sched/thread.h>
#include <x86/io.h>

static void *hide(void *address)
{
    __asm__ volatile("" : "+r"(address) : : "memory");
    return address;
}

static uint32_t numbers[5];

CRASH_CHECKED(global_overflow, "global-overflow", "writes behind a global array")
{
    volatile uint32_t *array = hide(numbers);

    array[ARRAY_SIZE(numbers)] = 1;
}

CRASH_CHECKED(stack_out_of_bounds, "stack-out-of-bounds", "reads behind an array on the stack")
{
    uint8_t local[10];
    volatile uint8_t *array = hide(local);

    (void)array[sizeof(local)];
}

CRASH_CHECKED(memcpy_overflow, "memcpy-overflow", "copies more bytes than a global array holds")
{
    uint8_t source[32] = { 0 };

    memcpy(hide(numbers), hide(source), sizeof(source));
}

/* ---- The heap ---- */

CRASH_CHECKED(use_after_free, "use-after-free", "reads a block that was freed")
{
    uint32_t *block = kmalloc(40);

    kfree(block);
    (void)*(volatile uint32_t *)hide(block + 2);
}

CRASH_CHECKED(heap_overread, "heap-overread", "reads the byte behind a block")
{
    uint8_t *block = kmalloc(13);

    (void)*(volatile uint8_t *)hide(block + 13);
    kfree(block);
}

CRASH_CHECKED(heap_underread, "heap-underread", "reads the word before a block")
{
    uint32_t *block = kmalloc(100);

    (void)*(volatile uint32_t *)hide(block - 1);
    kfree(block);
}

CRASH_CHECKED(free_overwrite, "free-overwrite",
              "writes to a freed block in assembly, then uses it up")
{
    uint8_t *block = kmalloc(100);

    kfree(block);
    __asm__ volatile("movb $1, 50(%0)" : : "r"(block) : "memory");
    check_heap_drain();
}

/* ---- Locks ---- */

static struct spinlock spinlock;
static struct mutex first = MUTEX_INITIALIZER(first), second = MUTEX_INITIALIZER(second);

CRASH_CHECKED(lock_twice, "lock-twice", "takes a spinlock that it holds")
{
    uint32_t outer = spin_lock(&spinlock);
    uint32_t inner = spin_lock(&spinlock);

    spin_unlock(&spinlock, inner);
    spin_unlock(&spinlock, outer);
}

static void take_in_order(struct mutex *one, struct mutex *other)
{
    mutex_lock(one);
    mutex_lock(other);
    mutex_unlock(other);
    mutex_unlock(one);
}

CRASH_CHECKED(lock_order, "lock-order", "takes two mutexes in one order, then in the other")
{
    take_in_order(&first, &second);
    take_in_order(&second, &first);
}

CRASH_CHECKED(lock_sleep, "lock-sleep", "sleeps while it holds a spinlock")
{
    uint32_t flags = spin_lock(&spinlock);

    thread_sleep(10);
    spin_unlock(&spinlock, flags);
}

static int take_and_end(void *mutex)
{
    mutex_lock(mutex);
    return 0;
}

CRASH_CHECKED(lock_foreign, "lock-foreign", "releases a mutex that another thread holds")
{
    struct thread *owner = thread_create("owner", take_and_end, &first);

    if (owner != NULL)
        thread_join(owner);
    mutex_unlock(&first);
}

CRASH_CHECKED(irq_off_long, "irq-off-long", "works for long with interrupts off")
{
    volatile uint32_t *number = hide(numbers);

    interrupts_disable();
    for (;;)
        ++*number;
}
