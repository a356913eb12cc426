/* ltoa: not in C, but often expected. */
#include "libc.h"

char *ltoa(long value, char *out, int base) {
    char digits[32], *to = out;
    if (base < 2 || base > 36) {
        *out = 0;
        return out;
    }
    unsigned rest = (unsigned)value;
    if (value < 0 && base == 10) {
        *to++ = '-';
        rest = 0 - rest;
    }
    unsigned count = microclaw_digits(rest, (unsigned)base, 'a', digits + sizeof digits);
    for (unsigned i = 0; i < count; i++) {
        *to++ = digits[sizeof digits - count + i];
    }
    *to = 0;
    return out;
}
