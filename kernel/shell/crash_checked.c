/*
 * Faults that only the checking build sees. The compiler must neither see that these accesses are
 * wrong nor leave them out: hide() stands for an address that it knows nothing about.
 */
#include <shell/crash.h>
#include <lib/string.h>

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
