/*
 * The variables of a function's stack frame.
 *
 * At the lowest address of a frame with red zones lie three words: a magic number, the address of
 * a text that describes the variables, and the function's. The red zone that begins there has the
 * shadow SHADOW_STACK_LEFT.
 *
 * Source: the words are written by GCC (gcc/asan.cc, asan_emit_stack_protection).
 */
#include "check/frame.h"
#include "check/place.h"
#include "check/shadow.h"
#include "check/trace.h"

#define FRAME_MAGIC 0x41b58ab3u

struct frame_words {
    uint32_t magic;
    const char *description;
    uint32_t function;
};

static size_t read_number(const char **text)
{
    size_t number = 0;

    for (; **text >= '0' && **text <= '9'; ++*text)
        number = number * 10 + (size_t)(**text - '0');
    while (**text == ' ')
        ++*text;
    return number;
}

bool check_variable_next(const char **text, struct check_variable *variable)
{
    if (**text < '0' || **text > '9')
        return false;
    variable->start = read_number(text);
    variable->size = read_number(text);
    size_t rest = read_number(text);

    variable->name = *text;
    variable->name_length = 0;
    while (variable->name_length < rest && variable->name[variable->name_length] != ':')
        variable->name_length++; /* a line may follow the name: "buffer:17" */
    *text += rest;
    while (**text == ' ')
        ++*text;
    return true;
}

/* The words at the beginning of the frame in which an address lies, or NULL. */
static const struct frame_words *find_frame(vaddr_t address)
{
    vaddr_t end = check_stack_end(address);

    if (end == address)
        return NULL; /* on no stack */
    for (vaddr_t at = address & ~(vaddr_t)(GRANULE - 1); end - at <= STACK_SIZE; at -= GRANULE) {
        const struct frame_words *words = (const struct frame_words *)at;
        if (*shadow_of(at) == SHADOW_STACK_LEFT && words->magic == FRAME_MAGIC)
            return words;
    }
    return NULL;
}

static size_t distance(vaddr_t address, vaddr_t start, size_t size)
{
    return address < start ? start - address : address - (start + size - 1);
}

bool check_variable_find(vaddr_t address, struct check_variable *nearest)
{
    const struct frame_words *words = find_frame(address);
    struct check_variable variable;
    bool found = false;

    if (words == NULL)
        return false;
    const char *text = words->description;
    read_number(&text); /* how many there are */
    while (check_variable_next(&text, &variable)) {
        variable.start += (vaddr_t)words;
        variable.function = words->function;
        bool nearer = !found || distance(address, variable.start, variable.size) <
                                    distance(address, nearest->start, nearest->size);
        if (nearer)
            *nearest = variable;
        found = true;
    }
    return found;
}
