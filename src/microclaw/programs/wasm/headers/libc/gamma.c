/* tgamma and lgamma by Lanczos' sum for g = 6.0246..., as CPython has it (mathmodule.c): within 20 ulp. */
#include "real.h"

NATIVE("pow") double native_pow(double x, double y);

#define G 6.024680040776729583740234375
#define G_LESS_HALF 5.524680040776729583740234375
#define PI 3.14159265358979323846
#define LOG_PI 1.144729885849400174143427351353058711647

static double lanczos(double x) {
    static const double above[] = {23531376880.410759688572007674451636754734846804940,
        42919803642.649098768957899047001988850926355848959, 35711959237.355668049440185451547166705960488635843,
        17921034426.037209699919755754458931112671403265390, 6039542586.3520280050642916443072979210699388420708,
        1439720407.3117216736632230727949123939715485786372, 248874557.86205415651146038641322942321632125127801,
        31426415.585400194380614231628318205362874684987640, 2876370.6289353724412254090516208496135991145378768,
        186056.26539522349504029498971604569928220784236328, 8071.6720023658162106380029022722506138218516325024,
        210.82427775157934587250973392071336271166969580291, 2.5066282746310002701649081771338373386264310793408};
    static const double below[] = {0, 39916800, 120543840, 150917976, 105258076, 45995730, 13339535, 2637558, 357423,
        32670, 1925, 66, 1};
    double num = 0, den = 0;
    int last = sizeof above / sizeof *above - 1;
    for (int i = 0; i <= last; i++) {
        int at = x < 5 ? last - i : i; /* by 1 / x where x is large, or the sums overflow */
        double by = x < 5 ? x : 1 / x;
        num = num * by + above[at];
        den = den * by + below[at];
    }
    return num / den;
}

static double sine_of_pi_times(double x) { /* x not negative */
    double rest = x - 2 * __builtin_floor(x / 2), sign = 1;
    if (rest >= 1) {
        rest -= 1;
        sign = -1;
    }
    rest = rest > 0.5 ? 1 - rest : rest;
    return sign * (rest > 0.25 ? microclaw_cosine(PI * (0.5 - rest), 0) : microclaw_sine(PI * rest, 0));
}

static double real_tgamma(double x) {
    double a = __builtin_fabs(x);
    if (__builtin_isnan(x) || (__builtin_isinf(x) && x > 0)) {
        return x;
    }
    if (x == 0) {
        return 1 / x;
    }
    if (x == __builtin_floor(x)) {
        if (x < 0) {
            return __builtin_nan("");
        }
        if (x <= 23) {
            double product = 1;
            for (int factor = 2; factor < (int)x; factor++) {
                product *= factor;
            }
            return product;
        }
    }
    if (a < 1e-20) {
        return 1 / x;
    }
    if (a > 200) {
        return x < 0 ? 0 / sine_of_pi_times(a) * -1 : __builtin_inf();
    }
    double y = a + G_LESS_HALF;
    double z = a > G_LESS_HALF ? (y - a) - G_LESS_HALF : (y - G_LESS_HALF) - a; /* what y was rounded by */
    z = z * G / y;
    double half = native_pow(y, a < 140 ? a - 0.5 : a / 2 - 0.25), other = a < 140 ? 1 : half;
    if (x < 0) {
        double value = -PI / sine_of_pi_times(a) / a * microclaw_exp(y, 0) / lanczos(a);
        return (value - z * value) / half / other;
    }
    double value = lanczos(a) / microclaw_exp(y, 0);
    return (value + z * value) * half * other;
}

static double real_lgamma(double x) {
    double a = __builtin_fabs(x);
    if (__builtin_isnan(x) || __builtin_isinf(x)) {
        return a;
    }
    if (x == __builtin_floor(x) && x <= 2) {
        return x <= 0 ? __builtin_inf() : 0;
    }
    if (a < 1e-20) {
        return -microclaw_log(a);
    }
    double value = microclaw_log(lanczos(a)) - G + (a - 0.5) * (microclaw_log(a + G - 0.5) - 1);
    if (x < 0) {
        value = LOG_PI - microclaw_log(__builtin_fabs(sine_of_pi_times(a))) - microclaw_log(a) - value;
    }
    return value;
}

FOR_BOTH(tgamma)
FOR_BOTH(lgamma)
