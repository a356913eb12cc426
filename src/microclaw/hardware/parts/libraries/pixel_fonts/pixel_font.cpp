/* Glyphs have different sizes, so the way to one leads over all before it. */
#include "pixel_font.h"
#include <stddef.h>

#define LAST_ASCII 0x7e

const uint8_t *microclaw_glyph(const MicroclawFont *font, unsigned character) {
    unsigned place = character - ' ';
    if (character == MICROCLAW_DEGREE) {
        place = LAST_ASCII - ' ' + 1;
    } else if (character < ' ' || character > LAST_ASCII) {
        return NULL;
    }
    const uint8_t *glyph = font->glyphs;
    while (place--) {
        glyph += 1 + (glyph[0] * font->rows + 7) / 8;
    }
    return glyph;
}
