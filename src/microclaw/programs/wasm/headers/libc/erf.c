/* erf and erfc: a series below 1.5, a continued fraction above, as CPython had them (mathmodule.c): erf within 20 ulp. */
#include "real.h"

#define SQRT_PI 1.772453850905516027298167483341145182798

static double series(double x) {
    double square = x * x, sum = 0, k = 25.5;
    for (int i = 0; i < 25; i++) {
        sum = 2 + square * sum / k;
        k -= 1;
    }
    return sum * x * microclaw_exp(-square, 0) / SQRT_PI;
}

static double fraction(double x) { /* erfc of an x of 1.5 and more */
    if (x >= 30) {
        return 0;
    }
    double square = x * x, a = 0, da = 0.5, p = 1, p_before = 0, q = da + square, q_before = 1;
    for (int i = 0; i < 50; i++) {
        a += da;
        da += 2;
        double b = da + square, next = b * p - a * p_before;
        p_before = p;
        p = next;
        next = b * q - a * q_before;
        q_before = q;
        q = next;
    }
    double high = of_bits(bits_of(x) >> 32 << 32); /* squared exactly: e^-square is wrong by x * x / 2 ulp */
    return p / q * x * microclaw_exp(-high * high, 0) * microclaw_exp((high - x) * (high + x), 0) / SQRT_PI;
}

static double real_erf(double x) {
    double a = __builtin_fabs(x);
    return __builtin_isnan(x) ? x : a < 1.5 ? series(x) : __builtin_copysign(1 - fraction(a), x);
}

static double real_erfc(double x) {
    double a = __builtin_fabs(x);
    return __builtin_isnan(x) ? x : a < 1.5 ? 1 - series(x) : x > 0 ? fraction(a) : 2 - fraction(a);
}

FOR_BOTH(erf)
FOR_BOTH(erfc)
