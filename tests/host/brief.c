/*
 * How long random tests take.
 */
#include <stdlib.h>

#include "brief.h"

uint32_t test_rounds(uint32_t full)
{
    uint32_t brief = full / 20;

    if (getenv("RONINOS_TEST_BRIEF") == NULL)
        return full;
    return brief > 0 ? brief : 1;
}
