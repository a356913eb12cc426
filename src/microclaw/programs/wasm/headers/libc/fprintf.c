/* fprintf with a plain format: the firmware's printf. */
#include "libc.h"

typedef struct microclaw_file FILE;

WEAK int vfprintf(FILE *file, const char *format, va_list ap) {
    (void)file;
    return native_vprintf(format, ap);
}

WEAK int fprintf(FILE *file, const char *format, ...) {
    (void)file;
    va_list ap;
    va_start(ap, format);
    int count = native_vprintf(format, ap);
    va_end(ap);
    return count;
}
