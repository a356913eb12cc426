/* stdio.h: what the firmware prints with. There are no FILEs: use open, read and write under /storage. A width or
 * precision of `*` is not understood by the firmware's printf. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
int printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
int sprintf(char *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
int snprintf(char *out, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
int vprintf(const char *format, va_list ap) __attribute__((format(printf, 1, 0)));
int vsprintf(char *out, const char *format, va_list ap) __attribute__((format(printf, 2, 0)));
int vsnprintf(char *out, size_t size, const char *format, va_list ap) __attribute__((format(printf, 3, 0)));
int puts(const char *text);
int putchar(int c);
