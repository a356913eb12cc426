/* decimal.h: a decimal number with as many digits as a double can have, in limbs of nine. Programs cannot include it. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define BILLION 1000000000u
#define POINT 36  /* limbs before it are whole: 324 digits */
#define LIMBS 160 /* behind it 1116 digits; the smallest double has 1074 */

struct decimal {
    uint32_t limb[LIMBS]; /* most significant first; only those from first to end count */
    int first, end;
    bool inexact; /* digits other than 0 were dropped at the end */
};

extern const uint32_t microclaw_tens[9];
void microclaw_decimal_set(struct decimal *d, uint64_t value);
void microclaw_decimal_scale(struct decimal *d, int exponent);
