/*
 * The global variables that have red zones.
 */
#ifndef CHECK_GLOBALS_H
#define CHECK_GLOBALS_H

#include <types.h>

struct check_global {
    const char *name;
    const char *file;
    vaddr_t start;
    size_t size;
};

/* Runs the constructors by which every object file tells of its globals. */
void check_globals_init(void);

/* The global variable that an address, or the red zone around it, belongs to. False: none. */
bool check_global_find(vaddr_t address, struct check_global *global);

#endif
