/*
 * The checks that the compiler calls, behind the fast path in access.S, and beginning with them.
 */
#include "check/access.h"
#include "check/globals.h"
#include "check/interrupts.h"
#include "check/pages.h"
#include "check/shadow.h"
#include "check/trace.h"
#include "x86/regs.h"
#include <check.h>

/* Bits of how an access is made; access.S has them too. */
#define BY_WRITE 1u
#define BY_RANGE 2u

bool check_on;

void check_access(const struct regs *regs, vaddr_t address, size_t size, uint32_t how);
void __asan_handle_no_return(void);
void __asan_poison_stack_memory(vaddr_t start, size_t size);
void __asan_unpoison_stack_memory(vaddr_t start, size_t size);

void check_init(void)
{
    shadow_pages_init();
    check_globals_init();
    check_on = true;
}

void check_stop(void)
{
    check_on = false;
}

extern const char _unchecked_start[], _unchecked_end[];

/* Whether code is of those files that the compiler puts no checks into. */
static bool is_unchecked(uint32_t code)
{
    return code >= (uint32_t)(uintptr_t)_unchecked_start &&
           code < (uint32_t)(uintptr_t)_unchecked_end;
}

uint32_t check_caller_of(const struct regs *regs)
{
    return ((const uint32_t *)(uintptr_t)regs->ebp)[1];
}

/* Called by access.S. `regs` are those of the call, which pushed the address and the size. */
void check_access(const struct regs *regs, vaddr_t address, size_t size, uint32_t how)
{
    struct access access = { address, size, how & BY_WRITE, how & BY_RANGE, 0 };

    check_budget -= (int32_t)(size / sizeof(uint64_t)) + 1;
    if (check_budget < 0)
        check_budget_used_up(regs, regs_esp(regs) + sizeof(uint32_t));
    if (shadow_find_forbidden(address, size, &access.forbidden) &&
        !(access.range && is_unchecked(check_caller_of(regs))))
        check_report(&access, regs, regs_esp(regs) + sizeof(uint32_t));
}

/* The functions that are active will not run to their ends, where they would allow their frames. */
void __asan_handle_no_return(void)
{
    vaddr_t here = (vaddr_t)__builtin_frame_address(0) & ~(vaddr_t)(GRANULE - 1);

    if (check_on)
        shadow_allow(here, check_stack_end(here) - here);
}

/* A variable's block has ended, or begins anew. */
void __asan_poison_stack_memory(vaddr_t start, size_t size)
{
    if (check_on)
        shadow_forbid(start, (size + GRANULE - 1) / GRANULE * GRANULE, SHADOW_STACK_SCOPE);
}

void __asan_unpoison_stack_memory(vaddr_t start, size_t size)
{
    if (check_on)
        shadow_allow(start, size);
}
