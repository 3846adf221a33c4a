/*
 * The kernel's command line: the words that the boot loader passes.
 */
#ifndef CMDLINE_H
#define CMDLINE_H

#include <types.h>

/* Room for a reported word, terminator included. */
#define CMDLINE_WORD_SIZE 64

struct cmdline {
    bool selftest;    /* selftest: run the in-kernel tests and leave */
    bool serial_only; /* console=serial: leave the screen alone */
    bool pit_off;     /* pit=off: take the PIT as standing still */
    bool small_off;   /* small=off: the heap serves all requests by first fit */
    uint32_t starve;  /* starve=N: request N for memory after paging fails; 0: none */
    bool starve_all;  /* starve=N,forever: and all behind it */
    char keymap[8];   /* keymap=us or keymap=de; "us" if there is none */
};

/*
 * Reads `text`, words in any order with blanks between them, and fills `out`, with defaults for
 * what is not said; of words that contradict each other the last wins. `text` may be NULL, else it
 * is terminated; nothing more is expected of it.
 *
 * Every word that has no meaning goes to `unknown` (which may be NULL) with `arg`. It is safe to
 * print: each byte that is not printable ASCII became '?', and a word that does not fit
 * CMDLINE_WORD_SIZE is cut and ends in "...". The string lives only during the call.
 */
void cmdline_parse(const char *text, struct cmdline *out,
                   void (*unknown)(void *arg, const char *word), void *arg);

#endif
