/*
 * From the bytes of a terminal (COM1) to keys.
 *
 * Takes UTF-8 and the escape sequences that xterm, VT220, rxvt and the Linux console send for
 * cursor and function keys. Nothing waits for time to pass, so an Escape alone is no key: it is
 * dropped when the next byte turns out to begin no sequence, and that byte counts as usual.
 */
#ifndef DRIVERS_ANSI_KEYS_H
#define DRIVERS_ANSI_KEYS_H

#include <types.h>
#include <drivers/keys.h>
#include <drivers/terminal.h>

/* All zero is the initial state. Private. */
struct ansi_decoder {
    uint8_t state;
    bool after_cr;  /* the last byte was CR: a LF now belongs to it */
    bool first_set; /* the first parameter has ended; the rest does not matter */
    uint16_t first; /* the first parameter of the sequence */
    struct utf8_decoder utf8;
};

/*
 * Takes one byte, any value. Returns the key it completed or KEY_NONE. CR, LF and CR LF are one
 * '\n' each; DEL is '\b'; modifiers of cursor keys are ignored. Broken UTF-8 and unknown sequences
 * are dropped, and a control character or a byte past ASCII ends any sequence and is taken itself.
 */
uint32_t ansi_decode(struct ansi_decoder *decoder, uint8_t byte);

#endif
