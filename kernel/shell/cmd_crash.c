/*
 * The command `crash`: provokes a fault, to show how it is named.
 */
#include <shell/shell.h>
#include <shell/crash.h>
#include "mem/layout.h"
#include <heap.h>
#include <lib/string.h>
#include <log.h>
#include <mem/pmm.h>
#include <mem/sections.h>
#include <panic.h>
#include <x86/irq.h>

/* The compiler must neither see that these accesses are wrong nor leave them out. */
static volatile uint32_t *address_of(uint32_t address)
{
    __asm__ volatile("" : "+r"(address));
    return (volatile uint32_t *)(uintptr_t)address;
}

/* With UBSAN=1 the compiler would look at the pointer first: here the CPU shall find it. */
#define UNCHECKED __attribute__((no_sanitize("undefined")))

static UNCHECKED void crash_null_read(void)
{
    (void)*address_of(0);
}

static UNCHECKED void crash_null_write(void)
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
    __asm__ volatile(".byte 0x0f, 0xff, 0xc0"); /* UD0: UD1 and UD2 are compilers' */
}

static void crash_stack_overflow(void)
{
    void (*again)(void) = crash_stack_overflow;

    __asm__ volatile("" : "+r"(again));
    again();
}

static void crash_undefined_behaviour(void)
{
    static uint32_t words[4];
    uint32_t index = 5; /* clang lets the place just behind an array pass */

    __asm__ volatile("" : "+r"(index));
    words[index]++;
    __asm__ volatile("" : : "m"(words));
}

/* The block behind it keeps it from melting into the wilderness, where nobody could tell its size.
 */
static void crash_double_free(void)
{
    void *block = kmalloc(100), *behind = kmalloc(100);

    __asm__ volatile("" : : "r"(behind));
    kfree(block);
    __asm__ volatile("" : "+r"(block));
    kfree(block);
}

/* One byte too many, as a string without room for its end. The canary shows it. */
static void crash_heap_overflow(void)
{
    char *text = kmalloc(20);

    __asm__ volatile("" : "+r"(text));
    text[20] = '\0';
    kfree(text);
}

/* The word before a block is its head. */
static void crash_heap_underflow(void)
{
    uint32_t *block = kmalloc(400), *behind = kmalloc(400);

    __asm__ volatile("" : "+r"(block) : "r"(behind));
    block[-1] = 0;
    kfree(block);
}

static void crash_invalid_free(void)
{
    uint8_t *block = kmalloc(100);

    __asm__ volatile("" : "+r"(block));
    kfree(block + 8);
}

/* A handler runs on the stack of the thread that it interrupted. */
static void crash_interrupt_read(void)
{
    irq_register(IRQ_SOFTWARE, crash_null_read, "crash");
    irq_raise_software();
}

static void crash_interrupt_overflow(void)
{
    irq_register(IRQ_SOFTWARE, crash_stack_overflow, "crash");
    irq_raise_software();
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

/* As a loop that runs one word too far: over the guard, but not yet over what lies behind it. */
static void crash_stack_smash(void)
{
    uint32_t words[4], count = 5;

    __asm__ volatile("" : "+r"(count));
    for (uint32_t i = 0; i < count; i++)
        *address_of((uint32_t)(uintptr_t)&words[0] + i * sizeof(words[0])) = i;
}

static const struct crash {
    const char *kind;
    void (*provoke)(void);
    const char *what; /* one line of the list */
} crashes[] = {
    { "null-read", crash_null_read, "reads where a NULL pointer points" },
    { "null-write", crash_null_write, "writes there" },
    { "null-call", crash_null_call, "calls a function that is NULL" },
    { "unmapped", crash_unmapped, "reads where nothing is mapped" },
    { "text-write", crash_text_write, "writes to the kernel's text" },
    { "rodata-write", crash_rodata_write, "writes to a constant" },
    { "divide", crash_divide, "divides by zero" },
    { "invalid-opcode", crash_invalid_opcode, "executes what is no instruction" },
    { "stack-overflow", crash_stack_overflow, "calls itself until the stack is full" },
    { "stack-smash", crash_stack_smash, "writes beyond an array on the stack" },
    { "undefined-behaviour", crash_undefined_behaviour, "uses an index beyond an array" },
    { "interrupt-read", crash_interrupt_read, "reads through NULL in an interrupt handler" },
    { "interrupt-overflow", crash_interrupt_overflow, "fills the stack in an interrupt handler" },
    { "double-free", crash_double_free, "frees a block twice" },
    { "invalid-free", crash_invalid_free, "frees an address inside a block" },
    { "heap-overflow", crash_heap_overflow, "writes a byte behind a block, then frees it" },
    { "heap-underflow", crash_heap_underflow, "writes a word before a block, then frees it" },
    { "frame-double-free", crash_frame_double_free, "frees a frame twice" },
    { "frame-invalid-free", crash_frame_invalid_free, "frees a frame of the kernel's image" },
    { "frame-wrong-owner", crash_frame_wrong_owner, "frees a frame as another owner's" },
    { "assert", crash_assert, "asserts what is not true" },
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

static void list_kinds(void)
{
    for (const struct crash *crash = crashes; crash < crashes + ARRAY_SIZE(crashes); crash++)
        kprintf("%-20s %s\n", crash->kind, crash->what);
    for (const struct crash_kind *kind = _crashes_start; kind < _crashes_end; kind++)
        kprintf("%-20s %s" NEEDS_CHECK "\n", kind->kind, kind->does);
}

SHELL_COMMAND_COMPLETED(crash, "crash [KIND]", "provokes a fault, or lists the kinds",
                        "crash null-read", kinds)
{
    if (argc > 2)
        return SHELL_USAGE;
    if (argc == 1) {
        list_kinds();
        return SHELL_OK;
    }
    for (uint32_t i = 0; i < ARRAY_SIZE(crashes); i++) {
        if (strcmp(argv[1], crashes[i].kind) != 0)
            continue;
        crashes[i].provoke();
        return shell_error("nothing has noticed it");
    }
    for (const struct crash_kind *kind = _crashes_start; kind < _crashes_end; kind++) {
        if (strcmp(argv[1], kind->kind) == 0)
            return crash_checked(kind);
    }
    return shell_error("unknown kind %.32s", argv[1]);
}
