/* The number at the beginning of a text, rounded to the nearest double or float, ties to even, as strtod and sscanf read
 * it: decimal, hexadecimal, inf and nan. */
#include "decimal.h"
#include "libc.h"

/* A text of which only `left` characters may be read. */
struct reader {
    const char *at;
    size_t left;
};

static char next(const struct reader *r) { return r->left ? *r->at : 0; }

static void skip(struct reader *r) { r->at++, r->left--; }

static bool take(struct reader *r, const char *word) {
    struct reader ahead = *r;
    for (; *word; word++) {
        if (lower(next(&ahead)) != *word) {
            return false;
        }
        skip(&ahead);
    }
    *r = ahead;
    return true;
}

/* The exponent behind `letter`, held to what decides; nothing is read unless digits follow. */
static int exponent_after(struct reader *r, char letter) {
    struct reader ahead = *r;
    if (lower(next(&ahead)) != letter) {
        return 0;
    }
    skip(&ahead);
    bool negative = next(&ahead) == '-';
    if (negative || next(&ahead) == '+') {
        skip(&ahead);
    }
    int value = 0;
    for (; next(&ahead) >= '0' && next(&ahead) <= '9'; skip(&ahead)) {
        value = value < 1000000 ? value * 10 + (next(&ahead) - '0') : value;
        *r = ahead;
        skip(r);
    }
    return negative ? -value : value;
}

static double power_of_two(int exponent) {
    union {
        uint64_t bits;
        double value;
    } u = {(uint64_t)(exponent + 1023) << 52};
    return u.value;
}

/* mantissa * 2^exponent, which is exact or infinite. */
static double scaled(uint64_t mantissa, int exponent) {
    double value = (double)mantissa;
    if (exponent < -1000) {
        return value * power_of_two(exponent + 200) * power_of_two(-200);
    }
    return exponent > 1000 ? __builtin_inf() : value * power_of_two(exponent);
}

/* Cut a mantissa of 58 bits to `bits`, fewer for the smallest numbers; `sticky`: something was dropped below it. */
static double rounded(uint64_t mantissa, int exponent, bool sticky, int bits) {
    int least = bits == 53 ? -1074 : -149, drop = 58 - bits;
    drop = exponent + drop < least ? least - exponent : drop;
    if (drop > 59) {
        return 0;
    }
    uint64_t half = 1ull << (drop - 1), rest = mantissa & (2 * half - 1);
    mantissa >>= drop;
    if (rest > half || (rest == half && (sticky || mantissa & 1))) {
        mantissa++;
    }
    return scaled(mantissa, exponent + drop);
}

static unsigned hex_digit(char c) {
    c = lower(c);
    return c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) : 99;
}

static double hexadecimal(struct reader *r, const char **end, int bits) {
    uint64_t mantissa = 0;
    int exponent = 0;
    bool sticky = false, dot = false;
    for (;; skip(r)) {
        unsigned digit = hex_digit(next(r));
        if (next(r) == '.' && !dot) {
            dot = true;
            continue;
        }
        if (digit > 15) {
            break;
        }
        if (mantissa >> 58) {
            sticky = sticky || digit;
            exponent += dot ? 0 : 4;
        } else {
            mantissa = mantissa << 4 | digit;
            exponent -= dot ? 4 : 0;
        }
    }
    exponent += exponent_after(r, 'p');
    *end = r->at;
    for (; mantissa && !(mantissa >> 57); mantissa <<= 1, exponent--) {
    }
    for (; mantissa >> 58; mantissa >>= 1, exponent++) {
        sticky = sticky || mantissa & 1;
    }
    return !mantissa ? 0 : exponent > 1100 ? __builtin_inf() : rounded(mantissa, exponent, sticky, bits);
}

static void clear(struct decimal *d, int from, int to) {
    for (; from < to; from++) {
        d->limb[from] = 0;
    }
}

