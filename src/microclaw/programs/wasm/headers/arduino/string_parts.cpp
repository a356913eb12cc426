/* Arduino's String: looking into a text and changing it. */
#include "string.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void String::setCharAt(unsigned at, char c) {
    if (at < length_) {
        text_[at] = c;
    }
}

char &String::operator[](unsigned at) {
    static char nothing;
    nothing = '\0';
    return at < length_ ? text_[at] : nothing;
}

int String::compareTo(const String &other) const { return strcmp(c_str(), other.c_str()); }
bool String::equals(const String &other) const {
    return length_ == other.length_ && memcmp(c_str(), other.c_str(), length_) == 0;
}
bool String::equals(const char *text) const { return strcmp(c_str(), text ? text : "") == 0; }
bool String::equalsIgnoreCase(const String &other) const { return strcasecmp(c_str(), other.c_str()) == 0; }

bool String::startsWith(const String &start, unsigned from) const {
    return from <= length_ && start.length_ <= length_ - from && memcmp(c_str() + from, start.c_str(), start.length_) == 0;
}

bool String::endsWith(const String &end) const {
    return end.length_ <= length_ && memcmp(c_str() + length_ - end.length_, end.c_str(), end.length_) == 0;
}

int String::indexOf(char c, unsigned from) const {
    const char *found = from < length_ ? (const char *)memchr(text_ + from, c, length_ - from) : nullptr;
    return found ? (int)(found - text_) : -1;
}

int String::indexOf(const String &text, unsigned from) const {
    const char *found = from < length_ ? strstr(text_ + from, text.c_str()) : nullptr;
    return found ? (int)(found - text_) : -1;
}

int String::lastIndexOf(char c, unsigned from) const {
    for (unsigned at = from < length_ ? from + 1 : length_; at > 0; at--) {
        if (text_[at - 1] == c) {
            return (int)(at - 1);
        }
    }
    return -1;
}

int String::lastIndexOf(const String &text, unsigned from) const {
    for (unsigned at = (from < length_ ? from : length_) + 1; text.length_ <= length_ && at > 0; at--) {
        if (startsWith(text, at - 1)) {
            return (int)(at - 1);
        }
    }
    return -1;
}

String String::substring(unsigned begin, unsigned end) const {
    if (begin > end) {
        unsigned swapped = begin;
        begin = end;
        end = swapped;
    }
    end = end > length_ ? length_ : end;
    return begin < end ? String(text_ + begin, end - begin) : String();
}

void String::replace(char find, char with) {
    for (unsigned at = 0; at < length_; at++) {
        if (text_[at] == find) {
            text_[at] = with;
        }
    }
}

void String::replace(const String &find, const String &with) {
    if (!find.length_) {
        return;
    }
    String made;
    unsigned from = 0;
    for (int at; (at = indexOf(find, from)) >= 0; from = (unsigned)at + find.length_) {
        made.concat(text_ + from, (unsigned)at - from);
        made.concat(with);
    }
    if (from) {
        made.concat(c_str() + from, length_ - from);
        *this = static_cast<String &&>(made);
    }
}

void String::remove(unsigned at, unsigned count) {
    if (at >= length_ || !count) {
        return;
    }
    count = count > length_ - at ? length_ - at : count;
    memmove(text_ + at, text_ + at + count, length_ - at - count + 1);
    length_ -= count;
}

void String::trim() {
    unsigned begin = 0, end = length_;
    while (begin < end && isspace((unsigned char)text_[begin])) {
        begin++;
    }
    while (end > begin && isspace((unsigned char)text_[end - 1])) {
        end--;
    }
    remove(end, (unsigned)-1);
    remove(0, begin);
}

void String::toLowerCase() {
    for (unsigned at = 0; at < length_; at++) {
        text_[at] = (char)tolower((unsigned char)text_[at]);
    }
}

void String::toUpperCase() {
    for (unsigned at = 0; at < length_; at++) {
        text_[at] = (char)toupper((unsigned char)text_[at]);
    }
}

long String::toInt() const { return strtol(c_str(), nullptr, 10); }
double String::toDouble() const { return strtod(c_str(), nullptr); }

void String::toCharArray(char *out, unsigned size, unsigned from) const {
    if (!out || !size) {
        return;
    }
    unsigned length = from < length_ ? length_ - from : 0;
    length = length > size - 1 ? size - 1 : length;
    memcpy(out, c_str() + (length ? from : 0), length);
    out[length] = '\0';
}

/* As long for a text that differs at its begin as for one that differs at its end. */
unsigned char String::equalsConstantTime(const String &other) const {
    if (length_ != other.length_) {
        return 0;
    }
    unsigned char differences = 0;
    for (unsigned i = 0; i < length_; i++) {
        differences |= (unsigned char)(text_[i] ^ other.text_[i]);
    }
    return differences == 0;
}
