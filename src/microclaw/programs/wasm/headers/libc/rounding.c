/* Rounding, signs and the smaller of two. What is one instruction the compiler puts in place; here it is for pointers. */
#include "real.h"

#define INSTRUCTION(name) \
    WEAK double name(double x) { return __builtin_##name(x); } \
    WEAK float name##f(float x) { return __builtin_##name##f(x); }

INSTRUCTION(sqrt)
INSTRUCTION(fabs)
INSTRUCTION(floor)
INSTRUCTION(ceil)
INSTRUCTION(trunc)
INSTRUCTION(rint)
INSTRUCTION(nearbyint)

static double real_round(double x) {
    double whole = __builtin_trunc(x);
    return __builtin_fabs(x - whole) >= 0.5 ? whole + __builtin_copysign(1, x) : __builtin_copysign(whole, x);
}

FOR_BOTH(round)

#define TO_INTEGER(name, round, type) \
    WEAK type name(double x) { return (type)round(x); } \
    WEAK type name##f(float x) { return (type)round(x); }

TO_INTEGER(lround, real_round, long)
TO_INTEGER(llround, real_round, long long)
TO_INTEGER(lrint, __builtin_rint, long)
TO_INTEGER(llrint, __builtin_rint, long long)

static double real_copysign(double x, double y) { return __builtin_copysign(x, y); }

static double real_fmin(double x, double y) { return x < y || __builtin_isnan(y) ? x : y; }

static double real_fmax(double x, double y) { return x > y || __builtin_isnan(y) ? x : y; }

static double real_fdim(double x, double y) { return x <= y ? 0 : x - y; }

FOR_BOTH_OF_TWO(copysign)
FOR_BOTH_OF_TWO(fmin)
FOR_BOTH_OF_TWO(fmax)
FOR_BOTH_OF_TWO(fdim)
