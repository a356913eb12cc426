/* arduino/serial.h: Serial prints to the app's log. Nothing is typed in to a program on a board, so it never reads anything.
 * A class of the program's own may derive from Print and define write, or from Stream. */
#pragma once
#include "refused.h"
#include <struct_tm.h>
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

    size_t print(const struct tm *time, const char *format = nullptr); /* format: of strftime */

    size_t println() { return write((uint8_t)'\n'); }
    size_t println(const String &text) { return print(text) + println(); }
    size_t println(const Printable &what) { return print(what) + println(); }
    template <typename T> size_t println(T value) {
        size_t size = print(value);
        return size + println();
    }
    size_t println(const struct tm *time, const char *format) { return print(time, format) + println(); }
    template <typename T> size_t println(T value, int base) {
        size_t size = print(value, base);
        return size + println();
    }
    virtual void flush() {}
    virtual int availableForWrite() { return 0; }
    size_t printf(const char *format, ...) __attribute__((format(printf, 2, 3)));
    size_t vprintf(const char *format, va_list list);
    int getWriteError() { return write_error_; }
    void clearWriteError() { write_error_ = 0; }

  protected:
    void setWriteError(int error = 1) { write_error_ = error; }

  private:
    int write_error_ = 0;
};

/* What parseInt and parseFloat do with what comes before a number. */
enum LookaheadMode { SKIP_ALL, SKIP_NONE, SKIP_WHITESPACE };

class Stream : public Print {
  public:
    virtual int available() = 0;
    virtual int read() = 0;
    virtual int peek() = 0;

    /* How long the functions below wait for each character: 1000 ms at first. */
    void setTimeout(unsigned long ms) { _timeout = ms; }
    unsigned long getTimeout() const { return _timeout; }
    bool find(const char *wanted);
    bool find(const char *wanted, size_t length);
    bool find(char wanted) { return find(&wanted, 1); }
    bool findUntil(const char *wanted, const char *end);
    bool findUntil(const char *wanted, size_t length, const char *end, size_t end_length);
    long parseInt(LookaheadMode skip = SKIP_ALL, char ignored = '\1');
    float parseFloat(LookaheadMode skip = SKIP_ALL, char ignored = '\1');
    virtual size_t readBytes(char *out, size_t size);
    virtual size_t readBytes(uint8_t *out, size_t size) { return readBytes((char *)out, size); }
    size_t readBytesUntil(char end, char *out, size_t size);
    size_t readBytesUntil(char end, uint8_t *out, size_t size) { return readBytesUntil(end, (char *)out, size); }
    virtual String readString();
    String readStringUntil(char end);

  protected:
    int timedRead(); /* -1 when the time is up */
    int timedPeek();
    int peekNextDigit(LookaheadMode skip, bool decimal);
    unsigned long _timeout = 1000;
};

#define SERIAL_5N1 0x8000010
#define SERIAL_6N1 0x8000014
#define SERIAL_7N1 0x8000018
#define SERIAL_8N1 0x800001c
#define SERIAL_5N2 0x8000030
#define SERIAL_6N2 0x8000034
#define SERIAL_7N2 0x8000038
#define SERIAL_8N2 0x800003c
#define SERIAL_5E1 0x8000012
#define SERIAL_6E1 0x8000016
#define SERIAL_7E1 0x800001a
#define SERIAL_8E1 0x800001e
#define SERIAL_5E2 0x8000032
#define SERIAL_6E2 0x8000036
#define SERIAL_7E2 0x800003a
#define SERIAL_8E2 0x800003e
#define SERIAL_5O1 0x8000013
#define SERIAL_6O1 0x8000017
#define SERIAL_7O1 0x800001b
#define SERIAL_8O1 0x800001f
#define SERIAL_5O2 0x8000033
#define SERIAL_6O2 0x8000037
#define SERIAL_7O2 0x800003b
#define SERIAL_8O2 0x800003f

class HardwareSerial final : public Stream {
  public:
    using Print::write;
    constexpr HardwareSerial() {}
    HardwareSerial(int port) MICROCLAW_REFUSED_(true, "second serial port") {}
    void begin(unsigned long baud, unsigned = 0, int = -1, int = -1, bool = false, unsigned long = 0, uint8_t = 0) { baud_ = baud; }
    void end(bool = true) {}
    void updateBaudRate(unsigned long baud) { baud_ = baud; }
    uint32_t baudRate() const { return baud_; }
    operator bool() const { return true; }
    size_t write(uint8_t c) override;
    size_t write(const uint8_t *data, size_t size) override;
    int available() NEVER_READ_ override;
    int read() NEVER_READ_ override;
    int peek() NEVER_READ_ override;
    size_t read(uint8_t *, size_t) NEVER_READ_ { return 0; }
    size_t read(char *, size_t) NEVER_READ_ { return 0; }
    int availableForWrite() override { return 127; }
    void flush() override {}
    void flush(bool) {}
    bool find(const char *) NEVER_READ_ { return false; }
    bool find(const char *, size_t) NEVER_READ_ { return false; }
    bool find(char) NEVER_READ_ { return false; }
    bool findUntil(const char *, const char *) NEVER_READ_ { return false; }
    size_t readBytes(char *, size_t) NEVER_READ_ override { return 0; }
    size_t readBytes(uint8_t *, size_t) NEVER_READ_ override { return 0; }
    size_t readBytesUntil(char, char *, size_t) NEVER_READ_ { return 0; }
    size_t readBytesUntil(char, uint8_t *, size_t) NEVER_READ_ { return 0; }
    String readString() NEVER_READ_ override { return String(); }
    String readStringUntil(char) NEVER_READ_ { return String(); }
    long parseInt(LookaheadMode = SKIP_ALL, char = '\1') NEVER_READ_ { return 0; }
    float parseFloat(LookaheadMode = SKIP_ALL, char = '\1') NEVER_READ_ { return 0; }
    void setDebugOutput(bool) {}
    size_t setRxBufferSize(size_t size) { return size; }
    size_t setTxBufferSize(size_t size) { return size; }
    size_t printf(const char *format, ...) __attribute__((format(printf, 2, 3))) {
        va_list list;
        va_start(list, format);
        int size = MICROCLAW_VPRINTF_(format, list);
        va_end(list);
        return size < 0 ? 0 : (size_t)size;
    }

  private:
    uint32_t baud_ = 0;
};
extern HardwareSerial Serial;
#undef NEVER_READ_
#pragma pop_macro("__asm__")
