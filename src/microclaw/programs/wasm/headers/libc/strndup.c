/* strndup on the firmware's heap. */
#include "libc.h"

NATIVE("malloc") void *native_malloc(size_t size);

WEAK char *strndup(const char *s, size_t n) {
    size_t size = 0;
    while (size < n && s[size]) {
        size++;
    }
    char *copy = native_malloc(size + 1);
    if (copy) {
        for (size_t i = 0; i < size; i++) {
            copy[i] = s[i];
        }
        copy[size] = 0;
    }
    return copy;
}
