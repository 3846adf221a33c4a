/*
 * The kernel's command line.
 *
 * Words are compared where they stand, by address and length: nothing is copied but what is
 * reported, so no word is too long. The text comes from outside and may hold any byte.
 */
#include <cmdline.h>
#include <lib/number.h>
#include <lib/string.h>

struct word {
    const char *start;
    size_t length;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Takes the next word off `*text`. False if only blanks are left. */
static bool next_word(const char **text, struct word *word)
{
    const char *at = *text;

    while (is_blank(*at))
        at++;
    word->start = at;
    while (*at != '\0' && !is_blank(*at))
        at++;
    word->length = (size_t)(at - word->start);
    *text = at;
    return word->length > 0;
}

static bool word_is(const struct word *word, const char *text)
{
    return strlen(text) == word->length && memcmp(word->start, text, word->length) == 0;
}

/* starve=N, or starve=N,forever; N from 1 to 9999999. */
static bool apply_starve(const struct word *word, struct cmdline *out)
{
    static const char name[] = "starve=", forever[] = ",forever";
    char digits[8];
    uint32_t at;

    if (word->length < strlen(name) || memcmp(word->start, name, strlen(name)) != 0)
        return false;
    size_t length = word->length - strlen(name);
    const char *number = word->start + strlen(name);
    bool all = length > strlen(forever) &&
               memcmp(number + length - strlen(forever), forever, strlen(forever)) == 0;
    if (all)
        length -= strlen(forever);
    if (length >= sizeof(digits))
        return false;
    strcopy(digits, number, length + 1);
    if (!parse_decimal(digits, &at) || at == 0)
        return false;
    out->starve = at;
    out->starve_all = all;
    return true;
}

/* Does what `word` says. False if it says nothing that is known. */
static bool apply_word(const struct word *word, struct cmdline *out)
{
    if (word_is(word, "selftest"))
        out->selftest = true;
    else if (word_is(word, "console=serial"))
        out->serial_only = true;
    else if (word_is(word, "pit=off"))
        out->pit_off = true;
    else if (word_is(word, "small=off"))
        out->small_off = true;
    else if (word_is(word, "keymap=us"))
        strcopy(out->keymap, "us", sizeof(out->keymap));
    else if (word_is(word, "keymap=de"))
        strcopy(out->keymap, "de", sizeof(out->keymap));
    else
        return apply_starve(word, out);
    return true;
}

/* Makes a string of `word` that any terminal can take. */
static void printable_word(const struct word *word, char text[static CMDLINE_WORD_SIZE])
{
    static const char ellipsis[] = "...";
    bool cut = word->length >= CMDLINE_WORD_SIZE;
    size_t kept = cut ? CMDLINE_WORD_SIZE - sizeof(ellipsis) : word->length;

    for (size_t i = 0; i < kept; i++) {
        char c = word->start[i];
        text[i] = c > ' ' && c <= '~' ? c : '?';
    }
    strcopy(text + kept, cut ? ellipsis : "", CMDLINE_WORD_SIZE - kept);
}

void cmdline_parse(const char *text, struct cmdline *out,
                   void (*unknown)(void *arg, const char *word), void *arg)
{
    struct word word;

    *out = (struct cmdline){ .keymap = "us" };
    if (text == NULL)
        return;
    while (next_word(&text, &word)) {
        char report[CMDLINE_WORD_SIZE];

        if (apply_word(&word, out) || unknown == NULL)
            continue;
        printable_word(&word, report);
        unknown(arg, report);
    }
}
