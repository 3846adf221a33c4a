/*
 * Formatted text.
 *
 * kvprintf_to() splits the format into plain text and conversions and hands every piece to a sink;
 * the functions on a buffer are a sink of their own. A conversion is read into a `struct spec` and
 * then printed as at most five pieces: blanks, sign or 0x, zeros, digits or text, blanks. Only the
 * digits need a buffer, so neither width nor precision costs stack.
 *
 * Arithmetic on 64 bits stays with values that need it, and does without the compiler's library.
 */
#include <lib/printf.h>
#include <lib/string.h>
#include <limits.h>

/* The longest digits are those of UINT64_MAX in octal. */
#define MAX_DIGITS   22

/* No precision given. */
#define NO_PRECISION (-1)

struct output {
    print_sink *sink;
    void *arg;
    int length; /* characters so far; stays at INT_MAX once it gets there */
};

enum length {
    LENGTH_CHAR,
    LENGTH_SHORT,
    LENGTH_INT,
    LENGTH_LONG,
    LENGTH_LONG_LONG,
    LENGTH_SIZE,
    LENGTH_PTRDIFF,
    LENGTH_INTMAX,
};

/* A conversion as it stands in the format: %[flags][width][.precision][length]conversion */
struct spec {
    bool left;      /* - */
    bool zero;      /* 0 */
    bool plus;      /* + */
    bool space;     /* blank */
    bool alternate; /* # */
    int width;      /* at least 0 */
    int precision;  /* at least 0, or NO_PRECISION */
    enum length length;
    char conversion; /* '\0' if the format ends before it */
};

/* va_list may be an array, which as a parameter would be a pointer; inside a struct it is itself.
 */
struct arguments {
    va_list list;
};

static void emit(struct output *out, const char *text, size_t length)
{
    if (length == 0)
        return;
    out->sink(out->arg, text, length);
    out->length = length > (size_t)(INT_MAX - out->length) ? INT_MAX : out->length + (int)length;
}

static void emit_repeated(struct output *out, char c, int count)
{
    static const char blanks[] = "                ";
    static const char zeros[] = "0000000000000000";
    const char *run = c == '0' ? zeros : blanks;
    const int run_length = (int)sizeof(zeros) - 1;

    for (; count > run_length; count -= run_length)
        emit(out, run, (size_t)run_length);
    if (count > 0)
        emit(out, run, (size_t)count);
}

/* Reads a number; one that does not fit becomes INT_MAX. */
static const char *parse_int(const char *format, int *value)
{
    int result = 0;

    for (; *format >= '0' && *format <= '9'; format++) {
        int digit = *format - '0';
        result = result > (INT_MAX - digit) / 10 ? INT_MAX : result * 10 + digit;
    }
    *value = result;
    return format;
}

static const char *parse_flags(const char *format, struct spec *spec)
{
    for (;; format++) {
        switch (*format) {
        case '-':
            spec->left = true;
            break;
        case '0':
            spec->zero = true;
            break;
        case '+':
            spec->plus = true;
            break;
        case ' ':
            spec->space = true;
            break;
        case '#':
            spec->alternate = true;
            break;
        default:
            return format;
        }
    }
}

static const char *parse_width(const char *format, struct spec *spec, struct arguments *args)
{
    if (*format != '*')
        return parse_int(format, &spec->width);

    spec->width = va_arg(args->list, int);
    if (spec->width < 0) {
        spec->left = true;
        spec->width = spec->width == INT_MIN ? INT_MAX : -spec->width;
    }
    return format + 1;
}

static const char *parse_precision(const char *format, struct spec *spec, struct arguments *args)
{
    if (*format != '.')
        return format;
    format++;
    if (*format != '*')
        return parse_int(format, &spec->precision);

    spec->precision = va_arg(args->list, int);
    if (spec->precision < 0)
        spec->precision = NO_PRECISION;
    return format + 1;
}

static const char *parse_length(const char *format, struct spec *spec)
{
    switch (*format) {
    case 'h':
        spec->length = format[1] == 'h' ? LENGTH_CHAR : LENGTH_SHORT;
        return format + (format[1] == 'h' ? 2 : 1);
    case 'l':
        spec->length = format[1] == 'l' ? LENGTH_LONG_LONG : LENGTH_LONG;
        return format + (format[1] == 'l' ? 2 : 1);
    case 'z':
        spec->length = LENGTH_SIZE;
        return format + 1;
    case 't':
        spec->length = LENGTH_PTRDIFF;
        return format + 1;
    case 'j':
        spec->length = LENGTH_INTMAX;
        return format + 1;
    default:
        return format;
    }
}

