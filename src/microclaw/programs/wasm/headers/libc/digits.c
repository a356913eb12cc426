/* The digits of an integer. */
#include "libc.h"

/* Write them so that they end before `end`; `hex` is 'a' or 'A'. Returns how many, at least one. */
unsigned microclaw_digits(uint64_t value, unsigned base, char hex, char *end) {
    unsigned count = 0;
    do {
        unsigned digit = (unsigned)(value % base);
        *--end = (char)(digit < 10 ? '0' + digit : (unsigned)hex + digit - 10);
        value /= base;
        count++;
    } while (value);
    return count;
}
