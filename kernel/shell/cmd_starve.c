/*
 * The command `starve`: lets requests for memory fail, for whoever asks, to see that all goes on.
 *
 * In front of a command it does so until that has ended, and says then whether anything was
 * left behind. By itself it starves the whole kernel from its return on, until the request has
 * come.
 */
#include <shell/shell.h>
#include "selftest/support.h"
#include <lib/number.h>
#include <lib/string.h>
#include <log.h>
#include <mem/starve.h>

static uint32_t all_seen(const struct starve_state *state)
{
    uint32_t sum = 0;

    for (uint32_t kind = 0; kind < STARVE_KINDS; kind++)
        sum += state->seen[kind];
    return sum;
}

static void print_seen(const struct starve_state *state)
{
    kprintf("%u seen: %u for frames, %u for page tables, %u for blocks\n", all_seen(state),
            state->seen[STARVE_FRAME], state->seen[STARVE_TABLE], state->seen[STARVE_BLOCK]);
}

static void print_failures(const struct starve_state *state)
{
    if (state->failed == 0)
        kprintf("starve: no request failed; ");
    else if (!state->forever)
        kprintf("starve: request %u failed, for a %s; ", state->at, starve_kind_text(state->first));
    else
        kprintf("starve: %u request%s failed, from number %u on, for a %s first; ", state->failed,
                state->failed == 1 ? "" : "s", state->at, starve_kind_text(state->first));
    print_seen(state);
}

static enum shell_result say_how_it_stands(void)
{
    struct starve_state state = starve_get();

    if (!state.on)
        kprintf("starve: off\n");
    else
        kprintf("starve: request %u will fail%s\n", state.at,
                state.forever ? " and all behind it" : "");
    if (state.at != 0)
        print_failures(&state);
    return SHELL_OK;
}

static enum shell_result run_starved(uint32_t at, bool forever, int argc, char **argv)
{
    if (strcmp(argv[0], "starve") == 0)
        return shell_error("starve cannot starve itself");

    struct figures before = figures_take();
    starve_begin(at, forever);
    shell_run_words(argc, argv);
    starve_end();

    struct starve_state state = starve_get();
    const char *changed = figures_compare(&before);
    const char *broken = memory_fault();
    if (state.at == at && state.forever == forever)
        print_failures(&state);
    else
        kprintf("starve: the command has set another number itself\n"); /* selftest does */
    if (broken != NULL)
        return shell_error("memory is broken: %s", broken);
    kprintf("starve: %s\n", changed != NULL ? changed : "nothing is left behind");
    return SHELL_OK;
}

static const char *words(uint32_t argument, uint32_t index)
{
    if (argument == 1)
        return index == 0 ? "off" : NULL;
    if (argument == 2 && index == 0)
        return "forever";
    const struct shell_command *command = shell_command(index - (argument == 2));
    return command != NULL && argument <= 3 ? command->name : NULL;
}

SHELL_COMMAND_COMPLETED(starve, "starve [N [forever] [COMMAND...] | off]",
                        "lets the Nth request for memory fail", "starve 3 kmalloc 100000", words)
{
    uint32_t at;

    if (argc == 1)
        return say_how_it_stands();
    if (argc == 2 && strcmp(argv[1], "off") == 0) {
        starve_end();
        return say_how_it_stands();
    }
    if (!parse_decimal(argv[1], &at) || at == 0)
        return SHELL_USAGE;
    bool forever = argc > 2 && strcmp(argv[2], "forever") == 0;
    int used = forever ? 3 : 2;
    if (argc > used)
        return run_starved(at, forever, argc - used, argv + used);
    starve_begin(at, forever);
    return say_how_it_stands();
}
