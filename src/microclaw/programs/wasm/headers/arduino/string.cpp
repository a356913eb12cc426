/* Arduino's String: what every text needs. */
#include "string.h"
#include "numbers.h"
#include <stdlib.h>
#include <string.h>

extern "C" __attribute__((noreturn)) void microclaw_no_memory(unsigned long size);

void String::room(unsigned size) {
    if (text_ && capacity_ >= size) {
        return;
    }
    unsigned wanted = size < 15 ? 15 : size + size / 4;
    char *grown = (char *)realloc(text_, wanted + 1);
    if (!grown) {
        grown = (char *)realloc(text_, (wanted = size) + 1);
    }
    if (!grown) {
        microclaw_no_memory(size + 1ul);
    }
    if (!text_) {
        grown[0] = '\0';
    }
    text_ = grown;
    capacity_ = wanted;
}

bool String::reserve(unsigned size) {
    room(size);
    return true;
}

bool String::concat(const char *text, unsigned length) {
    if (!text || !length) {
        return true;
    }
    bool own = text >= text_ && text < text_ + length_; /* s += s */
    unsigned offset = own ? (unsigned)(text - text_) : 0;
    room(length_ + length);
    memmove(text_ + length_, own ? text_ + offset : text, length);
    length_ += length;
    text_[length_] = '\0';
    return true;
}

bool String::concat(const char *text) { return !text || concat(text, (unsigned)strlen(text)); }
bool String::concat(const String &other) { return concat(other.text_, other.length_); }
bool String::concat(char c) { return concat(&c, 1); }

void String::clear() {
    length_ = 0;
    if (text_) {
        text_[0] = '\0';
    }
}

String::String(const char *text) { concat(text); }
String::String(const char *text, unsigned length) { concat(text, length); }
String::String(const String &other) { concat(other); }
String::String(String &&other) : text_(other.text_), length_(other.length_), capacity_(other.capacity_) {
    other.text_ = nullptr;
    other.length_ = other.capacity_ = 0;
}
String::String(char c) { concat(c); }
String::String(unsigned char value, unsigned char base) : String((unsigned long long)value, base) {}
String::String(int value, unsigned char base) : String((long)value, base) {}
String::String(unsigned value, unsigned char base) : String((unsigned long long)value, base) {}
String::String(unsigned long value, unsigned char base) : String((unsigned long long)value, base) {}
String::String(long value, unsigned char base) {
    char out[NUMBER_BYTES];
    bool negative = value < 0 && base == DEC;
    concat(microclaw_digits(out, negative ? 0ul - (unsigned long)value : (unsigned long)value, negative, base, 'a'));
}
String::String(long long value, unsigned char base) {
    char out[NUMBER_BYTES];
    bool negative = value < 0 && base == DEC;
    concat(microclaw_digits(out, negative ? 0ull - (unsigned long long)value : (unsigned long long)value, negative, base, 'a'));
}
String::String(unsigned long long value, unsigned char base) {
    char out[NUMBER_BYTES];
    concat(microclaw_digits(out, value, false, base, 'a'));
}
String::String(float value, unsigned char digits) : String((double)value, digits) {}
String::String(double value, unsigned char digits) {
    char out[NUMBER_BYTES];
    concat(microclaw_decimal(out, value, digits));
}
String::~String() { free(text_); }

String &String::operator=(const String &other) {
    if (this != &other) {
        clear();
        concat(other);
    }
    return *this;
}

String &String::operator=(String &&other) {
    if (this != &other) {
        free(text_);
        text_ = other.text_;
        length_ = other.length_;
        capacity_ = other.capacity_;
        other.text_ = nullptr;
        other.length_ = other.capacity_ = 0;
    }
    return *this;
}

String &String::operator=(const char *text) {
    String made(text); /* the text may be a part of this one */
    return *this = static_cast<String &&>(made);
}
