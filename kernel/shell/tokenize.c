/*
 * Splits a command line into words, in place: quotes and backslashes go, so a word never takes
 * more room than it had, and the writing position never overtakes the reading one.
 */
#include <shell/tokenize.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/*
 * Copies what stands between the quote at `read` and its partner. Moves both positions behind it;
 * false if the partner is missing.
 */
static bool take_quoted(char **read, char **write)
{
    char quote = *(*read)++;

    while (**read != '\0' && **read != quote) {
        if (quote == '"' && **read == '\\' && *++*read == '\0')
            return false;
        *(*write)++ = *(*read)++;
    }
    return *(*read)++ == quote;
}

/* Copies the word at *read to *write up to the blank or NUL that ends it. */
static bool take_word(char **read, char **write)
{
    while (**read != '\0' && !is_blank(**read)) {
        if (**read == '"' || **read == '\'') {
            if (!take_quoted(read, write))
                return false;
            continue;
        }
        if (**read == '\\' && *++*read == '\0')
            return false;
        *(*write)++ = *(*read)++;
    }
    return true;
}

int tokenize(char *line, char **words, size_t max)
{
    char *read = line;
    size_t count = 0;

    for (;;) {
        while (is_blank(*read))
            read++;
        if (*read == '\0' || *read == '#')
            return (int)count;
        if (count == max)
            return TOKENIZE_TOO_MANY;

        char *write = read;
        words[count++] = write;
        if (!take_word(&read, &write))
            return TOKENIZE_UNCLOSED_QUOTE;
        bool at_end = *read == '\0';
        *write = '\0';
        if (at_end)
            return (int)count;
        read++;
    }
}
