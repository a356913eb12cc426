/* qsort: a heap sort, so that no input makes it slow and none needs memory or a deep stack. */
#include "libc.h"

typedef int compare_t(const void *, const void *);

static void swap(unsigned char *a, unsigned char *b, size_t size) {
    while (size--) {
        unsigned char c = *a;
        *a++ = *b;
        *b++ = c;
    }
}

/* Let the element at `root` sink until no child is greater. */
static void sink(unsigned char *base, size_t root, size_t count, size_t size, compare_t *compare) {
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && compare(base + child * size, base + (child + 1) * size) < 0) {
            child++;
        }
        if (compare(base + root * size, base + child * size) >= 0) {
            return;
        }
        swap(base + root * size, base + child * size, size);
    }
}

WEAK void qsort(void *base, size_t count, size_t size, compare_t *compare) {
    for (size_t root = count / 2; root--;) {
        sink(base, root, count, size, compare);
    }
    for (size_t left = count; left > 1;) {
        left--;
        swap(base, (unsigned char *)base + left * size, size);
        sink(base, 0, left, size, compare);
    }
}
