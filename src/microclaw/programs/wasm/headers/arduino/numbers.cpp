/* Numbers as Arduino writes them: rounding is by adding half a digit, so 0.125 is 0.13 as on every Arduino. */
#include "numbers.h"

char *microclaw_digits(char out[NUMBER_BYTES], unsigned long long value, bool negative, int base, char ten) {
    char *at = out + NUMBER_BYTES;
    *--at = '\0';
    base = base < 2 || base > 36 ? 10 : base;
    do {
        int digit = (int)(value % (unsigned)base);
        *--at = (char)(digit < 10 ? '0' + digit : ten + digit - 10);
        value /= (unsigned)base;
    } while (value);
    if (negative) {
        *--at = '-';
    }
    return at;
}

static char *word(char out[NUMBER_BYTES], const char *text) {
    char *at = out;
    while ((*at++ = *text++)) {
    }
    return out;
}

char *microclaw_decimal(char out[NUMBER_BYTES], double value, int digits) {
    if (value != value) {
        return word(out, "nan");
    }
    if (value > 1e300 || value < -1e300) {
        return word(out, "inf");
    }
    if (value > 18446744073709549568.0 || value < -18446744073709549568.0) {
        return word(out, "ovf");
    }
    bool negative = value < 0;
    digits = digits < 0 ? 0 : digits > 20 ? 20 : digits;
    double rounding = 0.5;
    for (int i = 0; i < digits; i++) {
        rounding /= 10;
    }
    value = (negative ? -value : value) + rounding;
    unsigned long long whole = (unsigned long long)value;
    double rest = value - (double)whole;
    char text[NUMBER_BYTES];
    char *at = word(out, microclaw_digits(text, whole, negative, 10, 'A'));
    while (*at) {
        at++;
    }
    if (digits) {
        *at++ = '.';
    }
    for (int i = 0; i < digits; i++) {
        rest *= 10;
        int digit = (int)rest;
        *at++ = (char)('0' + digit);
        rest -= digit;
    }
    *at = '\0';
    return out;
}
