/* libc.h: what the libc's files share. Programs cannot include it. Every public function is weak, so that a program's own
 * of that name takes its place without a second definition; the files call each other by microclaw_ names only. */
#pragma once
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEAK __attribute__((weak))
#define NATIVE(name) __attribute__((import_module("env"), import_name(name)))

/* The firmware's own, whatever the program calls its functions. */
NATIVE("printf") int native_printf(const char *format, ...);
NATIVE("vprintf") int native_vprintf(const char *format, va_list ap);
NATIVE("putchar") int native_putchar(int c);

extern int microclaw_errno_value;

/* Where formatted text goes. To memory: `size` bytes, without the NUL; to the console: in pieces of `size`. */
struct output {
    char *text;
    size_t size, used;
    unsigned count;
    bool console;
};
int64_t microclaw_now_ms(void);
int microclaw_zone_s(long long utc);
int microclaw_zone_of_local_s(long long local);
void microclaw_delay_us(unsigned us);
int microclaw_usleep_long(unsigned us);
void microclaw_put(struct output *out, char c);
void microclaw_flush(struct output *out);
int microclaw_format(struct output *out, const char *format, va_list ap);
int microclaw_console(const char *format, va_list ap);
void microclaw_write(const char *text, size_t size);
/* End the program where a function of the library would write more bytes than there is room for. */
void microclaw_check_room(const char *function, size_t bytes, size_t room);

/* Numbers in text: `*end` is where the number ends, or `s` when there is none. */
uint64_t microclaw_scan_integer(const char *s, const char **end, int base, uint64_t max, bool sign, size_t width);
double microclaw_scan_float(const char *s, const char **end, int mantissa_bits, size_t width);
unsigned microclaw_digits(uint64_t value, unsigned base, char hex, char *end);

static inline bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static inline char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }
