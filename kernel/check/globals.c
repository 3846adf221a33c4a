/*
 * Global variables: their red zones, and their names for reports.
 *
 * Each object file has a constructor that calls __asan_register_globals() with a table of its
 * variables. The tables stay where they are; here is a list of them.
 *
 * The layout of a table's entry is GCC's (gcc/asan.cc, asan_global_struct).
 */
#include "check/globals.h"
#include "check/shadow.h"
#include <panic.h>

#define TABLES 512u /* far more than there are object files */

struct asan_global {
    vaddr_t start;
    size_t size;
    size_t size_with_red_zone;
    const char *name;
    const char *file;
    uint32_t dynamic_initialiser;
    const void *location;
    uint32_t odr_indicator;
};

static struct {
    const struct asan_global *globals;
    size_t count;
} tables[TABLES];
static uint32_t table_count;

extern void (*const _constructors_start[])(void), (*const _constructors_end[])(void);

void __asan_register_globals(const struct asan_global *globals, size_t count);
void __asan_unregister_globals(const struct asan_global *globals, size_t count);

void __asan_register_globals(const struct asan_global *globals, size_t count)
{
    ASSERT(table_count < TABLES);
    tables[table_count].globals = globals;
    tables[table_count++].count = count;

    for (const struct asan_global *global = globals; global < globals + count; global++) {
        size_t whole = (global->size + GRANULE - 1) / GRANULE * GRANULE;
        shadow_allow(global->start, global->size);
        shadow_forbid(global->start + whole, global->size_with_red_zone - whole, SHADOW_GLOBAL);
    }
}

/* The kernel never ends, so nobody calls this; the destructors that would are dropped. */
void __asan_unregister_globals(const struct asan_global *globals UNUSED, size_t count UNUSED)
{
}

void check_globals_init(void)
{
    for (void (*const *constructor)(void) = _constructors_start; constructor < _constructors_end;
         constructor++)
        (*constructor)();
}

bool check_global_find(vaddr_t address, struct check_global *found)
{
    for (uint32_t i = 0; i < table_count; i++) {
        for (size_t j = 0; j < tables[i].count; j++) {
            const struct asan_global *global = &tables[i].globals[j];
            if (address - global->start >= global->size_with_red_zone)
                continue;
            *found =
                (struct check_global){ global->name, global->file, global->start, global->size };
            return true;
        }
    }
    return false;
}
