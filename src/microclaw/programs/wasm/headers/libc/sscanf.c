/* sscanf as C17 has it: %d %i %u %o %x %p %e %f %g %a %s %c %[ %n %%, widths, `*`, sizes. */
#include "libc.h"

struct field {
    bool keep;
    size_t width; /* SIZE_MAX: none given */
    int size;     /* bytes of an integer; of a float 4 or 8 */
    char letter;
    uint8_t set[32]; /* of %[, a bit a character */
};

static void store(void *to, int size, uint64_t value) {
    switch (size) {
    case 1:
        *(uint8_t *)to = (uint8_t)value;
        break;
    case 2:
        *(uint16_t *)to = (uint16_t)value;
        break;
    case 4:
        *(uint32_t *)to = (uint32_t)value;
        break;
    default:
        *(uint64_t *)to = value;
    }
}

static void add(struct field *f, unsigned from, unsigned to) {
    for (; from <= to; from++) {
        f->set[from / 8] |= (uint8_t)(1u << from % 8);
    }
}

static const char *read_set(struct field *f, const char *format) {
    bool not = *format == '^';
    format += not;
    for (const char *start = format; *format && (*format != ']' || format == start); format++) {
        unsigned from = (unsigned char)*format, to = from;
        if (format[1] == '-' && format[2] && format[2] != ']') {
            to = (unsigned char)format[2];
            format += 2;
        }
        add(f, from, to);
    }
    for (int i = 0; not&&i < 32; i++) {
        f->set[i] = (uint8_t)~f->set[i];
    }
    f->set[0] &= 0xfe; /* the end of the text belongs to no set */
    return format;
}

/* Read a conversion from behind its `%`; returns the place of its last character. */
static const char *read_field(struct field *f, const char *format) {
    *f = (struct field){.keep = *format != '*', .width = SIZE_MAX, .size = 4};
    format += !f->keep;
    for (; *format >= '0' && *format <= '9'; format++) {
        f->width = (f->width == SIZE_MAX ? 0 : f->width * 10) + (size_t)(*format - '0');
    }
    for (;; format++) {
        if (*format == 'h') {
            f->size /= 2;
        } else if (*format == 'j' || *format == 'L' || (*format == 'l' && format[1] == 'l')) {
            f->size = 8;
        } else if (*format != 'l' && *format != 'z' && *format != 't') {
            break;
        } else if (f->size != 8 && (format[1] == 'f' || format[1] == 'e' || format[1] == 'g' || format[1] == 'a')) {
            f->size = 8; /* %lf */
        }
    }
    f->letter = *format;
    if (*format == '[') {
        format = read_set(f, format + 1);
    } else if (*format == 's') {
        add(f, 1, 255);
        f->set[1] &= 0xc1; /* \t \n \v \f \r */
        f->set[4] &= 0xfe;
    } else if (*format == 'c') {
        add(f, 1, 255);
        f->width = f->width == SIZE_MAX ? 1 : f->width;
    }
    return format;
}

/* Each reads one field and returns where it ends, or null if the text is another. */
static const char *read_text(const struct field *f, const char *text, char *to) {
    size_t n = 0;
    for (; n < f->width && text[n] && f->set[(unsigned char)text[n] / 8] >> (unsigned char)text[n] % 8 & 1; n++) {
        if (to) {
            to[n] = text[n];
        }
    }
    if (!n) {
        return 0;
    }
    if (to && f->letter != 'c') {
        to[n] = 0;
    }
    return text + n;
}

static const char *read_integer(const struct field *f, const char *text, void *to) {
    int base = f->letter == 'i' ? 0 : f->letter == 'o' ? 8 : f->letter == 'd' || f->letter == 'u' ? 10 : 16;
    bool sign = f->letter == 'd' || f->letter == 'i';
    const char *end;
    uint64_t value = microclaw_scan_integer(text, &end, base, f->size == 8 ? UINT64_MAX : UINT32_MAX, sign, f->width);
    if (end == text) {
        return 0;
    }
    if (to) {
        store(to, f->size, value);
    }
    return end;
}

static const char *read_float(const struct field *f, const char *text, void *to) {
    const char *end;
    double value = microclaw_scan_float(text, &end, f->size == 8 ? 53 : 24, f->width);
    if (end == text) {
        return 0;
    }
    if (to && f->size == 8) {
        *(double *)to = value;
    } else if (to) {
        *(float *)to = (float)value;
    }
    return end;
}

static const char *read_value(const struct field *f, const char *text, void *to) {
    switch (f->letter) {
    case 's':
    case 'c':
    case '[':
        return read_text(f, text, to);
    case 'e':
    case 'f':
    case 'g':
    case 'a':
    case 'E':
    case 'F':
    case 'G':
    case 'A':
        return read_float(f, text, to);
    default:
        return read_integer(f, text, to);
    }
}

static const char *skip_spaces(const char *text) {
    while (is_space(*text)) {
        text++;
    }
    return text;
}

static int scan(const char *text, const char *format, va_list list) {
    const char *start = text;
    int stored = 0;
    va_list ap;
    va_copy(ap, list);
    for (; *format; format++) {
        struct field f = {.letter = '%'};
        if (is_space(*format)) {
            text = skip_spaces(text);
            continue;
        }
        if (*format == '%') {
            format = read_field(&f, format + 1);
            if (f.letter != 'c' && f.letter != '[' && f.letter != 'n') {
                text = skip_spaces(text);
            }
        }
        if (f.letter == '%') {
            if (*text != *format) {
                stored = *text || stored ? stored : -1;
                break;
            }
            text++;
            continue;
        }
        void *to = f.keep ? va_arg(ap, void *) : 0;
        if (f.letter == 'n') {
            store(to, f.size, (uint64_t)(text - start));
            continue;
        }
        const char *end = *text ? read_value(&f, text, to) : 0;
        if (!end) {
            stored = *text || stored ? stored : -1;
            break;
        }
        text = end;
        stored += f.keep;
    }
    va_end(ap);
    return stored;
}

WEAK int vsscanf(const char *text, const char *format, va_list ap) { return scan(text, format, ap); }

WEAK int sscanf(const char *text, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    int stored = scan(text, format, ap);
    va_end(ap);
    return stored;
}
