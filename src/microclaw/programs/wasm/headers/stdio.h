/* stdio.h: printing on the console. There are no files here and no input: use open, read and write under /storage.
 * %f and %lld of a plain format are the firmware's own; with CONFIG_NEWLIB_NANO_FORMAT (not ESP-IDF's default) it has none. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif
typedef struct microclaw_file FILE;
#define stdout ((FILE *)1)
#define stderr ((FILE *)2)
#define EOF (-1)
#define BUFSIZ 64
#define _IOFBF 0
#define _IOLBF 1
#define _IONBF 2
int printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
int sprintf(char *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
int snprintf(char *out, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
int vprintf(const char *format, va_list ap) __attribute__((format(printf, 1, 0)));
int vsprintf(char *out, const char *format, va_list ap) __attribute__((format(printf, 2, 0)));
int vsnprintf(char *out, size_t size, const char *format, va_list ap) __attribute__((format(printf, 3, 0)));
int fprintf(FILE *file, const char *format, ...) __attribute__((format(printf, 2, 3)));
int vfprintf(FILE *file, const char *format, va_list ap) __attribute__((format(printf, 2, 0)));
int dprintf(int fd, const char *format, ...) __attribute__((format(printf, 2, 3))); /* 1 and 2 are the log */
int vdprintf(int fd, const char *format, va_list ap) __attribute__((format(printf, 2, 0)));
int sscanf(const char *text, const char *format, ...) __attribute__((format(scanf, 2, 3)));
int vsscanf(const char *text, const char *format, va_list ap) __attribute__((format(scanf, 2, 0)));
int puts(const char *text);
int putchar(int c);
int fputs(const char *text, FILE *file);
int fputc(int c, FILE *file);
int putc(int c, FILE *file);
size_t fwrite(const void *data, size_t size, size_t count, FILE *file);
int fflush(FILE *file);
int ferror(FILE *file);
void setbuf(FILE *file, char *buffer);
int setvbuf(FILE *file, char *buffer, int mode, size_t size);
void perror(const char *text);
#include "plain_format.h"
#ifdef __cplusplus
}
#endif
