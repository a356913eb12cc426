/* format.h: one conversion of a format, and how its text is padded. Programs cannot include it. */
#pragma once
#include "libc.h"

enum { LEFT = 1, PLUS = 2, SPACE = 4, ALTERNATE = 8, ZERO = 16 };

struct spec {
    unsigned flags;
    char letter;
    unsigned width;
    int precision; /* -1: none given */
};
void microclaw_format_signed(struct output *out, const struct spec *spec, int64_t value);
void microclaw_format_float(struct output *out, const struct spec *spec, double value);

/* What stands before `size` characters of text: spaces, the sign or prefix, zeros where they are wanted. */
void microclaw_begin(struct output *out, const struct spec *spec, const char *prefix, int size, bool zeros);
void microclaw_finish(struct output *out, const struct spec *spec, const char *prefix, int size);
