/* Mantissa and exponent: ldexp, scalbn, frexp, modf, logb, ilogb. */
#include "real.h"
#include <limits.h>

double microclaw_scaled(double x, int exponent) {
    for (; exponent > 1023; exponent -= 1023) {
        x *= 0x1p1023;
        if (exponent > 4000) {
            exponent = 4000;
        }
    }
    /* In steps that leave room for the mantissa, so that a subnormal result is rounded once. */
    for (; exponent < -1022; exponent += 969) {
        x *= 0x1p-969;
        if (exponent < -4000) {
            exponent = -4000;
        }
    }
    return x * of_bits((uint64_t)(exponent + 1023) << 52);
}

static double fraction(double x, int *exponent) {
    *exponent = 0;
    if (x == 0 || !__builtin_isfinite(x)) {
        return x;
    }
    if (__builtin_fabs(x) < 0x1p-1022) {
        x *= 0x1p54;
        *exponent = -54;
    }
    uint64_t bits = bits_of(x);
    *exponent += (int)(bits >> 52 & 2047) - 1022;
    return of_bits((bits & ~(2047ull << 52)) | 1022ull << 52);
}

WEAK double frexp(double x, int *exponent) { return fraction(x, exponent); }

WEAK float frexpf(float x, int *exponent) { return (float)fraction(x, exponent); }

WEAK double ldexp(double x, int exponent) { return microclaw_scaled(x, exponent); }

WEAK float ldexpf(float x, int exponent) { return (float)microclaw_scaled(x, exponent); }

WEAK double scalbn(double x, int exponent) { return microclaw_scaled(x, exponent); }

WEAK float scalbnf(float x, int exponent) { return (float)microclaw_scaled(x, exponent); }

static double split(double x, double *whole) {
    *whole = __builtin_trunc(x);
    return __builtin_copysign(__builtin_isinf(x) ? 0 : x - *whole, x);
}

WEAK double modf(double x, double *whole) { return split(x, whole); }

WEAK float modff(float x, float *whole) {
    double part;
    float rest = (float)split(x, &part);
    *whole = (float)part;
    return rest;
}

static double real_logb(double x) {
    int exponent;
    fraction(x, &exponent);
    return x == 0 ? -__builtin_inf() : !__builtin_isfinite(x) ? x * x : exponent - 1;
}

FOR_BOTH(logb)

WEAK int ilogb(double x) {
    int exponent;
    fraction(x, &exponent);
    return x == 0 || __builtin_isnan(x) ? INT_MIN : __builtin_isinf(x) ? INT_MAX : exponent - 1;
}
