/* The integer at the beginning of a text, as strtol and its kin and sscanf read it. */
#include "libc.h"

static unsigned digit(char c) {
    return c >= '0' && c <= '9' ? (unsigned)(c - '0') : lower(c) >= 'a' && lower(c) <= 'z' ? (unsigned)(lower(c) - 'a' + 10) : 99;
}

/* At most `width` characters after leading spaces. `max` is the greatest value of the unsigned type; what does not fit
 * becomes the nearest value of the type, signed if `sign`, and sets errno. Base 0 finds the base, other bases than 2 to
 * 36 find nothing. */
uint64_t microclaw_scan_integer(const char *s, const char **end, int base, uint64_t max, bool sign, size_t width) {
    const char *start = s;
    *end = start;
    if (base < 0 || base == 1 || base > 36) {
        microclaw_errno_value = 28; /* EINVAL */
        return 0;
    }
    while (is_space(*s)) {
        s++;
    }
    bool negative = width && *s == '-';
    if (width && (*s == '-' || *s == '+')) {
        s++, width--;
    }
    if ((base == 0 || base == 16) && width > 2 && s[0] == '0' && lower(s[1]) == 'x' && digit(s[2]) < 16) {
        s += 2, width -= 2;
        base = 16;
    }
    base = base ? base : *s == '0' ? 8 : 10;
    uint64_t limit = !sign ? max : negative ? max / 2 + 1 : max / 2, value = 0;
    bool over = false;
    for (unsigned d; width && (d = digit(*s)) < (unsigned)base; s++, width--) {
        *end = s + 1;
        over = over || value > (limit - d) / (unsigned)base || d > limit;
        value = value * (unsigned)base + d;
    }
    if (over) {
        microclaw_errno_value = 68; /* ERANGE */
        return sign && negative ? 0 - limit : limit;
    }
    return negative ? 0 - value : value;
}
