/* arduino/serial.h: Serial prints to the app's log. Nothing is typed in to a program on a board, so it never reads anything.
 * A class of the program's own may derive from Print and define write. */
#pragma once
#include "string.h"
#include <stdio.h>
#pragma push_macro("__asm__")
#undef __asm__
#define NEVER_READ_ \
    __attribute__((diagnose_if(true, "Serial never has anything to read here: nothing is typed in to a program on a board", "warning")))

/* The firmware's own vprintf where every format of the program is plain (plain_format.h). */
#ifdef MICROCLAW_CHOOSE_printf
extern "C" int microclaw_vprintf(const char *format, va_list list);
#define MICROCLAW_VPRINTF_ microclaw_vprintf
#else
extern "C" int microclaw_native_vprintf(const char *format, va_list list) __asm__("vprintf");
#define MICROCLAW_VPRINTF_ microclaw_native_vprintf
#endif

class Print;
class Printable {
  public:
    virtual size_t printTo(Print &out) const = 0;
};

class Print {
  public:
    virtual size_t write(uint8_t c) = 0;
    virtual size_t write(const uint8_t *data, size_t size);
    size_t write(const char *text);
    size_t write(const char *data, size_t size) { return write((const uint8_t *)data, size); }
    size_t write(int c) { return write((uint8_t)c); }

    size_t print(const char *text) { return write(text); }
    size_t print(const String &text) { return write(text.c_str(), text.length()); }
    size_t print(char c) { return write((uint8_t)c); }
    size_t print(unsigned char value, int base = DEC) { return print((unsigned long long)value, base); }
    size_t print(int value, int base = DEC) { return print((long)value, base); }
    size_t print(unsigned value, int base = DEC) { return print((unsigned long long)value, base); }
    size_t print(long value, int base = DEC);
    size_t print(unsigned long value, int base = DEC) { return print((unsigned long long)value, base); }
    size_t print(long long value, int base = DEC);
    size_t print(unsigned long long value, int base = DEC);
    size_t print(double value, int digits = 2);
    size_t print(const Printable &what) { return what.printTo(*this); }

    size_t println() { return write((uint8_t)'\n'); }
    size_t println(const String &text) { return print(text) + println(); }
    size_t println(const Printable &what) { return print(what) + println(); }
    template <typename T> size_t println(T value) {
        size_t size = print(value);
        return size + println();
    }
    template <typename T> size_t println(T value, int base) {
        size_t size = print(value, base);
        return size + println();
    }
    virtual void flush() {}
    size_t printf(const char *format, ...) __attribute__((format(printf, 2, 3)));
};

class Stream : public Print {
  public:
    virtual int available() = 0;
    virtual int read() = 0;
    virtual int peek() = 0;
    void setTimeout(unsigned long) {}
};

class HardwareSerial final : public Stream {
  public:
    using Print::write;
    void begin(unsigned long, unsigned = 0, int = -1, int = -1) {}
    void end() {}
    operator bool() const { return true; }
    size_t write(uint8_t c) override;
    size_t write(const uint8_t *data, size_t size) override;
    int available() NEVER_READ_ override;
    int read() NEVER_READ_ override;
    int peek() NEVER_READ_ override;
    int availableForWrite() { return 127; }
    size_t readBytes(char *, size_t) NEVER_READ_ { return 0; }
    String readString() NEVER_READ_ { return String(); }
    String readStringUntil(char) NEVER_READ_ { return String(); }
    long parseInt() NEVER_READ_ { return 0; }
    float parseFloat() NEVER_READ_ { return 0; }
    void setDebugOutput(bool) {}
    size_t printf(const char *format, ...) __attribute__((format(printf, 2, 3))) {
        va_list list;
        va_start(list, format);
        int size = MICROCLAW_VPRINTF_(format, list);
        va_end(list);
        return size < 0 ? 0 : (size_t)size;
    }
};
extern HardwareSerial Serial;
#undef NEVER_READ_
#pragma pop_macro("__asm__")
