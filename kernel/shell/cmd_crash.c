/*
 * The command `crash`: provokes a fault, to show how it is named.
 */
#include <shell/shell.h>
#include <shell/crash.h>
#include "mem/layout.h"
#include <lib/string.h>
#include <log.h>
#include <mem/pmm.h>
#include <mem/sections.h>
#include <panic.h>

/* The compiler must neither see that these accesses are wrong nor leave them out. */
static volatile uint32_t *address_of(uint32_t address)
{
    __asm__ volatile("" : "+r"(address));
    return (volatile uint32_t *)(uintptr_t)address;
}

static void crash_null_read(void)
{
    (void)*address_of(0);
}

static void crash_null_write(void)
{
    *address_of(0) = 1;
}

static void crash_null_call(void)
{
    ((void (*)(void))(uintptr_t)address_of(0))();
}

static void crash_unmapped(void)
{
    (void)*address_of(NOWHERE_BASE);
}

static void crash_text_write(void)
{
    *address_of((uint32_t)(uintptr_t)_text_start) = 1;
}

static void crash_rodata_write(void)
{
    *address_of((uint32_t)(uintptr_t)_rodata_start) = 1;
}

static void crash_divide(void)
{
    uint32_t quotient = 1, rest = 0, zero = 0;
    __asm__ volatile("divl %2" : "+a"(quotient), "+d"(rest) : "r"(zero));
}

static void crash_invalid_opcode(void)
{
    __asm__ volatile("ud2");
}

static void crash_stack_overflow(void)
{
    void (*again)(void) = crash_stack_overflow;

    __asm__ volatile("" : "+r"(again));
    again();
}

/* A frame for what follows; without one there is nothing to provoke. */
static paddr_t a_frame(void)
{
    paddr_t frame = pmm_alloc_frame();
    ASSERT(frame != 0);
    return frame;
}

static void crash_frame_double_free(void)
{
    paddr_t frame = a_frame();

    pmm_free_frame(frame);
    pmm_free_frame(frame);
}

static void crash_frame_invalid_free(void)
{
    pmm_free_frame(KERNEL_LOAD);
}

static void crash_frame_wrong_owner(void)
{
    pmm_free_frame_of(FRAME_DRIVERS, a_frame());
}

static void crash_assert(void)
{
    uint32_t two = 2;
    __asm__ volatile("" : "+r"(two));
    ASSERT(two + two == 5);
}

static const struct {
    const char *kind;
    void (*provoke)(void);
} crashes[] = {
    { "null-read", crash_null_read },
    { "null-write", crash_null_write },
    { "null-call", crash_null_call },
    { "unmapped", crash_unmapped },
    { "text-write", crash_text_write },
    { "rodata-write", crash_rodata_write },
    { "divide", crash_divide },
    { "invalid-opcode", crash_invalid_opcode },
    { "stack-overflow", crash_stack_overflow },
    { "frame-double-free", crash_frame_double_free },
    { "frame-invalid-free", crash_frame_invalid_free },
    { "frame-wrong-owner", crash_frame_wrong_owner },
    { "assert", crash_assert },
};

/* What only the checking build sees. */
#ifdef CHECK
#define NEEDS_CHECK ""
#else
#define NEEDS_CHECK " (needs the checking build)"
#endif

static enum shell_result crash_checked(const struct crash_kind *kind)
{
    if (NEEDS_CHECK[0] != '\0')
        return shell_error("%s needs the checking build: make CHECK=1", kind->kind);
    kind->provoke();
    return shell_error("nothing has noticed it");
}

static const char *kinds(uint32_t argument, uint32_t index)
{
    if (argument != 1)
        return NULL;
    if (index < ARRAY_SIZE(crashes))
        return crashes[index].kind;
    const struct crash_kind *kind = _crashes_start + (index - ARRAY_SIZE(crashes));
    return kind < _crashes_end ? kind->kind : NULL;
}

SHELL_COMMAND_COMPLETED(crash, "crash [KIND]", "provokes a fault, or lists the kinds",
                        "crash null-read", kinds)
{
    if (argc > 2)
        return SHELL_USAGE;
    for (uint32_t i = 0; i < ARRAY_SIZE(crashes); i++) {
        if (argc == 1)
            kprintf("%s\n", crashes[i].kind);
        else if (strcmp(argv[1], crashes[i].kind) == 0)
            crashes[i].provoke();
    }
    for (const struct crash_kind *kind = _crashes_start; kind < _crashes_end; kind++) {
        if (argc == 1)
            kprintf("%s  %s" NEEDS_CHECK "\n", kind->kind, kind->does);
        else if (strcmp(argv[1], kind->kind) == 0)
            return crash_checked(kind);
    }
    return argc == 1 ? SHELL_OK : shell_error("unknown kind %.32s", argv[1]);
}
