/*
 * The checks that the compiler calls, behind the fast path in access.S, and beginning with them.
 */
#include "check/access.h"
#include "check/globals.h"
#include "check/pages.h"
#include "check/shadow.h"
#include "check/trace.h"
#include "x86/regs.h"
#include <check.h>

/* Bits of how an access is made; access.S has them too. */
#define BY_WRITE 1u
#define BY_RANGE 2u

bool check_on; /* there is a shadow, and what it forbids is reported */

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

/* Called by access.S. `regs` are those of the call, which pushed the address and the size. */
void check_access(const struct regs *regs, vaddr_t address, size_t size, uint32_t how)
{
    struct access access = { address, size, how & BY_WRITE, how & BY_RANGE, 0 };

    if (shadow_find_forbidden(address, size, &access.forbidden))
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
