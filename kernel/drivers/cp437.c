/*
 * Code page 437. The strings below are the code page in its own order, 32 characters a row.
 *
 * Lookups search the strings: only cells that are not ASCII get here, and a screen has few.
 */
#include <drivers/cp437.h>

#define LENGTH(string) (ARRAY_SIZE(string) - 1)

/* What the font shows for 0x01 to 0x1f. */
static const uint16_t low[] = u"☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼";

/* 0x80 to 0xff; the last is the no-break space. */
static const uint16_t high[] = u"ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒ"
                               u"áíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐"
                               u"└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀"
                               u"αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0";

/* What the code page lacks, and below it what is shown instead. */
static const uint16_t lacking[] = u"ÀÁÂÃÈÊËÌÍÎÏÐÒÓÔÕØÙÚÛÝãõøý"
                                  u"‐‑‒–—―‘’‚‛“”„‹›…´¹³×−μβΩ"
                                  u"━┃┏┓┗┛┣┫┳┻╋╭╮╰╯╌╎┄┆┈┊";
static const uint16_t instead[] = u"AAAAEEEIIIIDOOOOOUUUYaooy"
                                  u"------''''\"\"\"<>.'13x-µßΩ"
                                  u"─│┌┐└┘├┤┬┴┼┌┐└┘─│─│─│";

_Static_assert(LENGTH(low) == 0x1f, "0x01 to 0x1f");
_Static_assert(LENGTH(high) == 0x80, "0x80 to 0xff");
_Static_assert(LENGTH(lacking) == LENGTH(instead), "one for one");

/* The index of a code point in a string of `length`, or `length`. */
static size_t find(const uint16_t *string, size_t length, uint32_t code_point)
{
    size_t i = 0;

    while (i < length && string[i] != code_point)
        i++;
    return i;
}

/* The byte that shows exactly this code point, or 0. */
static uint8_t exact(uint32_t code_point)
{
    if (code_point >= 0x20 && code_point < 0x7f)
        return (uint8_t)code_point;
    if (code_point == 0x2302)
        return 0x7f; /* a house */

    size_t i = find(high, LENGTH(high), code_point);
    if (i < LENGTH(high))
        return (uint8_t)(0x80 + i);
    i = find(low, LENGTH(low), code_point);
    return i < LENGTH(low) ? (uint8_t)(0x01 + i) : 0;
}

uint8_t cp437_from_unicode(uint32_t code_point)
{
    uint8_t byte = exact(code_point);

    if (byte == 0) {
        size_t i = find(lacking, LENGTH(lacking), code_point);
        byte = i < LENGTH(lacking) ? exact(instead[i]) : '?';
    }
    return byte;
}
