/* arduino/characters.h: kinds of characters, and numbers as text. */
#pragma once
#include <ctype.h>
inline bool isAlphaNumeric(int c) { return isalnum(c); }
inline bool isAlpha(int c) { return isalpha(c); }
inline bool isAscii(int c) { return isascii(c); }
inline bool isWhitespace(int c) { return isblank(c); }
inline bool isControl(int c) { return iscntrl(c); }
inline bool isDigit(int c) { return isdigit(c); }
inline bool isGraph(int c) { return isgraph(c); }
inline bool isLowerCase(int c) { return islower(c); }
inline bool isPrintable(int c) { return isprint(c); }
inline bool isPunct(int c) { return ispunct(c); }
inline bool isSpace(int c) { return isspace(c); }
inline bool isUpperCase(int c) { return isupper(c); }
inline bool isHexadecimalDigit(int c) { return isxdigit(c); }
inline int toAscii(int c) { return toascii(c); }
inline int toLowerCase(int c) { return tolower(c); }
inline int toUpperCase(int c) { return toupper(c); }
char *dtostrf(double value, signed char width, unsigned char digits, char *out);
char *ultoa(unsigned long value, char *out, int base);
char *lltoa(long long value, char *out, int base);
char *ulltoa(unsigned long long value, char *out, int base);
