/* pixel_font.h: our own fonts for the libraries of displays. Their tables are made of hardware/screens/font_*.toml. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
/* Of ' ' to '~' and the degree sign: the width of the glyph in a byte, then its rows from the top, bit by bit. `ascent` rows
 * stand above the base line, `gap` columns follow each glyph. */
struct MicroclawFont {
    uint8_t rows, ascent, line, gap;
    const uint8_t *glyphs;
};
#define MICROCLAW_DEGREE 0xb0
extern const MicroclawFont microclaw_font_5x7, microclaw_font_6x10, microclaw_font_10x20, microclaw_font_bold_8;
/* NULL for a character that our fonts do not have. */
const uint8_t *microclaw_glyph(const MicroclawFont *font, unsigned character);
static inline bool microclaw_glyph_pixel(const uint8_t *glyph, int x, int y) {
    int bit = y * glyph[0] + x;
    return glyph[1 + bit / 8] >> (7 - bit % 8) & 1;
}
