/* Characters, in the C locale: those that the firmware has not. */
#include "libc.h"

WEAK int islower(int c) { return c >= 'a' && c <= 'z'; }

WEAK int isblank(int c) { return c == ' ' || c == '\t'; }

WEAK int iscntrl(int c) { return (c >= 0 && c < ' ') || c == 127; }

WEAK int ispunct(int c) {
    bool alphanumeric = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
    return c > ' ' && c < 127 && !alphanumeric;
}

WEAK int isascii(int c) { return c >= 0 && c < 128; }

WEAK int toascii(int c) { return c & 127; }
