/* What a program prints, kept for a host that asks: the firmware's console is all that printing reaches, and most boards stand
 * where nobody reads it. The linker puts these functions in front of those that print (toolchain.py, _PRINTING). The last lines are
 * kept and counted; a host asks from a number on and so sees what it missed. Nothing is sent that nobody asked for: the
 * firmware's send to a host waits for that host's TCP, and a program must not. The answer: docs/protocols/wasmachine.md. */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NATIVE(name) __attribute__((import_module("env"), import_name(#name)))
NATIVE(vprintf) int log_vprintf(const char *format, va_list ap);
NATIVE(vsnprintf) int log_vsnprintf(char *out, size_t size, const char *format, va_list ap);
NATIVE(puts) int log_puts(const char *text);
NATIVE(putchar) int log_putchar(int c);
NATIVE(wasm_get_sys_tick_ms) uint32_t log_tick_ms(void);
NATIVE(wasm_response_send) int log_response_send(const void *buffer, int size);

void microclaw_take_requests(void);

enum { LINE = 120, KEPT = 1024, PRINTED = 256, RECORD = 5, RESPONSE = 16, HEAD = RESPONSE + 16, CONTENT = 69, RAW = 98 };
enum { LENGTH = 0x7f, CUT = 0x80 };
static const char asked_url[] = "microclaw/log/";

/* Records one behind the other, oldest first: when it was begun (4, little-endian), its length and CUT (1), text. The last one
 * may still be open. The room in front is the first record's head when all are asked for. */
static uint8_t room[HEAD + KEPT], *const kept = room + HEAD;
static int used, open_at = -1;
static uint32_t first, next, began_ms;

static void drop_first(void) {
    int size = RECORD + (kept[4] & LENGTH);
    for (int i = size; i < used; i++) {
        kept[i - size] = kept[i];
    }
    used -= size;
    open_at -= open_at >= 0 ? size : 0;
    first++;
}

static void store(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> 8 * i);
    }
}

static void begin_line(void) {
    while (used + RECORD + LINE > KEPT) {
        drop_first();
    }
    uint32_t now_ms = log_tick_ms();
    if (!next) {
        began_ms = now_ms;
        microclaw_take_requests();
    }
    open_at = used;
    store(kept + used, now_ms);
    kept[used + 4] = 0;
    used += RECORD;
    next++;
}

static void add(char c) {
    if (open_at < 0) {
        begin_line();
    }
    uint8_t *about = kept + open_at + 4;
    if (c == '\n') {
        open_at = -1;
    } else if ((*about & LENGTH) == LINE) {
        *about |= CUT;
    } else {
        kept[used++] = (uint8_t)c;
        ++*about;
    }
}

static void keep(const char *format, va_list ap) {
    static char printed[PRINTED];
    int size = log_vsnprintf(printed, sizeof printed, format, ap);
    for (int i = 0; i < PRINTED && printed[i]; i++) {
        add(printed[i]);
    }
    if (size >= PRINTED) { /* what was not kept may have ended the line */
        if (open_at >= 0) {
            kept[open_at + 4] |= CUT;
        }
        open_at = -1;
    }
}

static int print(const char *format, va_list ap) {
    va_list again;
    va_copy(again, ap);
    keep(format, again);
    va_end(again);
    return log_vprintf(format, ap);
}

int __wrap_printf(const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    int count = print(format, ap);
    va_end(ap);
    return count;
}

int __wrap_vprintf(const char *format, va_list ap) { return print(format, ap); }

int __wrap_puts(const char *text) {
    for (const char *c = text; *c; c++) {
        add(*c);
    }
    add('\n');
    return log_puts(text);
}

int __wrap_putchar(int c) {
    add((char)c);
    return log_putchar(c);
}

/* The glue's own names for the same natives. */
#define SAME(name, ours) __attribute__((alias(#ours))) __typeof__(ours) __wrap_##name
SAME(native_printf, __wrap_printf);
SAME(microclaw_native_printf, __wrap_printf);
SAME(__microclaw_native_printf, __wrap_printf);
SAME(microclaw_watch_printf, __wrap_printf);
SAME(native_putchar, __wrap_putchar);

static bool asked_from(const char *url, int size, uint32_t *from) {
    int i = *url == '/';
    for (int j = 0; asked_url[j]; i++, j++) {
        if (i >= size || url[i] != asked_url[j]) {
            return false;
        }
    }
    for (*from = 0; i < size && url[i] >= '0' && url[i] <= '9'; i++) {
        *from = *from * 10 + (uint32_t)(url[i] - '0');
    }
    return i == size - 1 && !url[i];
}

/* The records from a number on; those of an open line wait until it ends. The head is written over what lies before them. */
static void answer(const uint8_t *mid, uint32_t from) {
    uint32_t number = first;
    int start = 0, end = open_at < 0 ? used : open_at;
    for (; number < from && start < end; number++) {
        start += RECORD + (kept[start + 4] & LENGTH);
    }
    uint8_t *head = kept + start - HEAD, before[HEAD];
    uint32_t body = HEAD - RESPONSE + (uint32_t)(end - start);
    for (int i = 0; i < HEAD; i++) {
        before[i] = head[i];
        head[i] = 0;
    }
    head[0] = 1;
    head[1] = CONTENT;
    head[3] = RAW;
    for (int i = 0; i < 4; i++) {
        head[4 + i] = mid[i];
        head[12 + i] = (uint8_t)(body >> 8 * (3 - i));
    }
    store(head + RESPONSE, began_ms);
    store(head + RESPONSE + 4, log_tick_ms());
    store(head + RESPONSE + 8, number);
    store(head + RESPONSE + 12, next - (open_at >= 0));
    log_response_send(head, HEAD + end - start);
    for (int i = 0; i < HEAD; i++) {
        head[i] = before[i];
    }
}

bool microclaw_log_request(const char *buffer, int size) {
    enum { REQUEST = 18 };
    const uint8_t *raw = (const uint8_t *)buffer;
    int url_size = size > REQUEST ? raw[12] << 8 | raw[13] : 0;
    uint32_t from;
    if (!url_size || REQUEST + url_size > size || raw[0] != 1 || !asked_from(buffer + REQUEST, url_size, &from)) {
        return false;
    }
    answer(raw + 4, from);
    return true;
}
