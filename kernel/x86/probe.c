/*
 * What becomes of a fault in probe.S.
 */
#include <x86/probe.h>
#include "x86/regs.h"

extern const char probe_access[], probe_failed[];

bool probe_recover(struct regs *regs)
{
    if (regs->eip != (uint32_t)(uintptr_t)probe_access)
        return false;
    regs->eip = (uint32_t)(uintptr_t)probe_failed;
    return true;
}
