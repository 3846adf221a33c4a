/*
 * Looking up functions in the table that the build made: pairs of address and name offset, sorted
 * by address.
 */
#include <symbols.h>
#include <mem/sections.h>

struct symbol {
    uint32_t address;
    uint32_t name; /* offset into symbol_names */
};

extern const uint32_t symbol_count;
extern const struct symbol symbol_table[];
extern const char symbol_names[];

const char *symbol_name(uint32_t index, uint32_t *address)
{
    if (index >= symbol_count)
        return NULL;
    *address = symbol_table[index].address;
    return symbol_names + symbol_table[index].name;
}

bool symbol_find(uint32_t address, const char **name, uint32_t *offset)
{
    uint32_t low = 0, high = symbol_count; /* the symbol is the one before `low` in the end */

    if (address < (uint32_t)(uintptr_t)_text_start || address >= (uint32_t)(uintptr_t)_text_end)
        return false;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (symbol_table[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return false;
    *name = symbol_names + symbol_table[low - 1].name;
    *offset = address - symbol_table[low - 1].address;
    return true;
}
