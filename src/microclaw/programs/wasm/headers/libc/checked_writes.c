/* What a writer of string.h and stdio.h becomes where the compiler knows how much room is behind its pointer, but not whether
 * it is enough: checked_writes.h and plain_format.h choose these. `room` is SIZE_MAX where nothing is known. */
#include "libc.h"

NATIVE("memcpy") void *native_memcpy(void *to, const void *from, size_t n);
NATIVE("memmove") void *native_memmove(void *to, const void *from, size_t n);
NATIVE("memset") void *native_memset(void *to, int c, size_t n);
NATIVE("strlen") size_t native_strlen(const char *s);
NATIVE("strncpy") char *native_strncpy(char *to, const char *from, size_t n);
NATIVE("vsprintf") int native_vsprintf(char *out, const char *format, va_list ap);
NATIVE("vsnprintf") int native_vsnprintf(char *out, size_t size, const char *format, va_list ap);

__attribute__((noinline, cold)) void microclaw_check_room(const char *function, size_t bytes, size_t room) {
    if (bytes > room) {
        native_printf("%s writes %u bytes, %u fit\n", function, bytes, room);
        __builtin_trap();
    }
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

void *__memcpy_chk(void *to, const void *from, size_t n, size_t room) {
    microclaw_check_room("memcpy", n, room);
    return native_memcpy(to, from, n);
}

void *__memmove_chk(void *to, const void *from, size_t n, size_t room) {
    microclaw_check_room("memmove", n, room);
    return native_memmove(to, from, n);
}

void *__memset_chk(void *to, int c, size_t n, size_t room) {
    microclaw_check_room("memset", n, room);
    return native_memset(to, c, n);
}

char *__strcpy_chk(char *to, const char *from, size_t room) {
    size_t bytes = native_strlen(from) + 1;
    microclaw_check_room("strcpy", bytes, room);
    return native_memcpy(to, from, bytes);
}

char *__stpcpy_chk(char *to, const char *from, size_t room) {
    size_t length = native_strlen(from);
    microclaw_check_room("stpcpy", length + 1, room);
    native_memcpy(to, from, length + 1);
    return to + length;
}

char *__strncpy_chk(char *to, const char *from, size_t n, size_t room) {
    microclaw_check_room("strncpy", n, room);
    return native_strncpy(to, from, n);
}

/* Add `length` characters and a NUL to the text in `to`. */
static void append(const char *function, char *to, const char *from, size_t length, size_t room) {
    size_t before = native_strlen(to);
    microclaw_check_room(function, before + length + 1, room);
    native_memcpy(to + before, from, length);
    to[before + length] = 0;
}

static size_t length_up_to(const char *s, size_t n) {
    size_t length = 0;
    while (length < n && s[length]) {
        length++;
    }
    return length;
}

char *__strcat_chk(char *to, const char *from, size_t room) {
    append("strcat", to, from, native_strlen(from), room);
    return to;
}

char *__strncat_chk(char *to, const char *from, size_t n, size_t room) {
    append("strncat", to, from, length_up_to(from, n), room);
    return to;
}

size_t __strlcpy_chk(char *to, const char *from, size_t n, size_t room) {
    size_t length = native_strlen(from);
    microclaw_check_room("strlcpy", least(length + 1, n), room);
    if (n) {
        size_t copied = least(length, n - 1);
        native_memcpy(to, from, copied);
        to[copied] = 0;
    }
    return length;
}

size_t __strlcat_chk(char *to, const char *from, size_t n, size_t room) {
    size_t before = length_up_to(to, n), length = native_strlen(from);
    microclaw_check_room("strlcat", least(before + length + 1, n), room);
    if (before < n) {
        append("strlcat", to, from, least(length, n - before - 1), room);
    }
    return before + length;
}

int microclaw_checked_vsprintf(char *out, size_t room, const char *format, va_list ap) {
    if (room == SIZE_MAX) {
        return native_vsprintf(out, format, ap);
    }
    int length = native_vsnprintf(out, room, format, ap);
    microclaw_check_room("sprintf", (size_t)length + 1, room);
    return length;
}

int microclaw_checked_sprintf(char *out, size_t room, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    int length = microclaw_checked_vsprintf(out, room, format, ap);
    va_end(ap);
    return length;
}

int microclaw_checked_vsnprintf(char *out, size_t room, size_t size, const char *format, va_list ap) {
    int length = native_vsnprintf(out, least(size, room), format, ap);
    microclaw_check_room("snprintf", least((size_t)length + 1, size), room);
    return length;
}

int microclaw_checked_snprintf(char *out, size_t room, size_t size, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    int length = microclaw_checked_vsnprintf(out, room, size, format, ap);
    va_end(ap);
    return length;
}
