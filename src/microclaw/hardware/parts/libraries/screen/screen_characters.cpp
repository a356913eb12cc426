#include <screen_characters.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 0xff, LCD_DEGREE = 0xdf, DOT = 0x80, DASH = 0x40 };

static int smaller(int first, int second) { return first < second ? first : second; }

ScreenCharacters::ScreenCharacters(int columns, int rows)
    : ScreenLayout(smaller(columns, SCREEN_COLUMNS), smaller(rows, ROWS), 1, 1, 1) {
    begin();
    memcpy(shown_, rows_, sizeof shown_);
}

void ScreenCharacters::begin() {
    for (int row = 0; row < height_; row++) {
        memset(rows_[row], ' ', (size_t)width_);
        rows_[row][width_] = 0;
    }
}

void ScreenCharacters::put(const char *text, int x, int y, int) {
    for (int i = 0; text[i] && x + i < width_; i++) {
        rows_[y][x + i] = (uint8_t)text[i] == SCREEN_DEGREE ? (char)LCD_DEGREE : text[i];
    }
}

void ScreenCharacters::end() {
    for (int row = 0; row < height_; row++) {
        if (strcmp(rows_[row], shown_[row]) != 0) {
            strcpy(shown_[row], rows_[row]);
            write_row(row, rows_[row]);
        }
    }
}

/* Two rows below each other; a display of one row shows the second. */
void ScreenCharacters::show(const char *first, const char *second) {
    char line[SCREEN_COLUMNS + 1];
    begin();
    int y = (height_ - 1) / 2;
    if (*first && height_ > 1) {
        microclaw_label(first, width_, line);
        y = (height_ - 2) / 2;
        put_centred(line, y++, 1);
    }
    put_centred(second, y, 1);
    end();
}

void ScreenCharacters::show_value(const char *label, const char *value, const char *picture) {
    char line[SCREEN_COLUMNS + 1];
    microclaw_join(label, value, width_, line);
    if (height_ > 1) {
        show(line, picture);
    } else {
        show("", line);
    }
}

void ScreenCharacters::number(const char *value, const char *unit, const char *label) {
    char line[SCREEN_COLUMNS + 1];
    microclaw_join(value, unit, width_, line);
    show(label, line);
}

void ScreenCharacters::bar(int percent, const char *label) {
    char value[SCREEN_NUMBER], blocks[SCREEN_COLUMNS + 1];
    int count = width_ * percent / 100;
    snprintf(value, sizeof value, "%d %%", percent);
    memset(blocks, BLOCK, (size_t)count);
    memset(blocks + count, ' ', (size_t)(width_ - count));
    blocks[width_] = 0;
    show_value(label, value, blocks);
}

/* Character 0 would end a text, so the levels are 8 and 1 to 7: the display has the same ones at 0 to 7 and 8 to 15. */
static char level_code(int level) { return (char)(level ? level : 8); }

void ScreenCharacters::graph(const float *values, int count, const char *value, const char *unit, const char *label) {
    char line[SCREEN_COLUMNS + 1], curve[SCREEN_COLUMNS + 1] = "";
    for (int level = 0; !has_levels_ && level < LEVELS; level++) {
        uint8_t rows[LEVELS] = {};
        memset(rows + LEVELS - 1 - level, 0x1f, (size_t)level + 1);
        define(level, rows);
    }
    has_levels_ = true;
    float least = 0, most = 0;
    for (int i = 0; i < count; i++) {
        least = i == 0 || values[i] < least ? values[i] : least;
        most = i == 0 || values[i] > most ? values[i] : most;
    }
    for (int column = 0; count > 0 && column < width_; column++) {
        float above = values[column * count / width_] - least;
        curve[column] = level_code(most > least ? (int)(above * (LEVELS - 1) / (most - least)) : 0);
        curve[column + 1] = 0;
    }
    microclaw_join(value, unit, width_, line);
    show_value(label, line, curve);
}

