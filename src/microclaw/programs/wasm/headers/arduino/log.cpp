/* Bytes as lines of the log. */
#include <Arduino.h>

#define A_LINE 16

void log_print_buf(const uint8_t *bytes, size_t size) {
    for (size_t begin = 0; begin < size; begin += A_LINE) {
        size_t count = size - begin < A_LINE ? size - begin : A_LINE;
        char digits[3 * A_LINE + 1], text[A_LINE + 1];
        for (size_t i = 0; i < count; i++) {
            uint8_t value = bytes[begin + i];
            snprintf(digits + 3 * i, 4, "%02x ", value);
            text[i] = isprint(value) ? (char)value : '.';
        }
        text[count] = '\0';
        printf("0x%04x: %-48s %s\n", (unsigned)begin, digits, text);
    }
}