/* Reads what follows the % at format[-1]. Returns the first character behind the conversion. */
static const char *parse_spec(const char *format, struct spec *spec, struct arguments *args)
{
    *spec = (struct spec){ .precision = NO_PRECISION, .length = LENGTH_INT };
    format = parse_flags(format, spec);
    format = parse_width(format, spec, args);
    format = parse_precision(format, spec, args);
    format = parse_length(format, spec);
    spec->conversion = *format;
    return *format == '\0' ? format : format + 1;
}

static int64_t signed_argument(enum length length, struct arguments *args)
{
    switch (length) {
    case LENGTH_CHAR:
        return (signed char)va_arg(args->list, int);
    case LENGTH_SHORT:
        return (short)va_arg(args->list, int);
    case LENGTH_INT:
        return va_arg(args->list, int);
    case LENGTH_LONG:
        return va_arg(args->list, long);
    case LENGTH_LONG_LONG:
        return va_arg(args->list, long long);
    case LENGTH_SIZE: /* the signed type of size_t's width */
    case LENGTH_PTRDIFF:
        return va_arg(args->list, ptrdiff_t);
    case LENGTH_INTMAX:
        break;
    }
    return va_arg(args->list, intmax_t);
}

static uint64_t unsigned_argument(enum length length, struct arguments *args)
{
    switch (length) {
    case LENGTH_CHAR:
        return (unsigned char)va_arg(args->list, unsigned);
    case LENGTH_SHORT:
        return (unsigned short)va_arg(args->list, unsigned);
    case LENGTH_INT:
        return va_arg(args->list, unsigned);
    case LENGTH_LONG:
        return va_arg(args->list, unsigned long);
    case LENGTH_LONG_LONG:
        return va_arg(args->list, unsigned long long);
    case LENGTH_SIZE:
    case LENGTH_PTRDIFF: /* the unsigned type of ptrdiff_t's width */
        return va_arg(args->list, size_t);
    case LENGTH_INTMAX:
        break;
    }
    return va_arg(args->list, uintmax_t);
}

/*
 * Divides `*value` by ten and returns the remainder: long division with digits of 16 bits, so that
 * each step is one of 32 bits. GCC would call __udivdi3.
 */
static unsigned divide_by_ten(uint64_t *value)
{
    uint64_t quotient = 0;
    uint32_t remainder = 0;

    for (int shift = 48; shift >= 0; shift -= 16) {
        uint32_t dividend = remainder << 16 | (uint16_t)(*value >> shift);
        quotient = quotient << 16 | dividend / 10;
        remainder = dividend % 10;
    }
    *value = quotient;
    return remainder;
}

/* Writes the digits of `value` so that they end before `end`. Returns the first; none for 0. */
static char *decimal_digits(uint64_t value, char *end)
{
    while (value > UINT32_MAX)
        *--end = (char)('0' + divide_by_ten(&value));
    for (uint32_t rest = (uint32_t)value; rest > 0; rest /= 10)
        *--end = (char)('0' + rest % 10);
    return end;
}

/* The same with `bits` bits a digit: 3 for octal, 4 for hexadecimal. */
static char *binary_digits(uint64_t value, unsigned bits, const char *digits, char *end)
{
    for (; value > 0; value >>= bits)
        *--end = digits[(uint32_t)value & ((1u << bits) - 1)];
    return end;
}

static void print_padded(struct output *out, const struct spec *spec, const char *text,
                         size_t length)
{
    int blanks = length < (size_t)spec->width ? spec->width - (int)length : 0;

    if (!spec->left)
        emit_repeated(out, ' ', blanks);
    emit(out, text, length);
    if (spec->left)
        emit_repeated(out, ' ', blanks);
}

/*
 * Prints `prefix` and `value`. Precision is the least number of digits; without one it is 1, and
 * the flag 0 may put zeros where blanks would be.
 */
