/* StreamString.h: a String that is written and read as a Stream. */
#pragma once
#include <Arduino.h>
class StreamString : public Stream, public String {
  public:
    using Print::write;
    size_t write(uint8_t c) override { return concat((char)c) ? 1 : 0; }
    size_t write(const uint8_t *data, size_t size) override { return concat(data, (unsigned)size) ? size : 0; }
    int available() override { return (int)length(); }
    int read() override {
        int c = peek();
        if (c >= 0) {
            remove(0, 1);
        }
        return c;
    }
    int peek() override { return length() ? (unsigned char)charAt(0) : -1; }
};
