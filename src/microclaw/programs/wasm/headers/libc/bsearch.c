/* bsearch: by halves. */
#include "libc.h"

WEAK void *bsearch(
    const void *key, const void *base, size_t count, size_t size, int (*compare)(const void *, const void *)) {
    const unsigned char *from = base;
    while (count) {
        const unsigned char *middle = from + count / 2 * size;
        int order = compare(key, middle);
        if (!order) {
            return (void *)middle;
        }
        if (order > 0) {
            from = middle + size;
            count--;
        }
        count /= 2;
    }
    return 0;
}
