/* dprintf: what is printed for the descriptors 1 and 2 goes to the log, as printf's, the rest into the file. */
#include "libc.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int microclaw_vsnprintf(char *text, size_t size, const char *format, va_list ap);

static int whole(int fd, const char *text, int size) { return write(fd, text, (size_t)size) == size ? size : -1; }

WEAK int vdprintf(int fd, const char *format, va_list ap) {
    if (fd == STDOUT_FILENO || fd == STDERR_FILENO) {
        return microclaw_console(format, ap);
    }
    char line[80];
    va_list again;
    va_copy(again, ap);
    int size = microclaw_vsnprintf(line, sizeof line, format, again);
    va_end(again);
    if (size < (int)sizeof line) {
        return whole(fd, line, size);
    }
    char *text = malloc((size_t)size + 1);
    if (!text) {
        microclaw_errno_value = 48; /* ENOMEM */
        return -1;
    }
    microclaw_vsnprintf(text, (size_t)size + 1, format, ap);
    size = whole(fd, text, size);
    free(text);
    return size;
}

WEAK int dprintf(int fd, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    int count = vdprintf(fd, format, ap);
    va_end(ap);
    return count;
}