static const char characters[] = "0123456789abcdefghijlnoprstuz-_= \xb0";
static const uint8_t segments[] = {0x3f, 0x06, 0x5b, 0x4f, 0x66, 0x6d, 0x7d, 0x07, 0x7f, 0x6f, 0x77, 0x7c,
                                   0x39, 0x5e, 0x79, 0x71, 0x3d, 0x76, 0x06, 0x1e, 0x38, 0x54, 0x5c, 0x73,
                                   0x50, 0x6d, 0x78, 0x3e, 0x5b, 0x40, 0x08, 0x48, 0x00, 0x63};

/* Writes the segments of a text, at most SCREEN_TEXT; a character without a shape is left out. */
int ScreenDigits::encode(const char *text, uint8_t *codes) const {
    int count = 0;
    for (; *text; text++) {
        char small = *text >= 'A' && *text <= 'Z' ? (char)(*text + 'a' - 'A') : *text;
        const char *place = strchr(characters, small == '\n' ? ' ' : small);
        if (place) {
            codes[count++] = segments[place - characters];
        } else if (count && (small == ':' || (small == '.' && has_points_))) {
            codes[count - 1] |= DOT;
        }
    }
    return count;
}

/* Copies a text with each number rounded whose point has no place, and without one that is no plain number. */
static void round_numbers(const char *text, int width, bool has_points, char *out) {
    while (*text) {
        int length = (int)strcspn(text, " \n");
        const char *point = (const char *)memchr(text, '.', (size_t)length);
        bool is_whole = !point || !microclaw_has_digit(text, length) || (has_points && length - 1 <= width);
        char *end;
        double value = is_whole ? 0 : strtod(text, &end);
        if (is_whole) {
            memcpy(out, text, (size_t)length);
            out += length;
        } else if (end == text + length) {
            out += sprintf(out, "%ld", (long)(value < 0 ? value - 0.5 : value + 0.5));
        }
        text += length;
        if (*text) {
            *out++ = *text++;
        }
    }
    *out = 0;
}

void ScreenDigits::text(const char *text) {
    char rounded[SCREEN_TEXT + SCREEN_NUMBER];
    uint8_t codes[SCREEN_TEXT];
    round_numbers(text, width_, has_points_, rounded);
    int count = encode(rounded, codes);
    if (count > width_) {
        count = width_;
        if (microclaw_has_digit(rounded, (int)strlen(rounded))) {
            memset(codes, DASH, (size_t)count);
        }
    }
    show(codes, count, width_ - count);
}

void ScreenDigits::scroll(const char *text) {
    char rounded[SCREEN_TEXT + SCREEN_NUMBER];
    round_numbers(text, width_, has_points_, rounded);
    rounded[SCREEN_TEXT - 1] = 0;
    if ((int)strlen(rounded) <= width_) {
        this->text(rounded);
    } else {
        ScreenLayout::scroll(rounded);
    }
}

void ScreenDigits::bar(int percent, const char *) {
    char value[SCREEN_NUMBER];
    snprintf(value, sizeof value, "%d", percent);
    text(value);
}

void ScreenDigits::graph(const float *, int, const char *value, const char *, const char *) { text(value); }

void ScreenDigits::begin() { memset(line_, 0, sizeof line_); }

void ScreenDigits::put(const char *text, int, int, int) {
    uint8_t codes[SCREEN_TEXT];
    int count = encode(text, codes);
    memcpy(line_, codes, (size_t)smaller(count, width_));
}

void ScreenDigits::end() { show(line_, width_, 0); }

void ScreenDigits::show(const uint8_t *codes, int count, int place) {
    uint8_t line[MOST] = {};
    memcpy(line + place, codes, (size_t)count);
    if (memcmp(line, shown_, sizeof line) != 0) {
        memcpy(shown_, line, sizeof line);
        send(shown_, width_);
    }
}
