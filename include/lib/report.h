/*
 * Text of lines "key item, item, item", wrapped, in a buffer of fixed size. Pure.
 *
 * For a report that has to fit a small screen and a QR code: printable ASCII, no line longer than
 * REPORT_COLUMNS, and what goes on in a next line is indented by one blank.
 */
#ifndef LIB_REPORT_H
#define LIB_REPORT_H

#include <types.h>

#define REPORT_COLUMNS 79u
#define REPORT_MAX     1200u /* bytes; fits QR version 25 */

struct report {
    char text[REPORT_MAX + 1]; /* terminated; every line ends in \n once report_end() was called */
    uint32_t length;

    /* The rest is private. */
    uint32_t column;
    uint32_t items; /* in this line */
    bool cut;
};

void report_begin(struct report *report);

/* Ends the line before and begins another one. */
void report_line(struct report *report, const char *key);

/*
 * Adds an item; it is broken where it is longer than a line, several blanks become one, and
 * characters that are not printable ASCII become '?'.
 */
void report_item(struct report *report, const char *format, ...) PRINTF(2, 3);

/* Ends the last line. What found no room is told by a last line "(cut)". */
void report_end(struct report *report);

/* How many lines it has. */
uint32_t report_lines(const struct report *report);

#endif
