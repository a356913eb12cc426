/* stdout and stderr are both the console, which keeps nothing back. */
#include "libc.h"

typedef struct microclaw_file FILE;

static size_t length(const char *s) {
    size_t n = 0;
    while (s[n]) {
        n++;
    }
    return n;
}

WEAK int fputs(const char *text, FILE *file) {
    (void)file;
    microclaw_write(text, length(text));
    return 1;
}

static int put(int c) {
    native_putchar((unsigned char)c);
    return (unsigned char)c;
}

WEAK int fputc(int c, FILE *file) {
    (void)file;
    return put(c);
}

WEAK int putc(int c, FILE *file) {
    (void)file;
    return put(c);
}

WEAK size_t fwrite(const void *data, size_t size, size_t count, FILE *file) {
    (void)file;
    microclaw_write(data, size * count);
    return size ? count : 0;
}

WEAK int fflush(FILE *file) {
    (void)file;
    return 0;
}

WEAK int ferror(FILE *file) {
    (void)file;
    return 0;
}

WEAK void setbuf(FILE *file, char *buffer) {
    (void)file;
    (void)buffer;
}

WEAK int setvbuf(FILE *file, char *buffer, int mode, size_t size) {
    (void)file;
    (void)buffer;
    (void)mode;
    (void)size;
    return 0;
}
