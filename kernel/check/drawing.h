/*
 * Shadow memory as people see it. Pure.
 */
#ifndef CHECK_DRAWING_H
#define CHECK_DRAWING_H

#include <types.h>

#define DRAWING_CELLS   16u  /* bytes of shadow in a row */
#define DRAWING_ROW     128u /* bytes of memory in a row */
#define DRAWING_COLUMNS 64u  /* room for a row's text, or a line of the legend */

/*
 * The row of DRAWING_ROW bytes from `start` on, a multiple of it: the address, then the shadow, the
 * byte of `marked` in brackets.
 */
void drawing_row(vaddr_t start, vaddr_t marked, char text[DRAWING_COLUMNS]);

/*
 * The legend's entry with that index, if one of the bytes in the shadow of [start, end) is of its
 * kind; an empty text if none is. False behind the last entry.
 */
bool drawing_legend(uint32_t index, vaddr_t start, vaddr_t end, char text[DRAWING_COLUMNS]);

#endif
