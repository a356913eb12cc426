/* sinh, cosh, tanh and their inverses. */
#include "real.h"

static double real_sinh(double x) {
    double a = __builtin_fabs(x), value;
    if (a < 40) {
        double e = microclaw_expm1(a);
        value = a < 1 ? 0.5 * (2 * e - e * e / (e + 1)) : 0.5 * (e + e / (e + 1));
    } else {
        value = microclaw_exp(a, -1);
    }
    return __builtin_copysign(value, x);
}

static double real_cosh(double x) {
    double a = __builtin_fabs(x), half = microclaw_exp(a, -1);
    return a < 40 ? half + 0.25 / half : half;
}

static double real_tanh(double x) {
    double a = __builtin_fabs(x), value;
    if (a < 0.5) {
        double e = microclaw_expm1(-2 * a);
        value = -e / (e + 2);
    } else {
        value = 1 - 2 / (microclaw_expm1(2 * a) + 2);
    }
    return __builtin_isnan(x) ? x : __builtin_copysign(value, x);
}

static double real_asinh(double x) {
    double a = __builtin_fabs(x);
    double value = a > 0x1p28 ? microclaw_log(a) + (LN2_HIGH + LN2_LOW)
                              : microclaw_log1p(a + a * a / (1 + __builtin_sqrt(a * a + 1)));
    return __builtin_copysign(value, x);
}

static double real_acosh(double x) {
    if (x > 0x1p28) {
        return microclaw_log(x) + (LN2_HIGH + LN2_LOW);
    }
    double t = x - 1;
    return x < 1 ? __builtin_nan("") : microclaw_log1p(t + __builtin_sqrt(2 * t + t * t));
}

static double real_atanh(double x) {
    double a = __builtin_fabs(x);
    double value = 0.5 * microclaw_log1p(a < 0.5 ? 2 * a + 2 * a * a / (1 - a) : 2 * a / (1 - a));
    return a > 1 ? __builtin_nan("") : __builtin_copysign(value, x);
}

FOR_BOTH(sinh)
FOR_BOTH(cosh)
FOR_BOTH(tanh)
FOR_BOTH(asinh)
FOR_BOTH(acosh)
FOR_BOTH(atanh)
