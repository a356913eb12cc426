/* printf of a Print that is not Serial: Serial has its own, which knows the firmware's. */
#include "serial.h"
#include "string.h"
#include <stdarg.h>

extern "C" int microclaw_vsnprintf(char *out, size_t size, const char *format, va_list list);

size_t Print::vprintf(const char *format, va_list list) {
    va_list again;
    va_copy(again, list);
    int size = microclaw_vsnprintf(nullptr, 0, format, list);
    size_t written = 0;
    if (size > 0) {
        char *text = new char[(size_t)size + 1];
        microclaw_vsnprintf(text, (size_t)size + 1, format, again);
        written = write((const uint8_t *)text, (size_t)size);
        delete[] text;
    }
    va_end(again);
    return written;
}

size_t Print::printf(const char *format, ...) {
    va_list list;
    va_start(list, format);
    size_t written = vprintf(format, list);
    va_end(list);
    return written;
}
