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

/* Panics with all that is known of the access, or lets it pass if a test waits for it. */
void check_report(const struct access *access, const struct regs *regs, uint32_t esp);

/*
 * For tests: from check_catch(true) to check_catch(false) the calling thread's forbidden accesses
 * are counted, and happen. check_caught() is how many there were, and the last of them.
 */
void check_catch(bool on);
uint32_t check_caught(struct access *last);

#endif
