/* log, log2, log10, log1p: x = 2^k m, and ln m = 2 atanh(s), s = (m - 1) / (m + 1), by its series. */
#include "real.h"

int microclaw_log_parts(double x, double *high, double *low) {
    int k = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        k = -54;
    }
    uint64_t bits = bits_of(x) + ((1023ull << 52) - 0x3fe6a09e00000000ull); /* m from sqrt(1/2) to sqrt(2) */
    k += (int)(bits >> 52) - 1023;
    double f = of_bits((bits & ((1ull << 52) - 1)) + 0x3fe6a09e00000000ull) - 1;
    double s = f / (2 + f), z = s * s, half_square = 0.5 * f * f, rest = 0;
    for (int n = 23; n > 1; n -= 2) {
        rest = rest * z + 2.0 / n;
    }
    double h = of_bits(bits_of(f - half_square) >> 32 << 32);
    *high = h;
    *low = (f - h) - half_square + s * (half_square + rest * z);
    return k;
}

/* Zero, negative numbers, infinity and nan. */
static bool special(double x, double *value) {
    if (x > 0 && __builtin_isfinite(x)) {
        return false;
    }
    *value = x == 0 ? -__builtin_inf() : x < 0 ? __builtin_nan("") : x;
    return true;
}

/* k * (unit_high + unit_low) + (high + low) * (factor_high + factor_low). */
static double combined(double x, double unit_high, double unit_low, double factor_high, double factor_low) {
    double value, high, low;
    if (special(x, &value)) {
        return value;
    }
    double k = microclaw_log_parts(x, &high, &low);
    double main = high * factor_high, rest = k * unit_low + (low + high) * factor_low + low * factor_high;
    double whole = k * unit_high, sum = whole + main;
    double error = __builtin_fabs(whole) > __builtin_fabs(main) ? whole - sum + main : main - sum + whole;
    return sum + (rest + error);
}

double microclaw_log(double x) { return combined(x, LN2_HIGH, LN2_LOW, 1, 0); }

double microclaw_log1p(double x) {
    double u = 1 + x;
    if (!(u > 0) || !__builtin_isfinite(u)) {
        return u == 0 ? -__builtin_inf() : u < 0 ? __builtin_nan("") : u;
    }
    if (u == 1) {
        return x;
    }
    double lost = __builtin_fabs(x) < 1 ? x - (u - 1) : 1 - (u - x);
    return microclaw_log(u) + lost / u;
}

static double real_log(double x) { return microclaw_log(x); }

static double real_log1p(double x) { return microclaw_log1p(x); }

static double real_log2(double x) { return combined(x, 1, 0, 0x1.71547p+0, 0x1.94ae0bf85ddf4p-22); }

static double real_log10(double x) {
    return combined(x, 0x1.34413508p-2, 0x1.f79fef311f12bp-34, 0x1.bcb7bp-2, 0x1.526e50e32a6abp-26);
}

FOR_BOTH(log)
FOR_BOTH(log1p)
FOR_BOTH(log2)
FOR_BOTH(log10)
