/* %f %e %g and %a, rounded from the exact value of the double to the nearest, ties to even. */
#include "decimal.h"
#include "format.h"

#define MOST_DIGITS 8000000 /* so far a precision is believed */
#define NINES (MOST_DIGITS * 9 / 8)

/* Where the digit of 10^place stands: its limb, and what it counts there. */
static int limb_of(int place) { return POINT - 1 + NINES / 9 - (int)((unsigned)(place + NINES) / 9); }

static uint32_t ten_of(int place) { return microclaw_tens[(unsigned)(place + NINES) % 9]; }

static unsigned digit_at(const struct decimal *d, int place) {
    int i = limb_of(place);
    return i < d->first || i >= d->end ? 0 : d->limb[i] / ten_of(place) % 10;
}

/* The place of the first digit; 0 for 0. */
static int top_of(const struct decimal *d) {
    for (int place = (POINT - d->first) * 9; place >= (POINT - d->end) * 9; place--) {
        if (digit_at(d, place)) {
            return place;
        }
    }
    return 0;
}

/* Whether there is anything below 10^place. */
static bool below(const struct decimal *d, int place) {
    int i = limb_of(place);
    if (i >= d->first && i < d->end && d->limb[i] % ten_of(place)) {
        return true;
    }
    for (i = i < d->first ? d->first : i + 1; i < d->end; i++) {
        if (d->limb[i]) {
            return true;
        }
    }
    return false;
}

/* Keep the digits from 10^place up. */
static void round_at(struct decimal *d, int place) {
    int i = limb_of(place);
    if (i >= d->end) {
        return;
    }
    unsigned next = digit_at(d, place - 1);
    bool up = next > 5 || (next == 5 && (below(d, place - 1) || digit_at(d, place) % 2));
    if (i < d->first) {
        d->first = i;
        d->limb[i] = 0;
    }
    d->end = i + 1;
    d->limb[i] -= d->limb[i] % ten_of(place);
    if (!up) {
        return;
    }
    d->limb[i] += ten_of(place);
    while (d->limb[i] >= BILLION) {
        d->limb[i] -= BILLION;
        if (--i < d->first) {
            d->first = i;
            d->limb[i] = 0;
        }
        d->limb[i]++;
    }
}

static void put_digits(struct output *out, const struct decimal *d, int from, int to) {
    for (; from >= to; from--) {
        microclaw_put(out, (char)('0' + digit_at(d, from)));
    }
}

static void put_exponent(struct output *out, int letter, int exponent, int least_digits) {
    struct spec spec = {.flags = PLUS, .letter = 'd', .precision = least_digits};
    microclaw_put(out, (char)letter);
    microclaw_format_signed(out, &spec, exponent);
}

/* sign, 0x, a digit, the point and more, p and an exponent. */
static void put_hexadecimal(struct output *out, const struct spec *spec, uint64_t bits, const char *sign) {
    int exponent = (int)(bits >> 52 & 2047);
    uint64_t mantissa = bits & ((1ull << 52) - 1);
    if (exponent) {
        mantissa |= 1ull << 52;
    }
    exponent = mantissa ? (exponent ? exponent : 1) - 1023 : 0;
    int digits = 13;
    if (spec->precision >= 0 && spec->precision < 13) {
        unsigned drop = (unsigned)(13 - spec->precision) * 4;
        uint64_t half = 1ull << (drop - 1), rest = mantissa & (2 * half - 1);
        mantissa = (mantissa - rest) + (rest > half || (rest == half && mantissa >> drop & 1) ? 2 * half : 0);
        digits = spec->precision;
    } else if (spec->precision < 0) {
        while (digits && !(mantissa >> (13 - digits) * 4 & 15)) {
            digits--;
        }
    }
    int places = spec->precision < 0 ? digits : spec->precision, power = exponent < 0 ? -exponent : exponent;
    int point = places || spec->flags & ALTERNATE, size = 1 + point + places + 2 + (power > 999) + (power > 99) + (power > 9) + 1;
    char prefix[4] = {*sign, '0', (char)(spec->letter + ('x' - 'a'))};
    microclaw_begin(out, spec, prefix + !*sign, size, true);
    for (int i = 0; i <= places; i++) {
        char digit = '0';
        if (i <= 13) {
            microclaw_digits(mantissa >> (13 - i) * 4 & 15, 16, spec->letter, &digit + 1);
        }
        microclaw_put(out, digit);
        if (!i && point) {
            microclaw_put(out, '.');
        }
    }
    put_exponent(out, spec->letter + ('p' - 'a'), exponent, 1);
    microclaw_finish(out, spec, prefix + !*sign, size);
}

static void put_decimal(struct output *out, const struct spec *spec, struct decimal *d, const char *sign) {
    char letter = lower(spec->letter);
    int precision = spec->precision < 0 ? 6 : spec->precision > MOST_DIGITS ? MOST_DIGITS : spec->precision;
    if (letter == 'g') {
        precision = precision ? precision - 1 : 0;
    }
    int exponent = top_of(d);
    round_at(d, letter == 'f' ? -precision : exponent - precision);
    exponent = top_of(d);
    bool scientific = letter == 'e';
    if (letter == 'g') {
        scientific = exponent < -4 || exponent > precision;
        precision -= scientific ? 0 : exponent;
        for (; !(spec->flags & ALTERNATE) && precision && !digit_at(d, (scientific ? exponent : 0) - precision); precision--) {
        }
    }
    int from = scientific || exponent > 0 ? exponent : 0, unit = scientific ? exponent : 0;
    int size = from - unit + 1 + (precision || spec->flags & ALTERNATE) + precision;
    if (scientific) {
        size += exponent > 99 || exponent < -99 ? 5 : 4;
    }
    microclaw_begin(out, spec, sign, size, true);
    put_digits(out, d, from, unit);
    if (precision || spec->flags & ALTERNATE) {
        microclaw_put(out, '.');
    }
    put_digits(out, d, unit - 1, unit - precision);
    if (scientific) {
        put_exponent(out, spec->letter - (letter == 'g' ? 2 : 0), exponent, 2);
    }
    microclaw_finish(out, spec, sign, size);
}

void microclaw_format_float(struct output *out, const struct spec *spec, double value) {
    uint64_t bits;
    __builtin_memcpy(&bits, &value, sizeof bits);
    const char *sign = bits >> 63 ? "-" : spec->flags & PLUS ? "+" : spec->flags & SPACE ? " " : "";
    int exponent = (int)(bits >> 52 & 2047);
    uint64_t mantissa = bits & ((1ull << 52) - 1);
    if (exponent == 2047) {
        const char *name = mantissa ? "nan" : "inf";
        microclaw_begin(out, spec, sign, 3, false);
        for (; *name; name++) {
            microclaw_put(out, (char)(*name - (spec->letter < 'a' ? 'a' - 'A' : 0)));
        }
        microclaw_finish(out, spec, sign, 3);
    } else if (lower(spec->letter) == 'a') {
        put_hexadecimal(out, spec, bits, sign);
    } else {
        struct decimal d;
        microclaw_decimal_set(&d, exponent ? mantissa | 1ull << 52 : mantissa);
        microclaw_decimal_scale(&d, (exponent ? exponent : 1) - 1075);
        put_decimal(out, spec, &d, sign);
    }
}
