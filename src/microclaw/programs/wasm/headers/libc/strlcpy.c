/* strlcpy of BSD: cuts, always ends with NUL, returns the length it wanted. */
#include "libc.h"

size_t strlcpy(char *to, const char *from, size_t size) {
    size_t i = 0;
    for (; from[i]; i++) {
        if (i + 1 < size) {
            to[i] = from[i];
        }
    }
    if (size) {
        to[i < size ? i : size - 1] = 0;
    }
    return i;
}