/* Put a digit at 10^place; digits come from the left. False: too great for any double. */
static bool put(struct decimal *d, unsigned digit, int place) {
    int i = POINT - 1 - (place >= 0 ? place / 9 : -((8 - place) / 9));
    if (!digit) {
        return true;
    }
    if (i < 1) {
        return false;
    }
    if (i >= LIMBS) {
        d->inexact = true;
        return true;
    }
    if (d->first > i) {
        d->first = d->end = i;
    }
    clear(d, d->end, i + 1);
    d->end = d->end > i ? d->end : i + 1;
    d->limb[i] += digit * microclaw_tens[place >= 0 ? place % 9 : (9 - -place % 9) % 9];
    return true;
}

static uint64_t whole(struct decimal *d) {
    uint64_t value = 0;
    for (int i = d->first; i < POINT; i++) {
        value = value * BILLION + (i < d->end ? d->limb[i] : 0);
    }
    return value;
}

static double to_binary(struct decimal *d, int bits) {
    int exponent = 0, least = bits == 53 ? -1074 : -149;
    if (d->end < POINT && d->end > d->first) {
        clear(d, d->end, POINT);
        d->end = POINT;
    }
    while (d->first < POINT - 2) {
        microclaw_decimal_scale(d, -9);
        exponent += 9;
    }
    while (whole(d) >> bits) {
        microclaw_decimal_scale(d, -1);
        exponent++;
    }
    while (!(whole(d) >> (bits - 1)) && exponent > least) {
        int step = d->first < POINT ? 1 : exponent - least < bits - 1 ? exponent - least : bits - 1;
        step = step > 29 ? 29 : step;
        microclaw_decimal_scale(d, step);
        exponent -= step;
    }
    uint64_t mantissa = whole(d);
    uint32_t half = d->first <= POINT && d->end > POINT ? d->limb[POINT] : 0;
    bool more = d->inexact || d->end > POINT + 1;
    if (half > BILLION / 2 || (half == BILLION / 2 && (more || mantissa & 1))) {
        mantissa++;
    }
    return scaled(mantissa, exponent);
}

static double decimal(struct reader *r, const char **end, int bits) {
    struct reader ahead = *r;
    int whole_digits = 0;
    bool dot = false, any = false;
    for (; next(&ahead) == '.' ? !dot : next(&ahead) >= '0' && next(&ahead) <= '9'; skip(&ahead)) {
        dot = dot || next(&ahead) == '.';
        any = any || next(&ahead) != '.';
        whole_digits += !dot;
    }
    if (!any) {
        return 0;
    }
    struct reader behind = ahead;
    int place = whole_digits - 1 + exponent_after(&behind, 'e');
    *end = behind.at;
    struct decimal d;
    microclaw_decimal_set(&d, 0);
    for (; r->at < ahead.at; skip(r)) {
        if (*r->at == '.') {
            continue;
        }
        if (!put(&d, (unsigned)(*r->at - '0'), place)) {
            return __builtin_inf();
        }
        place--;
    }
    if (d.first == d.end) {
        return 0;
    }
    return to_binary(&d, bits);
}

double microclaw_scan_float(const char *s, const char **end, int bits, size_t width) {
    struct reader r = {s, width};
    *end = s;
    while (is_space(*r.at)) {
        r.at++;
    }
    bool negative = next(&r) == '-';
    if (negative || next(&r) == '+') {
        skip(&r);
    }
    double value = 0;
    if (take(&r, "inf")) {
        take(&r, "inity");
        *end = r.at;
        value = __builtin_inf();
    } else if (take(&r, "nan")) {
        *end = r.at;
        value = __builtin_nan("");
    } else {
        struct reader hex = r;
        if (take(&hex, "0x") && (hex_digit(next(&hex)) < 16 || (next(&hex) == '.' && hex.left > 1 && hex_digit(hex.at[1]) < 16))) {
            value = hexadecimal(&hex, end, bits);
        } else {
            value = decimal(&r, end, bits);
        }
        double least = bits == 53 ? 0x1p-1022 : 0x1p-126, most = bits == 53 ? 0x1.fffffffffffffp1023 : 0x1.fffffep127;
        if (value > most || (value != 0 && value < least)) {
            microclaw_errno_value = 68; /* ERANGE */
        }
    }
    return negative && *end != s ? -value : value;
}
