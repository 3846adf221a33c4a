/*
 * Numbers that people type: strict, so that a slip of the finger is refused, not guessed at.
 *
 * The whole string must be the number. No sign, no blank, at least one digit, leading zeros are
 * fine (and never mean octal), and the value must fit 32 bits. On success the functions store
 * `*value` and return true; otherwise they return false and leave `*value` alone.
 */
#ifndef LIB_NUMBER_H
#define LIB_NUMBER_H

#include <types.h>

/* Decimal digits only. */
MUST_CHECK bool parse_decimal(const char *text, uint32_t *value);

/* Hexadecimal digits of either case, with or without 0x (or 0X) before them. */
MUST_CHECK bool parse_hex(const char *text, uint32_t *value);

/* Hexadecimal if it begins with 0x (or 0X), else decimal. */
MUST_CHECK bool parse_number(const char *text, uint32_t *value);

#endif
