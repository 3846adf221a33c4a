/*
 * The command `who`: what a panic would say of an address.
 */
#include <shell/shell.h>
#include <address.h>
#include <lib/number.h>
#include <x86/io.h>

SHELL_COMMAND(who, "who ADDR", "says what an address belongs to, as a panic would", "who 100000")
{
    struct address_text text;
    uint32_t address;

    if (argc != 2 || !parse_hex(argv[1], &address))
        return SHELL_USAGE;

    uint32_t flags = interrupts_save(); /* nobody changes the heap meanwhile */
    address_describe(address, &text);
    interrupts_restore(flags);
    address_print(address, &text);
    return SHELL_OK;
}
