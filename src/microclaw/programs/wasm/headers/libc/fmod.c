/* fmod and remainder, exact: long division of the mantissas. */
#include "real.h"

/* Mantissa and exponent of a positive number. */
static uint64_t mantissa_of(double x, int *exponent) {
    uint64_t bits = bits_of(x), mantissa = bits & ((1ull << 52) - 1);
    *exponent = (int)(bits >> 52);
    if (*exponent) {
        return mantissa | 1ull << 52;
    }
    *exponent = 1;
    return mantissa;
}

static double real_fmod(double x, double y) {
    if (y == 0 || !__builtin_isfinite(x) || __builtin_isnan(y)) {
        return __builtin_nan("");
    }
    if (__builtin_isinf(y)) {
        return x;
    }
    int exponent, by_exponent;
    uint64_t rest = mantissa_of(__builtin_fabs(x), &exponent), by = mantissa_of(__builtin_fabs(y), &by_exponent);
    if (exponent < by_exponent) {
        return x;
    }
    for (; exponent > by_exponent; exponent--) {
        rest = (rest >= by ? rest - by : rest) << 1;
        if (rest >> 54) { /* a subnormal divisor leaves more than one bit */
            rest %= by;
        }
    }
    rest %= by;
    double value = microclaw_scaled((double)rest, exponent - 1075);
    return __builtin_copysign(value, x);
}

FOR_BOTH_OF_TWO(fmod)

static double real_remainder(double x, double y) {
    if (__builtin_isnan(y)) {
        return y;
    }
    double a = __builtin_fabs(y), rest = __builtin_fabs(x);
    rest = a <= 0x1p1022 ? real_fmod(rest, a + a) : rest;
    if (__builtin_isnan(rest) || a == 0 || __builtin_isinf(x)) {
        return __builtin_nan("");
    }
    if (a < 0x1p-1021 ? rest + rest > a : rest > 0.5 * a) {
        rest -= a;
        if (a < 0x1p-1021 ? rest + rest >= a : rest >= 0.5 * a) {
            rest -= a;
        }
    }
    return __builtin_signbit(x) ? -rest : rest;
}

FOR_BOTH_OF_TWO(remainder)
