/* strtoll and its kin; strtol and strtoul are the firmware's unless a program looks at errno. */
#include "libc.h"

static uint64_t scan(const char *s, char **end, int base, uint64_t max, bool sign) {
    const char *stop;
    uint64_t value = microclaw_scan_integer(s, &stop, base, max, sign, SIZE_MAX);
    if (end) {
        *end = (char *)stop;
    }
    return value;
}

WEAK long microclaw_strtol(const char *s, char **end, int base) { return (long)scan(s, end, base, UINT32_MAX, true); }

WEAK unsigned long microclaw_strtoul(const char *s, char **end, int base) {
    return (unsigned long)scan(s, end, base, UINT32_MAX, false);
}

WEAK long long strtoll(const char *s, char **end, int base) { return (long long)scan(s, end, base, UINT64_MAX, true); }

WEAK unsigned long long strtoull(const char *s, char **end, int base) { return scan(s, end, base, UINT64_MAX, false); }

WEAK intmax_t strtoimax(const char *s, char **end, int base) { return (intmax_t)scan(s, end, base, UINT64_MAX, true); }

WEAK uintmax_t strtoumax(const char *s, char **end, int base) { return scan(s, end, base, UINT64_MAX, false); }

WEAK long atol(const char *s) { return (long)scan(s, 0, 10, UINT32_MAX, true); }

WEAK long long atoll(const char *s) { return (long long)scan(s, 0, 10, UINT64_MAX, true); }
