/* A number as text, to the right of a field; a negative width: to the left. */
#include <Arduino.h>
#include "numbers.h"

char *dtostrf(double value, signed char width, unsigned char digits, char *out) {
    char text[NUMBER_BYTES];
    int length = (int)strlen(microclaw_decimal(text, value, digits));
    int blanks = (width < 0 ? -width : width) - length;
    blanks = blanks < 0 ? 0 : blanks;
    memset(out, ' ', (size_t)(blanks + length));
    memcpy(out + (width < 0 ? 0 : blanks), text, (size_t)length);
    out[blanks + length] = '\0';
    return out;
}
