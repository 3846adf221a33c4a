/*
 * What reports have in common.
 */
#ifndef CHECK_REPORT_H
#define CHECK_REPORT_H

#include "check/access.h"
#include <types.h>

struct check_block;

/* What a test has caught. */
struct check_catch {
    uint32_t count;
    const char *what;     /* the last one's kind in words; NULL: none */
    struct access access; /* the last one that was an access */
};

/*
 * For tests: from the first to the second, what the calling thread does wrong is counted instead of
 * reported, and happens.
 */
void check_catch_begin(void);
struct check_catch check_catch_end(void);

/* Whether a report is not to be made, because a test has caught it. */
bool check_catch_report(const char *what);

/* The panic that is about to follow tells what `address` belongs to, and draws its shadow. */
void check_details_of(vaddr_t address);

/* Prints a block, where `address` lies as seen from it, and who allocated and freed it. */
void check_print_block(const struct check_block *block, vaddr_t address);

#endif
