/*
 * The variables of a function's stack frame, as the compiler describes them.
 */
#ifndef CHECK_FRAME_H
#define CHECK_FRAME_H

#include <types.h>

struct check_variable {
    const char *name; /* not terminated */
    size_t name_length;
    vaddr_t start;
    size_t size;
    uint32_t function; /* its address */
};

/*
 * The variable next to which an address on a stack lies, `address` being in a red zone. False when
 * no frame with variables is found.
 */
bool check_variable_find(vaddr_t address, struct check_variable *variable);

/*
 * Reads the next of the variables from a description, "COUNT (OFFSET SIZE NAMELENGTH NAME)...", at
 * *text, behind the count. variable->start becomes the offset. False at the end. Pure.
 */
bool check_variable_next(const char **text, struct check_variable *variable);

#endif
