/* nan and nanf: the tag that C lets a program give it is not kept. */
#include "libc.h"

WEAK double nan(const char *tag) {
    (void)tag;
    return __builtin_nan("");
}

WEAK float nanf(const char *tag) {
    (void)tag;
    return __builtin_nanf("");
}
