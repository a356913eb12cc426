/* Decimal numbers times powers of two, exactly: what printing and reading a double need. */
#include "decimal.h"

const uint32_t microclaw_tens[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};

void microclaw_decimal_set(struct decimal *d, uint64_t value) {
    d->end = POINT;
    d->first = POINT;
    d->inexact = false;
    for (; value; value /= BILLION) {
        d->limb[--d->first] = (uint32_t)(value % BILLION);
    }
}

static void times(struct decimal *d, unsigned shift) {
    uint64_t carry = 0;
    for (int i = d->end - 1; i >= d->first; i--) {
        carry += (uint64_t)d->limb[i] << shift;
        d->limb[i] = (uint32_t)(carry % BILLION);
        carry /= BILLION;
    }
    if (carry) {
        d->limb[--d->first] = (uint32_t)carry;
    }
    while (d->end > d->first && !d->limb[d->end - 1]) {
        d->end--;
    }
}

/* At most 9: a billion is divisible by 2 to the 9. */
static void by(struct decimal *d, unsigned shift) {
    uint32_t rest = 0;
    for (int i = d->first; i < d->end; i++) {
        uint32_t limb = d->limb[i];
        d->limb[i] = (limb >> shift) + rest;
        rest = (limb & ((1u << shift) - 1)) * (BILLION >> shift);
    }
    if (rest && d->end < LIMBS) {
        d->limb[d->end++] = rest;
    } else if (rest) {
        d->inexact = true;
    }
    if (d->first < d->end && !d->limb[d->first]) {
        d->first++;
    }
}

/* Times 2 to the exponent. The caller knows that the result has its place. */
void microclaw_decimal_scale(struct decimal *d, int exponent) {
    while (exponent > 0) {
        int step = exponent < 29 ? exponent : 29;
        times(d, (unsigned)step);
        exponent -= step;
    }
    while (exponent < 0) {
        int step = exponent > -9 ? -exponent : 9;
        by(d, (unsigned)step);
        exponent += step;
    }
}
