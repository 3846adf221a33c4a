/*
 * Accesses to memory that are not allowed.
 */
#ifndef CHECK_ACCESS_H
#define CHECK_ACCESS_H

#include <types.h>

struct regs;

struct access {
    vaddr_t address; /* of its first byte */
    size_t size;
    bool write;
    bool range; /* by a function like memcpy that has checked a range: its caller is to blame */
    vaddr_t forbidden; /* the first byte of it that may not be touched */
};

/* Where the function returns to in which `regs` were taken. */
uint32_t check_caller_of(const struct regs *regs);

/* Panics with all that is known of the access, or lets it pass if a test waits for it. */
void check_report(const struct access *access, const struct regs *regs, uint32_t esp);

#endif
