/* What a Stream reads with a time-out. */
#include <Arduino.h>

int Stream::timedRead() {
    unsigned began = millis();
    do {
        int c = read();
        if (c >= 0) {
            return c;
        }
        delay(1);
    } while (millis() - began < _timeout);
    return -1;
}

int Stream::timedPeek() {
    unsigned began = millis();
    do {
        int c = peek();
        if (c >= 0) {
            return c;
        }
        delay(1);
    } while (millis() - began < _timeout);
    return -1;
}

bool Stream::find(const char *wanted) { return find(wanted, strlen(wanted)); }
bool Stream::find(const char *wanted, size_t length) { return findUntil(wanted, length, nullptr, 0); }
bool Stream::findUntil(const char *wanted, const char *end) { return findUntil(wanted, strlen(wanted), end, strlen(end)); }

/* How many characters of the text have been met when `c` comes behind `met` of them. */
static size_t met_with(const char *text, size_t length, size_t met, char c) {
    for (size_t count = met + 1; length && count; count--) {
        bool is_begin = text[count - 1] == c && !memcmp(text, text + met - (count - 1), count - 1);
        if (is_begin) {
            return count;
        }
    }
    return 0;
}

bool Stream::findUntil(const char *wanted, size_t length, const char *end, size_t end_length) {
    size_t met = 0, end_met = 0;
    while (met < length) {
        int c = timedRead();
        if (c < 0) {
            return false;
        }
        met = met_with(wanted, length, met, (char)c);
        end_met = met_with(end, end_length, end_met, (char)c);
        if (end_length && end_met == end_length && met < length) {
            return false;
        }
    }
    return true;
}

int Stream::peekNextDigit(LookaheadMode skip, bool decimal) {
    for (;;) {
        int c = timedPeek();
        bool begins = c < 0 || c == '-' || isdigit(c) || (decimal && c == '.');
        bool is_skipped = skip == SKIP_ALL || (skip == SKIP_WHITESPACE && isspace(c));
        if (begins) {
            return c;
        }
        if (!is_skipped) {
            return -1;
        }
        read();
    }
}

long Stream::parseInt(LookaheadMode skip, char ignored) {
    int c = peekNextDigit(skip, false);
    bool negative = false;
    long value = 0;
    if (c < 0) {
        return 0;
    }
    do {
        if (c == '-') {
            negative = true;
        } else if (c != ignored) {
            value = value * 10 + c - '0';
        }
        read();
        c = timedPeek();
    } while (c >= 0 && (isdigit(c) || c == ignored));
    return negative ? -value : value;
}

float Stream::parseFloat(LookaheadMode skip, char ignored) {
    int c = peekNextDigit(skip, true);
    bool negative = false, is_behind_point = false;
    double value = 0, unit = 1;
    if (c < 0) {
        return 0;
    }
    do {
        if (c == '-') {
            negative = true;
        } else if (c == '.') {
            is_behind_point = true;
        } else if (c != ignored) {
            value = value * 10 + c - '0';
            unit = is_behind_point ? unit * 10 : unit;
        }
        read();
        c = timedPeek();
    } while (c >= 0 && (isdigit(c) || (c == '.' && !is_behind_point) || c == ignored));
    return (float)((negative ? -value : value) / unit);
}

size_t Stream::readBytes(char *out, size_t size) {
    size_t done = 0;
    for (int c; done < size && (c = timedRead()) >= 0; done++) {
        out[done] = (char)c;
    }
    return done;
}

size_t Stream::readBytesUntil(char end, char *out, size_t size) {
    size_t done = 0;
    for (int c; done < size && (c = timedRead()) >= 0 && c != (unsigned char)end; done++) {
        out[done] = (char)c;
    }
    return done;
}

String Stream::readString() {
    String text;
    for (int c; (c = timedRead()) >= 0;) {
        text += (char)c;
    }
    return text;
}

String Stream::readStringUntil(char end) {
    String text;
    for (int c; (c = timedRead()) >= 0 && c != (unsigned char)end;) {
        text += (char)c;
    }
    return text;
}
