/* Long numbers as text, with small letters for the digits from 10 on. */
#include "numbers.h"
#include <Arduino.h>

static char *copied(char *out, unsigned long long value, bool negative, int base) {
    char digits[NUMBER_BYTES];
    return strcpy(out, microclaw_digits(digits, value, negative, base, 'a'));
}

char *ultoa(unsigned long value, char *out, int base) { return copied(out, value, false, base); }

char *ulltoa(unsigned long long value, char *out, int base) { return copied(out, value, false, base); }

char *lltoa(long long value, char *out, int base) {
    bool negative = value < 0 && base == 10;
    return copied(out, negative ? 0ull - (unsigned long long)value : (unsigned long long)value, negative, base);
}
