/*
 * Numbers that people type. One loop for both bases; it refuses a digit before the value could
 * overflow, however many digits there are.
 */
#include <lib/number.h>

#define NOT_A_DIGIT 255u

static uint32_t digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return (uint32_t)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (uint32_t)(c - 'a') + 10;
    if (c >= 'A' && c <= 'F')
        return (uint32_t)(c - 'A') + 10;
    return NOT_A_DIGIT;
}

static bool parse_digits(const char *text, uint32_t base, uint32_t *value)
{
    uint32_t result = 0;

    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        uint32_t digit = digit_value(*text);

        if (digit >= base || result > (UINT32_MAX - digit) / base)
            return false;
        result = result * base + digit;
    }
    *value = result;
    return true;
}

static bool has_hex_prefix(const char *text)
{
    return text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
}

bool parse_decimal(const char *text, uint32_t *value)
{
    return parse_digits(text, 10, value);
}

bool parse_hex(const char *text, uint32_t *value)
{
    return parse_digits(has_hex_prefix(text) ? text + 2 : text, 16, value);
}

bool parse_number(const char *text, uint32_t *value)
{
    return has_hex_prefix(text) ? parse_hex(text, value) : parse_decimal(text, value);
}