static void print_integer(struct output *out, const struct spec *spec, const char *prefix,
                          uint64_t value)
{
    char buffer[MAX_DIGITS];
    char *end = buffer + sizeof(buffer);
    char *digits;
    int prefix_length = (int)strlen(prefix);
    int precision = spec->precision == NO_PRECISION ? 1 : spec->precision;

    switch (spec->conversion) {
    case 'o':
        digits = binary_digits(value, 3, "01234567", end);
        if (spec->alternate && precision <= end - digits)
            precision = (int)(end - digits) + 1;
        break;
    case 'X':
        digits = binary_digits(value, 4, "0123456789ABCDEF", end);
        break;
    case 'x':
    case 'p':
        digits = binary_digits(value, 4, "0123456789abcdef", end);
        break;
    default:
        digits = decimal_digits(value, end);
    }

    int count = (int)(end - digits);
    int zeros = precision > count ? precision - count : 0;
    int blanks = spec->width - prefix_length - count;

    blanks = blanks > zeros ? blanks - zeros : 0;
    if (spec->zero && !spec->left && spec->precision == NO_PRECISION) {
        zeros += blanks;
        blanks = 0;
    }
    if (!spec->left)
        emit_repeated(out, ' ', blanks);
    emit(out, prefix, (size_t)prefix_length);
    emit_repeated(out, '0', zeros);
    emit(out, digits, (size_t)count);
    if (spec->left)
        emit_repeated(out, ' ', blanks);
}

static void print_signed(struct output *out, const struct spec *spec, int64_t value)
{
    /* Negated as unsigned, for the lowest number has no positive counterpart. */
    if (value < 0)
        print_integer(out, spec, "-", -(uint64_t)value);
    else
        print_integer(out, spec, spec->plus ? "+" : spec->space ? " " : "", (uint64_t)value);
}

static void print_unsigned(struct output *out, const struct spec *spec, uint64_t value)
{
    const char *prefix = "";

    if (spec->alternate && value != 0 && spec->conversion == 'x')
        prefix = "0x";
    else if (spec->alternate && value != 0 && spec->conversion == 'X')
        prefix = "0X";
    print_integer(out, spec, prefix, value);
}

static void print_pointer(struct output *out, struct spec *spec, const void *pointer)
{
    spec->precision = 2 * (int)sizeof(pointer);
    print_integer(out, spec, "0x", (uintptr_t)pointer);
}

static void print_string(struct output *out, const struct spec *spec, const char *text)
{
    if (text == NULL)
        text = "(null)";
    /* With a precision the text need not be terminated. */
    print_padded(out, spec, text,
                 spec->precision == NO_PRECISION ? strlen(text)
                                                 : strnlen(text, (size_t)spec->precision));
}

/* Prints the argument that `spec` asks for. False if there is no such conversion. */
static bool print_conversion(struct output *out, struct spec *spec, struct arguments *args)
{
    char character;

    switch (spec->conversion) {
    case 'd':
    case 'i':
        print_signed(out, spec, signed_argument(spec->length, args));
        return true;
    case 'u':
    case 'o':
    case 'x':
    case 'X':
        print_unsigned(out, spec, unsigned_argument(spec->length, args));
        return true;
    case 'p':
        print_pointer(out, spec, va_arg(args->list, const void *));
        return true;
    case 's':
        print_string(out, spec, va_arg(args->list, const char *));
        return true;
    case 'c':
        character = (char)va_arg(args->list, int);
        print_padded(out, spec, &character, 1);
        return true;
    case '%':
        emit(out, "%", 1);
        return true;
    default:
        return false;
    }
}

int kvprintf_to(print_sink *sink, void *arg, const char *format, va_list args)
{
    struct output out = { .sink = sink, .arg = arg };
    struct arguments arguments;

    va_copy(arguments.list, args);
    while (*format != '\0') {
        const char *start = format;
        struct spec spec;

        while (*format != '\0' && *format != '%')
            format++;
        emit(&out, start, (size_t)(format - start));
        if (*format == '\0')
            break;

        start = format;
        format = parse_spec(format + 1, &spec, &arguments);
        if (!print_conversion(&out, &spec, &arguments))
            emit(&out, start, (size_t)(format - start));
    }
    va_end(arguments.list);
    return out.length;
}

/* The sink that fills a buffer. Invariant: used < size, unless size is 0. */
struct buffer {
    char *text;
    size_t size;
    size_t used;
};

static void buffer_sink(void *arg, const char *text, size_t length)
{
    struct buffer *buffer = arg;

    if (buffer->size == 0)
        return;

    size_t room = buffer->size - 1 - buffer->used;
    size_t copied = length < room ? length : room;

    memcpy(buffer->text + buffer->used, text, copied);
    buffer->used += copied;
}

int kvsnprintf(char *buffer, size_t size, const char *format, va_list args)
{
    struct buffer target = { .text = buffer, .size = size };
    int length = kvprintf_to(buffer_sink, &target, format, args);

    if (size > 0)
        buffer[target.used] = '\0';
    return length;
}

int ksnprintf(char *buffer, size_t size, const char *format, ...)
{
    va_list args;
    int length;

    va_start(args, format);
    length = kvsnprintf(buffer, size, format, args);
    va_end(args);
    return length;
}
