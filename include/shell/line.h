/*
 * The line editor: keys in, one line of UTF-8 text out.
 *
 * It has no device. It writes text and a few control characters through a callback, and what it
 * writes is right on every terminal that keeps the invariants of drivers/terminal.h, whatever its
 * width. The prompt is written once for each line; only Ctrl-L, a list of completions and
 * line_show() write it anew.
 *
 * Keys: arrows, Home, End, Delete, Backspace, Tab, Enter and
 *   Ctrl-A start   Ctrl-B left    Ctrl-U delete to the start   Ctrl-P older line   Ctrl-L clear
 *   Ctrl-E end     Ctrl-F right   Ctrl-K delete to the end     Ctrl-N newer line   Ctrl-C give up
 *   Ctrl-D delete the character under the cursor               Ctrl-W delete the word before it
 *
 * Everything is in the caller's struct, nothing is allocated. Nothing here locks.
 */
#ifndef SHELL_LINE_H
#define SHELL_LINE_H

#include <types.h>
#include <drivers/keys.h>

#define LINE_CHARACTERS      1024u /* the longest line; what goes beyond is refused */
#define LINE_BYTES           (4 * LINE_CHARACTERS) /* its UTF-8, whatever the characters */
#define LINE_CANDIDATE_BYTES 127u                  /* the longest word that Tab completes */
#define LINE_HISTORY_BYTES   8192u                 /* lines with their NULs; the oldest go first */

enum line_result {
    LINE_MORE,      /* the line is still open */
    LINE_DONE,      /* Enter: line_text() is the line */
    LINE_CANCELLED, /* Ctrl-C: the line was given up */
    LINE_TOO_LONG,  /* Enter on a line that had more than LINE_CHARACTERS typed into it */
};

/* Shows `length` bytes (1 to LINE_BYTES, more only for a longer prompt), not terminated. */
typedef void line_write_fn(void *arg, const char *bytes, size_t length);

/*
 * Offers words to complete the line's first `length` bytes (not terminated). Returns candidate
 * number `index`, counted from 0, as a string that lives until the next call, or NULL past the
 * last; for each candidate it sets *word to the offset (at most `length`) where the word begins
 * that the candidate would replace, the same for all. Candidates that do not begin with that word
 * are skipped, so offering every word of a table will do; so are those that are longer than
 * LINE_CANDIDATE_BYTES.
 */
typedef const char *line_complete_fn(void *arg, const char *line, size_t length, size_t index,
                                     size_t *word);

struct line_editor {
    /*
     * The width of the terminal, not 0; 80 unless the caller says otherwise. Only line_hide() and
     * lists of completions need it.
     */
    unsigned columns;

    /* The rest is private. */
    const char *prompt;
    line_write_fn *write;
    void *write_arg;
    line_complete_fn *complete;
    void *complete_arg;

    bool open;       /* from line_start() to a result other than LINE_MORE */
    bool hidden;     /* between line_hide() and line_show() */
    bool tabbed;     /* the last key was a Tab that could not decide */
    size_t length;   /* bytes in text */
    size_t cursor;   /* byte offset, always at the start of a character */
    size_t count;    /* characters in text */
    size_t overflow; /* characters typed when the line was full */
    char text[LINE_BYTES + 1];

    bool browsing;              /* the line shown came from the history */
    size_t entry;               /* offset of that line in history */
    char draft[LINE_BYTES + 1]; /* the unfinished line while browsing */
    size_t draft_overflow;      /* and its `overflow` */

    size_t history_length;
    char history[LINE_HISTORY_BYTES]; /* strings with their NULs, oldest first */
};

/*
 * Prepares an editor with an empty history. `prompt` must live as long as the editor; it may hold
 * colour sequences (ESC[...m) and otherwise characters of one cell each.
 */
void line_init(struct line_editor *editor, const char *prompt, line_write_fn *write, void *arg);

/* Lets Tab complete words; without it Tab does nothing. */
void line_set_completer(struct line_editor *editor, line_complete_fn *complete, void *arg);

/* Opens an empty line: writes the prompt. The cursor must be in column 0. */
void line_start(struct line_editor *editor);

/*
 * Takes one key, any value, while a line is open and not hidden; otherwise does nothing and
 * returns LINE_MORE. Every result but LINE_MORE closes the line with the cursor in column 0 below
 * it. LINE_DONE puts the line into the history unless it is empty or repeats the last one.
 */
enum line_result line_key(struct line_editor *editor, uint32_t key);

/* The line, terminated. The caller may change it in place; valid until the next line_start(). */
char *line_text(struct line_editor *editor);

/*
 * Takes prompt and line off the screen, so that something else can be printed where they stood,
 * and writes them again with the cursor where it was. In between the caller prints whole lines
 * only. Neither does anything when no line is open or the editor is all zero, so that a printing
 * console need not know.
 * A line must fit the screen with its prompt; rows that scrolled off stay where they are.
 */
void line_hide(struct line_editor *editor);
void line_show(struct line_editor *editor);

#endif
