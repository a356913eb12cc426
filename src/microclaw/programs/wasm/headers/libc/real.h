/* real.h: what the math files share. Each is written for an error below 2 ulp; those for float compute in double.
 * Programs cannot include it. */
#pragma once
#include "libc.h"

#define LN2_HIGH 0x1.62e42feep-1 /* times any exponent: exact */
#define LN2_LOW 0x1.a39ef35793c76p-33
#define PI_HIGH 0x1.921fb54442d18p+1
#define PI_LOW 0x1.1a62633145c07p-53

static inline uint64_t bits_of(double x) {
    uint64_t bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline double of_bits(uint64_t bits) {
    double x;
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
}

#define FOR_DOUBLE(name) WEAK double name(double x) { return real_##name(x); }
#define FOR_FLOAT(name) WEAK float name##f(float x) { return (float)real_##name(x); }
#define FOR_BOTH(name) FOR_DOUBLE(name) FOR_FLOAT(name)
#define FOR_BOTH_OF_TWO(name) \
    WEAK double name(double x, double y) { return real_##name(x, y); } \
    WEAK float name##f(float x, float y) { return (float)real_##name(x, y); }

double microclaw_scaled(double x, int exponent);          /* x * 2^exponent */
double microclaw_exp(double x, int exponent);             /* e^x * 2^exponent */
double microclaw_expm1(double x);
double microclaw_log(double x);
double microclaw_log1p(double x);
int microclaw_log_parts(double x, double *high, double *low); /* ln x = k ln 2 + high + low, x positive and finite */
double microclaw_atan_of(double y, double x);             /* the angle of a point with y >= 0 and x >= 0 */
double microclaw_atan2(double y, double x);
int microclaw_reduce(double x, double rest[2]);           /* x = quadrant * pi/2 + rest, at most pi/4 */
double microclaw_sine(double x, double low);              /* of such a rest */
double microclaw_cosine(double x, double low);
