/*
 * The kernel's own functions, lines of source and variables by address. The build puts the tables
 * into the image (symbols.awk).
 */
#ifndef SYMBOLS_H
#define SYMBOLS_H

#include <types.h>

/*
 * The function that `address` lies in: its name, and the distance from its start. False for an
 * address outside the kernel's text.
 */
bool symbol_find(uint32_t address, const char **name, uint32_t *offset);

/* The line of source that `address` was compiled from; false where none is known. */
bool symbol_line(uint32_t address, const char **file, uint32_t *line);

/*
 * The variable or constant of the kernel's image that `address` lies in: its name, without the
 * function around it, and the distance from its start. False between them, and for what the
 * compiler has not named.
 */
bool symbol_find_variable(uint32_t address, const char **name, uint32_t *offset);

/* The functions in address order, from index 0; NULL behind the last. */
const char *symbol_name(uint32_t index, uint32_t *address);

#endif
