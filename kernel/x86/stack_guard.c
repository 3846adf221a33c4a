/*
 * The stack protector: each function with an array keeps a copy of the guard between its variables
 * and its return address, and compares the two before it returns. GCC makes the code
 * (-fstack-protector-strong), which knows the two names here.
 *
 * The guard's lowest byte is zero, so that no string that runs over writes it back by chance.
 */
#include <x86/stack_guard.h>
#include <drivers/pit.h>
#include <panic.h>
#include <symbols.h>
#include <x86/cpu.h>

#define RDRAND_TRIES 10u /* Intel SDM vol 1, "Random Number Generator Instructions" */

/* Mixes every bit of a word into every other: a step of the 32-bit finalizer of MurmurHash3. */
#define MIX          0x85ebca6bu

uintptr_t __stack_chk_guard = 0x5aa50f00; /* until it is seeded */

_Noreturn void __stack_chk_fail(void);

void __stack_chk_fail(void)
{
    uint32_t address = (uint32_t)(uintptr_t)__builtin_return_address(0) - 1;
    const char *name = "?";
    uint32_t offset;

    if (!symbol_find(address, &name, &offset))
        name = "?";
    panic("stack smash in %s: it wrote beyond an array on its stack", name);
}

static bool rdrand(uint32_t *value)
{
    bool valid = false;

    for (uint32_t i = 0; i < RDRAND_TRIES && !valid; i++)
        __asm__ volatile("rdrand %0\n\t"
                         "setc %1"
                         : "=r"(*value), "=qm"(valid)
                         :
                         : "cc");
    return valid;
}

NO_STACK_PROTECTOR void stack_guard_init(void)
{
    uint32_t seed = 0;

    if (!cpu.has_rdrand || !rdrand(&seed)) {
        uint64_t tsc = cpu_tsc();

        /* Firmware has left the PIT running; how long it took until here decides both. */
        seed = ((uint32_t)tsc ^ (uint32_t)(tsc >> 32) ^ pit_read() << 16) * MIX;
        seed ^= seed >> 13;
    }
    __stack_chk_guard = seed & ~0xffu;
}
