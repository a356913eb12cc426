/* The printf family as C17 has it, for formats that the firmware's printf cannot do or that are made at run time. */
#include "format.h"

enum size { CHAR, SHORT, INT, LONG_LONG };

static unsigned length(const char *s) {
    unsigned n = 0;
    while (s[n]) {
        n++;
    }
    return n;
}

static void pad(struct output *out, const struct spec *spec, char c, unsigned used) {
    for (; used < spec->width; used++) {
        microclaw_put(out, c);
    }
}

void microclaw_begin(struct output *out, const struct spec *spec, const char *prefix, int size, bool zeros) {
    unsigned used = (unsigned)size + length(prefix);
    zeros = zeros && (spec->flags & (ZERO | LEFT)) == ZERO;
    if (!(spec->flags & LEFT) && !zeros) {
        pad(out, spec, ' ', used);
    }
    for (; *prefix; prefix++) {
        microclaw_put(out, *prefix);
    }
    if (zeros) {
        pad(out, spec, '0', used);
    }
}

void microclaw_finish(struct output *out, const struct spec *spec, const char *prefix, int size) {
    if (spec->flags & LEFT) {
        pad(out, spec, ' ', (unsigned)size + length(prefix));
    }
}

static void put_integer(struct output *out, const struct spec *spec, uint64_t value, const char *sign) {
    char digits[24], letter = spec->letter;
    unsigned base = letter == 'o' ? 8 : lower(letter) == 'x' || letter == 'p' ? 16 : 10;
    unsigned count = 0;
    if (value || spec->precision) {
        count = microclaw_digits(value, base, letter == 'X' ? 'A' : 'a', digits + sizeof digits);
    }
    unsigned zeros = spec->precision > (int)count ? (unsigned)spec->precision - count : 0;
    if (letter == 'o' && spec->flags & ALTERNATE && !zeros && (!count || value)) {
        zeros = 1;
    }
    if (letter == 'p' || (base == 16 && spec->flags & ALTERNATE && value)) {
        sign = letter == 'X' ? "0X" : "0x";
    }
    int size = (int)(zeros + count);
    microclaw_begin(out, spec, sign, size, spec->precision < 0);
    for (; zeros; zeros--) {
        microclaw_put(out, '0');
    }
    for (unsigned i = 0; i < count; i++) {
        microclaw_put(out, digits[sizeof digits - count + i]);
    }
    microclaw_finish(out, spec, sign, size);
}

void microclaw_format_signed(struct output *out, const struct spec *spec, int64_t value) {
    const char *sign = value < 0 ? "-" : spec->flags & PLUS ? "+" : spec->flags & SPACE ? " " : "";
    put_integer(out, spec, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, sign);
}

static void put_text(struct output *out, const struct spec *spec, const char *text, int size) {
    microclaw_begin(out, spec, "", size, false);
    for (int i = 0; i < size; i++) {
        microclaw_put(out, text[i]);
    }
    microclaw_finish(out, spec, "", size);
}

static void put_string(struct output *out, const struct spec *spec, const char *text) {
    text = text ? text : "(null)";
    int size = 0;
    while (size != spec->precision && text[size]) {
        size++;
    }
    put_text(out, spec, text, size);
}

static void keep_count(void *to, enum size size, unsigned count) {
    if (size == CHAR) {
        *(signed char *)to = (signed char)count;
    } else if (size == SHORT) {
        *(short *)to = (short)count;
    } else if (size == INT) {
        *(int *)to = (int)count;
    } else {
        *(long long *)to = count;
    }
}

static uint64_t integer(va_list *ap, enum size size, bool sign) {
    if (size == LONG_LONG) {
        return va_arg(*ap, uint64_t);
    }
    int drop = size == CHAR ? 24 : size == SHORT ? 16 : 0;
    unsigned value = va_arg(*ap, unsigned) << drop;
    return sign ? (uint64_t)(int64_t)((int)value >> drop) : value >> drop;
}

/* A number or a `*`; a negative one from the arguments is left to the caller. */
static int number(const char **format, va_list *ap) {
    if (**format == '*') {
        ++*format;
        return va_arg(*ap, int);
    }
    unsigned value = 0;
    for (; **format >= '0' && **format <= '9'; ++*format) {
        value = value < 100000000 ? value * 10 + (unsigned)(**format - '0') : value;
    }
    return (int)value;
}

static unsigned read_flags(const char **format) {
    unsigned flags = 0;
    for (;; ++*format) {
        unsigned flag = 1;
        for (const char *known = "-+ #0"; *known != **format; known++, flag <<= 1) {
            if (!*known) {
                return flags;
            }
        }
        if (!**format) {
            return flags;
        }
        flags |= flag;
    }
}

static enum size read_spec(const char **format, struct spec *spec, va_list *ap) {
    spec->precision = -1;
    spec->flags = read_flags(format);
    int width = number(format, ap);
    spec->flags |= width < 0 ? LEFT : 0;
    spec->width = width < 0 ? 0u - (unsigned)width : (unsigned)width;
    if (**format == '.') {
        ++*format;
        spec->precision = number(format, ap);
        spec->precision = spec->precision < 0 ? -1 : spec->precision;
    }
    enum size size = INT;
    for (char last = 0;; last = *(*format)++) {
        switch (**format) {
        case 'h':
            size = last == 'h' ? CHAR : SHORT;
            break;
        case 'l':
            size = last == 'l' ? LONG_LONG : INT;
            break;
        case 'j':
        case 'L':
            size = LONG_LONG;
            break;
        case 'z':
        case 't':
            break;
        default:
            spec->letter = **format;
            return size;
        }
    }
}

static void convert(struct output *out, const struct spec *spec, enum size size, va_list *ap) {
    switch (spec->letter) {
    case 'd':
    case 'i':
        microclaw_format_signed(out, spec, (int64_t)integer(ap, size, true));
        break;
    case 'u':
    case 'o':
    case 'x':
    case 'X':
    case 'p':
        put_integer(out, spec, integer(ap, size, false), "");
        break;
    case 'c': {
        char c = (char)va_arg(*ap, int);
        put_text(out, spec, &c, 1);
        break;
    }
    case 's':
        put_string(out, spec, va_arg(*ap, const char *));
        break;
    case 'n':
        keep_count(va_arg(*ap, void *), size, out->count);
        break;
    case '%':
        microclaw_put(out, '%');
        break;
    default:
        microclaw_format_float(out, spec, va_arg(*ap, double));
    }
}

static bool is_conversion(char c) {
    for (const char *known = "diuoxXpcsn%fFeEgGaA"; *known; known++) {
        if (c == *known) {
            return true;
        }
    }
    return false;
}

/* Returns the length of the whole text, -1 if it is more than an int can tell. What is no conversion is printed as it is. */
int microclaw_format(struct output *out, const char *format, va_list list) {
    va_list ap;
    va_copy(ap, list);
    for (; *format; format++) {
        const char *start = format;
        if (*format == '%') {
            struct spec spec;
            format++;
            enum size size = read_spec(&format, &spec, &ap);
            if (is_conversion(spec.letter)) {
                convert(out, &spec, size, &ap);
                continue;
            }
            format = start;
        }
        microclaw_put(out, *format);
    }
    va_end(ap);
    return out->count > INT32_MAX ? -1 : (int)out->count;
}
