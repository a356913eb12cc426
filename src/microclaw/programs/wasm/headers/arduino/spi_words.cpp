/* SPI: words of 32 bits, pixels and patterns. */
#include <SPI.h>

#define CHUNK 64

uint32_t SPIClass::transfer32(uint32_t value) {
    bool low_first = settings_.order_ == LSBFIRST;
    uint16_t first = transfer16((uint16_t)(low_first ? value : value >> 16));
    uint16_t second = transfer16((uint16_t)(low_first ? value >> 16 : value));
    return low_first ? (uint32_t)second << 16 | first : (uint32_t)first << 16 | second;
}

void SPIClass::writePixels(const void *pixels, uint32_t size) {
    const uint8_t *bytes = (const uint8_t *)pixels;
    uint8_t swapped[CHUNK];
    for (uint32_t done = 0; done + 1 < size;) {
        uint32_t count = 0;
        for (; count < CHUNK && done + 1 < size; count += 2, done += 2) {
            swapped[count] = bytes[done + 1];
            swapped[count + 1] = bytes[done];
        }
        writeBytes(swapped, count);
    }
}

void SPIClass::writePattern(const uint8_t *data, uint8_t size, uint32_t repeat) {
    for (uint32_t i = 0; i < repeat; i++) {
        writeBytes(data, size);
    }
}
