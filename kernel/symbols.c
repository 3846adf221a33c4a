/*
 * Looking up functions, source lines and variables in the tables that the build made (symbols.awk):
 * functions sorted by address, and for each the steps from line to line of its source; variables
 * sorted by address.
 */
#include <symbols.h>
#include <mem/sections.h>

struct symbol {
    uint32_t address;
    uint32_t name; /* offset into symbol_names */
    union {
        uint32_t lines; /* of a function: offset into symbol_lines; up to that of the next */
        uint32_t size;  /* of a variable, in bytes */
    };
};

/* A step: how far the address moves in the high four bits, how far the line in the low ones. */
#define DISTANCE_MORE 15u /* and by the bytes that follow, up to and with the first below 255 */
#define LINE_BIAS     6u
#define LINE_BYTE     14u /* by the byte that follows */
#define LINE_JUMP     15u /* file and line follow */

extern const uint32_t symbol_count;
extern const struct symbol symbol_table[]; /* one more than symbol_count */
extern const uint32_t variable_count;
extern const struct symbol variable_table[];
extern const char symbol_names[];
extern const uint32_t symbol_files[]; /* offsets into symbol_names */
extern const uint8_t symbol_lines[];

const char *symbol_name(uint32_t index, uint32_t *address)
{
    if (index >= symbol_count)
        return NULL;
    *address = symbol_table[index].address;
    return symbol_names + symbol_table[index].name;
}

/* The last symbol that begins at `address` or before it, or NULL. */
static const struct symbol *last_until(const struct symbol *table, uint32_t count, uint32_t address)
{
    uint32_t low = 0, high = count; /* the symbol is the one before `low` in the end */

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (table[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? NULL : &table[low - 1];
}

/* The function that `address` lies in, or NULL. */
static const struct symbol *find(uint32_t address)
{
    if (address < (uint32_t)(uintptr_t)_text_start || address >= (uint32_t)(uintptr_t)_text_end)
        return NULL;
    return last_until(symbol_table, symbol_count, address);
}

bool symbol_find(uint32_t address, const char **name, uint32_t *offset)
{
    const struct symbol *symbol = find(address);

    if (symbol == NULL)
        return false;
    *name = symbol_names + symbol->name;
    *offset = address - symbol->address;
    return true;
}

bool symbol_find_variable(uint32_t address, const char **name, uint32_t *offset)
{
    const struct symbol *symbol = last_until(variable_table, variable_count, address);

    if (symbol == NULL || address - symbol->address >= symbol->size)
        return false;
    *name = symbol_names + symbol->name;
    *offset = address - symbol->address;
    return true;
}

static uint32_t half_word(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8;
}

/* How far the step at *step moves the address; *step then is behind that. */
static uint32_t step_distance(const uint8_t **step)
{
    uint32_t distance = *(*step)++ >> 4;

    if (distance == DISTANCE_MORE) {
        do {
            distance += **step;
        } while (*(*step)++ == 255);
    }
    return distance;
}

bool symbol_line(uint32_t address, const char **file, uint32_t *line)
{
    const struct symbol *symbol = find(address);
    uint32_t at, in_file = 0, in_line = 0;

    if (symbol == NULL)
        return false;
    const uint8_t *step = symbol_lines + symbol[0].lines, *end = symbol_lines + symbol[1].lines;
    for (at = symbol->address; step < end;) {
        uint32_t lines = *step & 15;

        at += step_distance(&step);
        if (at > address)
            break;
        if (lines == LINE_JUMP) {
            in_file = half_word(step);
            in_line = half_word(step + 2);
            step += 4;
        } else if (lines == LINE_BYTE) {
            in_line += (uint32_t)(int8_t)*step++;
        } else {
            in_line += lines - LINE_BIAS;
        }
    }
    *file = symbol_names + symbol_files[in_file];
    *line = in_line;
    return in_line != 0;
}
