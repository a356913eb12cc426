/* Bytes: the searches and copies that the firmware has not. */
#include "libc.h"

WEAK void *memrchr(const void *s, int c, size_t n) {
    const unsigned char *bytes = s;
    while (n--) {
        if (bytes[n] == (unsigned char)c) {
            return (void *)(bytes + n);
        }
    }
    return 0;
}

static bool equal(const unsigned char *a, const unsigned char *b, size_t n) {
    size_t i = 0;
    while (i < n && a[i] == b[i]) {
        i++;
    }
    return i == n;
}

WEAK void *memmem(const void *s, size_t n, const void *find, size_t find_n) {
    const unsigned char *at = s;
    for (; n >= find_n; at++, n--) {
        if (equal(at, find, find_n)) {
            return (void *)at;
        }
        if (!n) {
            break;
        }
    }
    return 0;
}

WEAK int bcmp(const void *a, const void *b, size_t n) { return !equal(a, b, n); }

WEAK void *mempcpy(void *to, const void *from, size_t n) {
    unsigned char *out = to;
    const unsigned char *in = from;
    while (n--) {
        *out++ = *in++;
    }
    return out;
}

WEAK void bcopy(const void *from, void *to, size_t n) {
    unsigned char *out = to;
    const unsigned char *in = from;
    for (size_t i = 0; i < n; i++) {
        size_t at = out < in ? i : n - 1 - i;
        out[at] = in[at];
    }
}

WEAK void bzero(void *to, size_t n) {
    unsigned char *out = to;
    while (n--) {
        *out++ = 0;
    }
}
