/*
 * The shell, and how a command is made.
 *
 * A command is one table entry beside its code, collected by the linker:
 *
 *     SHELL_COMMAND(echo, "echo [WORD...]", "prints its words", "echo hello") { ... }
 *
 * Its words are argv[0] to argv[argc - 1], argv[0] being its name. It returns SHELL_OK also when
 * it has printed an `error: ...` line; SHELL_USAGE makes the shell print its usage. A command that
 * may run for long looks at thread_interrupted() and returns.
 */
#ifndef SHELL_SHELL_H
#define SHELL_SHELL_H

#include <types.h>

enum shell_result { SHELL_OK, SHELL_USAGE };

/* The candidate with that index for argument `argument` (from 1), or NULL behind the last. */
typedef const char *shell_candidates(uint32_t argument, uint32_t index);

struct shell_command {
    const char *name;
    const char *usage;   /* NAME and its arguments */
    const char *summary; /* one line of help */
    const char *example; /* a line that shows it at work */
    enum shell_result (*run)(int argc, char **argv);
    shell_candidates *candidates; /* NULL: arguments are not completed */
    bool background;              /* `NAME ... &` runs it in a thread of its own */
};

#define SHELL_COMMAND_ENTRY(id, ...)                                                               \
    static enum shell_result command_##id(int argc, char **argv);                                  \
    static const struct shell_command command_entry_##id                                           \
        __attribute__((used, section(".commands." #id))) = { #id, __VA_ARGS__ };                   \
    static enum shell_result command_##id(int argc UNUSED, char **argv UNUSED)

/* Names the function that follows. */
#define SHELL_COMMAND(id, usage, summary, example)                                                 \
    SHELL_COMMAND_ENTRY(id, usage, summary, example, command_##id, NULL, false)

/* The same, with words that Tab offers. */
#define SHELL_COMMAND_COMPLETED(id, usage, summary, example, candidates)                           \
    SHELL_COMMAND_ENTRY(id, usage, summary, example, command_##id, candidates, false)

/* The same, and it may run in the background. */
#define SHELL_COMMAND_BACKGROUND(id, usage, summary, example)                                      \
    SHELL_COMMAND_ENTRY(id, usage, summary, example, command_##id, NULL, true)

/* The command with that index, in the order of their names; NULL behind the last. */
const struct shell_command *shell_command(uint32_t index);

/* The command of that name, or NULL. */
const struct shell_command *shell_find(const char *name);

/*
 * Runs the command argv[0] with its words, argc of them and at least one; says so if there is no
 * such command. On the shell's thread.
 */
void shell_run_words(int argc, char **argv);

/* Reads and runs lines, for ever. */
_Noreturn void shell_run(void);

/* Prints "error: " and the message as one line; returns SHELL_OK, for `return shell_error(...)`. */
enum shell_result shell_error(const char *format, ...) PRINTF(1, 2);

#endif
