/*
 * From the bytes of a terminal to keys.
 *
 * A sequence is one of
 *     ESC [ parameters final     CSI: cursor and function keys
 *     ESC O final                SS3: the same keys in application mode, and F1 to F4
 *     ESC [ [ letter             F1 to F5 of the Linux console
 * where only the first number of the parameters says anything; the second is the modifiers.
 */
#include <drivers/ansi_keys.h>

#define ESC           0x1b
#define DEL           0x7f

#define FIRST_MAX     999u    /* larger numbers count as this, and no key has it */
#define FIRST_UNKNOWN 0xffffu /* parameters that no key has: private markers, intermediates */

enum decoder_state {
    GROUND,
    ESCAPE,        /* after ESC */
    CSI,           /* after ESC [ */
    SS3,           /* after ESC O */
    LINUX_CONSOLE, /* after ESC [ [ */
};

/* Final letters, in CSI and SS3 alike. */
static uint32_t letter_key(uint8_t letter)
{
    switch (letter) {
    case 'A':
        return KEY_UP;
    case 'B':
        return KEY_DOWN;
    case 'C':
        return KEY_RIGHT;
    case 'D':
        return KEY_LEFT;
    case 'H':
        return KEY_HOME;
    case 'F':
        return KEY_END;
    case 'P':
    case 'Q':
    case 'R':
    case 'S':
        return KEY_F1 + (letter - 'P');
    default:
        return KEY_NONE;
    }
}

/* Numbers before a '~'. F5 and F10 are followed by a gap, as on the VT220's keyboard. */
static uint32_t number_key(unsigned number)
{
    switch (number) {
    case 1:
    case 7:
        return KEY_HOME;
    case 2:
        return KEY_INSERT;
    case 3:
        return KEY_DELETE;
    case 4:
    case 8:
        return KEY_END;
    case 5:
        return KEY_PAGE_UP;
    case 6:
        return KEY_PAGE_DOWN;
    case 11 ... 15:
        return KEY_F1 + (number - 11);
    case 17 ... 21:
        return KEY_F6 + (number - 17);
    case 23 ... 24:
        return KEY_F11 + (number - 23);
    default:
        return KEY_NONE;
    }
}

/* A byte outside of any sequence. */
static uint32_t text_key(struct ansi_decoder *decoder, uint8_t byte)
{
    uint32_t key = utf8_decode(&decoder->utf8, byte);

    if (key == UTF8_BROKEN)
        key = utf8_decode(&decoder->utf8, byte);
    if (key == UTF8_MORE || key == UTF8_INVALID)
        return KEY_NONE;
    if (key == '\r')
        return '\n';
    return key == DEL ? '\b' : key;
}

static uint32_t escape_key(struct ansi_decoder *decoder, uint8_t byte)
{
    decoder->state = GROUND;
    if (byte == 'O') {
        decoder->state = SS3;
    } else if (byte == '[') {
        decoder->state = CSI;
        decoder->first = 0;
        decoder->first_set = false;
    } else {
        return text_key(decoder, byte);
    }
    return KEY_NONE;
}

static void take_parameter(struct ansi_decoder *decoder, uint8_t byte)
{
    bool is_digit = byte >= '0' && byte <= '9';

    if (is_digit && !decoder->first_set) {
        unsigned value = decoder->first * 10u + (byte - '0');
        decoder->first = (uint16_t)(value < FIRST_MAX ? value : FIRST_MAX);
    } else if (!is_digit) {
        decoder->first_set = true;
        if (byte != ';')
            decoder->first = FIRST_UNKNOWN;
    }
}

static uint32_t csi_key(struct ansi_decoder *decoder, uint8_t byte)
{
    if (byte < 0x40) {
        take_parameter(decoder, byte);
        return KEY_NONE;
    }
    decoder->state = GROUND;
    if (byte == '[' && decoder->first == 0 && !decoder->first_set) {
        decoder->state = LINUX_CONSOLE;
        return KEY_NONE;
    }
    if (byte == '~')
        return number_key(decoder->first);
    /* Letters have the number 1 or none: ESC [ 24 ; 80 R is a cursor report, not F3. */
    return decoder->first <= 1 ? letter_key(byte) : KEY_NONE;
}

static uint32_t ss3_key(struct ansi_decoder *decoder, uint8_t byte)
{
    if (byte >= '0' && byte <= ';')
        return KEY_NONE; /* modifiers, as some terminals send them here */
    decoder->state = GROUND;
    return letter_key(byte);
}

static uint32_t linux_console_key(struct ansi_decoder *decoder, uint8_t byte)
{
    decoder->state = GROUND;
    return byte >= 'A' && byte <= 'E' ? KEY_F1 + (uint32_t)(byte - 'A') : KEY_NONE;
}

uint32_t ansi_decode(struct ansi_decoder *decoder, uint8_t byte)
{
    bool completes_cr = byte == '\n' && decoder->after_cr;

    decoder->after_cr = byte == '\r';
    if (completes_cr)
        return KEY_NONE;
    if (byte == ESC) {
        decoder->state = ESCAPE;
        decoder->utf8 = (struct utf8_decoder){ 0 };
        return KEY_NONE;
    }
    if (byte < ' ' || byte >= DEL)
        decoder->state = GROUND;

    switch (decoder->state) {
    case ESCAPE:
        return escape_key(decoder, byte);
    case CSI:
        return csi_key(decoder, byte);
    case SS3:
        return ss3_key(decoder, byte);
    case LINUX_CONSOLE:
        return linux_console_key(decoder, byte);
    default:
        return text_key(decoder, byte);
    }
}
