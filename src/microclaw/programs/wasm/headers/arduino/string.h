/* arduino/string.h: Arduino's String: text on the heap that grows. When the heap is full the program says so and ends. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#define DEC 10
#define HEX 16
#define OCT 8
#define BIN 2

class String {
  public:
    String(const char *text = "");
    String(const char *text, unsigned length);
    String(const uint8_t *text, unsigned length) : String((const char *)text, length) {}
    String(const String &other);
    String(String &&other);
    explicit String(char c);
    explicit String(unsigned char value, unsigned char base = DEC);
    explicit String(int value, unsigned char base = DEC);
    explicit String(unsigned value, unsigned char base = DEC);
    explicit String(long value, unsigned char base = DEC);
    explicit String(unsigned long value, unsigned char base = DEC);
    explicit String(long long value, unsigned char base = DEC);
    explicit String(unsigned long long value, unsigned char base = DEC);
    explicit String(float value, unsigned char digits = 2);
    explicit String(double value, unsigned char digits = 2);
    ~String();
    String &operator=(const String &other);
    String &operator=(String &&other);
    String &operator=(const char *text);

    explicit operator bool() const { return true; } /* a String is never invalid: without memory the program ends */
    unsigned length() const { return length_; }
    bool isEmpty() const { return length_ == 0; }
    const char *c_str() const { return text_ ? text_ : ""; }
    bool reserve(unsigned size);
    void clear();

    bool concat(const String &other);
    bool concat(const char *text);
    bool concat(const char *text, unsigned length);
    bool concat(const uint8_t *text, unsigned length) { return concat((const char *)text, length); }
    bool concat(char c);
    template <typename T> bool concat(T value) { return concat(String(value)); }
    String &operator+=(const String &other) {
        concat(other);
        return *this;
    }
    template <typename T> String &operator+=(T value) {
        concat(value);
        return *this;
    }

    char charAt(unsigned at) const { return at < length_ ? text_[at] : '\0'; }
    void setCharAt(unsigned at, char c);
    char operator[](unsigned at) const { return charAt(at); }
    char &operator[](unsigned at);
    char *begin() { return text_; }
    char *end() { return text_ + length_; }
    const char *begin() const { return c_str(); }
    const char *end() const { return c_str() + length_; }

    int compareTo(const String &other) const;
    bool equals(const String &other) const;
    bool equals(const char *text) const;
    bool equalsIgnoreCase(const String &other) const;
    unsigned char equalsConstantTime(const String &other) const;
    bool startsWith(const String &start) const { return startsWith(start, 0); }
    bool startsWith(const String &start, unsigned from) const;
    bool endsWith(const String &end) const;
    int indexOf(char c, unsigned from = 0) const;
    int indexOf(const String &text, unsigned from = 0) const;
    int lastIndexOf(char c) const { return lastIndexOf(c, length_ - 1); }
    int lastIndexOf(char c, unsigned from) const;
    int lastIndexOf(const String &text) const { return lastIndexOf(text, length_); }
    int lastIndexOf(const String &text, unsigned from) const;
    String substring(unsigned begin) const { return substring(begin, length_); }
    String substring(unsigned begin, unsigned end) const;
    void replace(char find, char with);
    void replace(const String &find, const String &with);
    void remove(unsigned at) { remove(at, (unsigned)-1); }
    void remove(unsigned at, unsigned count);
    void trim();
    void toLowerCase();
    void toUpperCase();
    long toInt() const;
    float toFloat() const { return (float)toDouble(); }
    double toDouble() const;
    void toCharArray(char *out, unsigned size, unsigned from = 0) const;
    void getBytes(unsigned char *out, unsigned size, unsigned from = 0) const { toCharArray((char *)out, size, from); }

  private:
    void room(unsigned size);
    char *text_ = nullptr;
    unsigned length_ = 0, capacity_ = 0;
};

inline bool operator==(const String &a, const String &b) { return a.equals(b); }
inline bool operator==(const String &a, const char *b) { return a.equals(b); }
inline bool operator==(const char *a, const String &b) { return b.equals(a); }
inline bool operator!=(const String &a, const String &b) { return !a.equals(b); }
inline bool operator!=(const String &a, const char *b) { return !a.equals(b); }
inline bool operator!=(const char *a, const String &b) { return !b.equals(a); }
inline bool operator<(const String &a, const String &b) { return a.compareTo(b) < 0; }
inline bool operator>(const String &a, const String &b) { return a.compareTo(b) > 0; }
inline bool operator<=(const String &a, const String &b) { return a.compareTo(b) <= 0; }
inline bool operator>=(const String &a, const String &b) { return a.compareTo(b) >= 0; }

inline String operator+(const String &a, const String &b) {
    String sum(a);
    sum.concat(b);
    return sum;
}
inline String operator+(String &&a, const String &b) {
    a.concat(b);
    return static_cast<String &&>(a);
}
template <typename T> inline String operator+(const String &a, T b) {
    String sum(a);
    sum.concat(b);
    return sum;
}
template <typename T> inline String operator+(String &&a, T b) {
    a.concat(b);
    return static_cast<String &&>(a);
}
inline String operator+(const char *a, const String &b) {
    String sum(a);
    sum.concat(b);
    return sum;
}
/* A number, a sign or a plain text before a String: what a String can be made of, and as it is made of it. */
template <typename T> inline auto operator+(T a, const String &b) -> decltype(String(a)) {
    String sum(a);
    sum.concat(b);
    return sum;
}
typedef String StringSumHelper;
#define emptyString String()
