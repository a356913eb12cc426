/* Strings compared without regard to case. */
#include "libc.h"

WEAK int strcasecmp(const char *a, const char *b) {
    while (*a && lower(*a) == lower(*b)) {
        a++, b++;
    }
    return (unsigned char)lower(*a) - (unsigned char)lower(*b);
}

WEAK char *strcasestr(const char *s, const char *find) {
    for (;; s++) {
        size_t i = 0;
        while (find[i] && lower(s[i]) == lower(find[i])) {
            i++;
        }
        if (!find[i]) {
            return (char *)s;
        }
        if (!*s) {
            return 0;
        }
    }
}

WEAK int strcoll(const char *a, const char *b) {
    while (*a && *a == *b) {
        a++, b++;
    }
    return (unsigned char)*a - (unsigned char)*b;
}
