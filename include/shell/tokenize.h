/*
 * Splits a command line into words.
 */
#ifndef SHELL_TOKENIZE_H
#define SHELL_TOKENIZE_H

#include <types.h>

#define TOKENIZE_TOO_MANY       (-1) /* more than `max` words */
#define TOKENIZE_UNCLOSED_QUOTE (-2) /* a quote without its partner, or a backslash at the end */

/*
 * Splits `line` in place at blanks (spaces and tabs) and points words[0..] at the terminated
 * words; returns how many there are, or one of the errors, after which line and words are of no
 * use. `max` may be 0.
 *
 *   'a b'    everything literal up to the next single quote
 *   "a b"    literal but for backslash, which takes the next character literally
 *   \        outside of quotes takes the next character literally
 *   ""       an empty word; quoted and unquoted parts that touch are one word
 *   #        at the start of a word begins a comment that runs to the end
 */
int tokenize(char *line, char **words, size_t max);

#endif
