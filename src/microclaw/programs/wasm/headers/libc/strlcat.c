/* strlcat of BSD: cuts, ends with NUL, returns the length it wanted. */
#include "libc.h"

size_t strlcat(char *to, const char *from, size_t size) {
    size_t used = 0, i = 0;
    while (used < size && to[used]) {
        used++;
    }
    for (; from[i]; i++) {
        if (used + i + 1 < size) {
            to[used + i] = from[i];
        }
    }
    if (used < size) {
        to[used + i < size ? used + i : size - 1] = 0;
    }
    return used + i;
}
