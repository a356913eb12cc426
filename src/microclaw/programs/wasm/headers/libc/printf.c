/* The printf family for formats of every kind; stdio.h chooses it where the firmware's does not do. */
#include "libc.h"
#include <stdio.h>

int microclaw_console(const char *format, va_list ap) {
    char line[65];
    struct output out = {.text = line, .size = sizeof line - 1, .console = true};
    int count = microclaw_format(&out, format, ap);
    microclaw_flush(&out);
    return count;
}

static int to_memory(char *text, size_t size, const char *format, va_list ap) {
    struct output out = {.text = text, .size = size ? size - 1 : 0};
    int count = microclaw_format(&out, format, ap);
    if (size) {
        text[out.used] = 0;
    }
    return count;
}

int microclaw_vprintf(const char *format, va_list ap) { return microclaw_console(format, ap); }

int microclaw_vfprintf(FILE *file, const char *format, va_list ap) {
    (void)file;
    return microclaw_console(format, ap);
}

int microclaw_vsnprintf(char *text, size_t size, const char *format, va_list ap) {
    return to_memory(text, size, format, ap);
}

int microclaw_sized_vsprintf(char *text, size_t room, const char *format, va_list ap) {
    int count = to_memory(text, room, format, ap);
    microclaw_check_room("sprintf", (size_t)count + 1, room);
    return count;
}

int microclaw_sized_vsnprintf(char *text, size_t room, size_t size, const char *format, va_list ap) {
    int count = to_memory(text, size < room ? size : room, format, ap);
    microclaw_check_room("snprintf", (size_t)count < size ? (size_t)count + 1 : size, room);
    return count;
}

int microclaw_printf(const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    int count = microclaw_console(format, ap);
    va_end(ap);
    return count;
}

int microclaw_fprintf(FILE *file, const char *format, ...) {
    (void)file;
    va_list ap;
    va_start(ap, format);
    int count = microclaw_console(format, ap);
    va_end(ap);
    return count;
}

int microclaw_sized_sprintf(char *text, size_t room, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    int count = microclaw_sized_vsprintf(text, room, format, ap);
    va_end(ap);
    return count;
}

int microclaw_sized_snprintf(char *text, size_t room, size_t size, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    int count = microclaw_sized_vsnprintf(text, room, size, format, ap);
    va_end(ap);
    return count;
}
