/* Formatted text on its way to memory or to the console. */
#include "libc.h"

void microclaw_put(struct output *out, char c) {
    out->count++;
    if (out->console && (!c || out->used == out->size)) {
        microclaw_flush(out);
    }
    if (out->console && !c) {
        native_putchar(0);
    } else if (out->used < out->size) {
        out->text[out->used++] = c;
    }
}

void microclaw_flush(struct output *out) {
    if (out->used) {
        out->text[out->used] = 0;
        native_printf("%s", out->text);
        out->used = 0;
    }
}

void microclaw_write(const char *text, size_t size) {
    char line[65];
    struct output out = {.text = line, .size = sizeof line - 1, .console = true};
    while (size--) {
        microclaw_put(&out, *text++);
    }
    microclaw_flush(&out);
}
