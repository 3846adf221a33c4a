/*
 * Code page 437: the character set of the PC's text mode.
 */
#ifndef DRIVERS_CP437_H
#define DRIVERS_CP437_H

#include <types.h>

/*
 * The byte that shows a code point in VGA text mode. What the code page lacks becomes what looks
 * most like it (a letter without its accent, a plain quote or dash, a light box line), otherwise
 * '?'; control characters are '?' too.
 */
uint8_t cp437_from_unicode(uint32_t code_point);

#endif
