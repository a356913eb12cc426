/* A moment as text. */
#include "serial.h"
#include <time.h>

#define LONGEST 64
#define AS_ASCTIME "%a %b %e %H:%M:%S %Y"

size_t Print::print(const struct tm *time, const char *format) {
    char text[LONGEST];
    return write((const uint8_t *)text, strftime(text, sizeof text, format ? format : AS_ASCTIME, time));
}
