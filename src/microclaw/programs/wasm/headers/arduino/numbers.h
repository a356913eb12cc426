/* arduino/numbers.h: numbers as Arduino writes them. Programs cannot include it. */
#pragma once
#define NUMBER_BYTES 72 /* 64 binary digits, a sign and the end */
/* The digits of a value in a base of 2 to 36; returns where they begin in `out`. `ten` is the digit of 10: Print writes
 * capital letters, 'A', and String small ones, 'a'. */
char *microclaw_digits(char out[NUMBER_BYTES], unsigned long long value, bool negative, int base, char ten);
/* A value with so many digits behind the point, half rounded away from 0. */
char *microclaw_decimal(char out[NUMBER_BYTES], double value, int digits);
