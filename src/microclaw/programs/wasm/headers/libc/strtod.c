/* strtod, strtof and atof. */
#include "libc.h"

static double scan(const char *s, char **end, int bits) {
    const char *stop;
    double value = microclaw_scan_float(s, &stop, bits, SIZE_MAX);
    if (end) {
        *end = (char *)stop;
    }
    return value;
}

WEAK double strtod(const char *s, char **end) { return scan(s, end, 53); }

WEAK float strtof(const char *s, char **end) { return (float)scan(s, end, 24); }

WEAK double atof(const char *s) { return scan(s, 0, 53); }
