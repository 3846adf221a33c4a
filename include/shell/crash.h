/*
 * Kinds of faults for the command `crash`, each in a table's entry beside its code, collected by
 * the linker:
 *
 *     CRASH_CHECKED(use_after_free, "use-after-free", "reads a block that was freed") { ... }
 */
#ifndef SHELL_CRASH_H
#define SHELL_CRASH_H

#include <types.h>

struct crash_kind {
    const char *kind;
    const char *does; /* in a few words */
    void (*provoke)(void);
};

/* Names the function that follows; only the checking build sees what it does. */
#define CRASH_CHECKED(id, kind, does)                                                              \
    static void crash_##id(void);                                                                  \
    static const struct crash_kind crash_entry_##id                                                \
        __attribute__((used, section(".crashes." #id))) = { kind, does, crash_##id };              \
    static void crash_##id(void)

extern const struct crash_kind _crashes_start[], _crashes_end[];

#endif
