/* What a value of a JSON document is as a number or a truth. */
#include "json.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>

namespace microclaw_json {
#define TWO_TO_63 9223372036854775808.0
#define TWO_TO_64 18446744073709551616.0

Node boolean_node(bool value) {
    Node node = integer_node(false, value);
    node.kind = Kind::boolean;
    return node;
}

Node integer_node(bool is_negative, unsigned long long bits) {
    Node node;
    node.kind = is_negative ? Kind::negative : Kind::natural;
    node.natural = bits;
    return node;
}

Node real_node(double value) {
    Node node;
    node.kind = Kind::real;
    node.real = value;
    return node;
}

/* As a person would write it: 21.3, not 21.299999237060547. The firmware's snprintf knows no `*`. */
Node real_node(float value) {
    static const char *const FORMATS[] = {"%.6g", "%.7g", "%.8g", "%.9g"};
    char text[NUMBER_LENGTH];
    for (const char *format : FORMATS) {
        snprintf(text, sizeof text, format, (double)value);
        if (strtof(text, nullptr) == value) {
            break;
        }
    }
    return real_node(strtod(text, nullptr));
}

/* With as few digits as bring the number back. JSON has neither infinity nor NaN. */
static void print_real(char (&text)[NUMBER_LENGTH], double value) {
    static const char *const FORMATS[] = {"%.15g", "%.16g", "%.17g"};
    for (const char *format : FORMATS) {
        snprintf(text, sizeof text, isfinite(value) ? format : "null", value);
        if (strtod(text, nullptr) == value) {
            break;
        }
    }
}

void print_number(char (&text)[NUMBER_LENGTH], const Node &number) {
    if (number.kind == Kind::real) {
        print_real(text, number.real);
    } else {
        snprintf(text, sizeof text, number.kind == Kind::negative ? "%lld" : "%llu", number.integer);
    }
}

static bool parse_integer(const char *text, Node &number) {
    bool is_negative = *text == '-';
    unsigned long long most = is_negative ? 1ull << 63 : ~0ull;
    unsigned long long value = 0;
    for (const char *at = text + is_negative; *at; at++) {
        unsigned digit = (unsigned)(*at - '0');
        if (digit > 9 || value > (most - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    number = integer_node(is_negative && value, is_negative ? 0 - value : value);
    return true;
}

/* An integer of more than 64 bits becomes real. */
bool parse_number(const char *text, Node &number) {
    if (!isdigit(text[*text == '-'])) {
        return false;
    }
    if (parse_integer(text, number)) {
        return true;
    }
    char *end;
    number = real_node(strtod(text, &end));
    return !*end;
}

static Node number_of(const Node *node) {
    Node number;
    if (is_number(node)) {
        number = *node;
    } else if (is_kind(node, Kind::boolean)) {
        number = integer_node(false, node->natural);
    } else if (is_kind(node, Kind::text) && !parse_number(node->text->characters(), number)) {
        number = Node();
    }
    return number;
}

bool to_boolean(const Node *node) {
    if (is_kind(node, Kind::real)) {
        return node->real != 0;
    }
    return node && (node->kind > Kind::natural || node->natural);
}

double to_real(const Node *node) {
    Node number = number_of(node);
    switch (number.kind) {
    case Kind::negative:
        return (double)number.integer;
    case Kind::natural:
        return (double)number.natural;
    case Kind::real:
        return number.real;
    default:
        return 0;
    }
}

bool is_integer(const Node *node, long long least, unsigned long long most) {
    if (is_kind(node, Kind::negative)) {
        return node->integer >= least;
    }
    return is_kind(node, Kind::natural) && node->natural <= most;
}

unsigned long long to_integer(const Node *node, long long least, unsigned long long most) {
    Node number = number_of(node);
    if (number.kind == Kind::real) {
        double whole = trunc(number.real);
        if (whole < 0 && whole >= -TWO_TO_63) {
            number = integer_node(true, (unsigned long long)(long long)whole);
        } else if (whole >= 0 && whole < TWO_TO_64) {
            number = integer_node(false, (unsigned long long)whole);
        }
    }
    return is_integer(&number, least, most) ? number.natural : 0;
}
}
