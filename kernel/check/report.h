/*
 * What reports have in common.
 */
#ifndef CHECK_REPORT_H
#define CHECK_REPORT_H

#include <types.h>

struct check_block;

/* The panic that is about to follow tells what `address` belongs to, and draws its shadow. */
void check_details_of(vaddr_t address);

/* Prints a block, where `address` lies as seen from it, and who allocated and freed it. */
void check_print_block(const struct check_block *block, vaddr_t address);

#endif
