/* Absolute values and divisions with remainder. */
#include "libc.h"
#include <inttypes.h>
#include <stdlib.h>

WEAK int abs(int value) { return value < 0 ? (int)(0u - (unsigned)value) : value; }

WEAK long labs(long value) { return value < 0 ? (long)(0uL - (unsigned long)value) : value; }

WEAK long long llabs(long long value) { return value < 0 ? (long long)(0uLL - (unsigned long long)value) : value; }

WEAK intmax_t imaxabs(intmax_t value) { return value < 0 ? (intmax_t)(0uLL - (uintmax_t)value) : value; }

WEAK div_t div(int value, int by) { return (div_t){value / by, value % by}; }

WEAK ldiv_t ldiv(long value, long by) { return (ldiv_t){value / by, value % by}; }

WEAK lldiv_t lldiv(long long value, long long by) { return (lldiv_t){value / by, value % by}; }

WEAK imaxdiv_t imaxdiv(intmax_t value, intmax_t by) { return (imaxdiv_t){value / by, value % by}; }
