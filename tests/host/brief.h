/*
 * How long random tests take. A mutation run (tests/mutate.py) has thousands of programs to test and
 * needs short ones: it sets RONINOS_TEST_BRIEF, and tries what that left over at full length.
 */
#ifndef TESTS_BRIEF_H
#define TESTS_BRIEF_H

#include <types.h>

/* `full`, or a twentieth of it when tests are to be brief; at least 1. */
uint32_t test_rounds(uint32_t full);

#endif
