/*
 * The kernel's command line.
 *
 * Words are compared where they stand, by address and length: nothing is copied but what is
 * reported, so no word is too long. The text comes from outside and may hold any byte.
 */
#include <cmdline.h>
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
        return false;
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
