/* Serial and what prints. */
#include "serial.h"
#include "numbers.h"
#include <string.h>

#define CHUNK 64

extern "C" __attribute__((import_module("env"), import_name("printf"))) int microclaw_native_printf(const char *format, ...);

HardwareSerial Serial;

/* In pieces, because a text of so many bytes need not end in a zero. */
size_t HardwareSerial::write(const uint8_t *data, size_t size) {
    char chunk[CHUNK];
    for (size_t done = 0; done < size;) {
        size_t length = size - done < CHUNK - 1 ? size - done : CHUNK - 1;
        memcpy(chunk, data + done, length);
        chunk[length] = '\0';
        microclaw_native_printf("%s", chunk);
        done += length;
    }
    return size;
}

size_t HardwareSerial::write(uint8_t c) {
    microclaw_native_printf("%c", c);
    return 1;
}

int HardwareSerial::available() { return 0; }
int HardwareSerial::read() { return -1; }
int HardwareSerial::peek() { return -1; }

size_t Print::write(const uint8_t *data, size_t size) {
    size_t done = 0;
    while (done < size && write(data[done])) {
        done++;
    }
    return done;
}

size_t Print::write(const char *text) { return text ? write((const uint8_t *)text, strlen(text)) : 0; }

size_t Print::print(unsigned long long value, int base) {
    char out[NUMBER_BYTES];
    return write(microclaw_digits(out, value, false, base, 'A'));
}

size_t Print::print(long value, int base) {
    return base == DEC ? print((long long)value, base) : print((unsigned long long)(unsigned long)value, base);
}

size_t Print::print(long long value, int base) {
    char out[NUMBER_BYTES];
    bool negative = value < 0 && base == DEC;
    return write(microclaw_digits(out, negative ? 0ull - (unsigned long long)value : (unsigned long long)value, negative, base, 'A'));
}

size_t Print::print(double value, int digits) {
    char out[NUMBER_BYTES];
    return write(microclaw_decimal(out, value, digits));
}
