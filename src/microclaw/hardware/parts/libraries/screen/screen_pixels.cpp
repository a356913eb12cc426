#include <pixel_font.h>
#include <screen_pixels.h>
#include <stdio.h>
#include <string.h>

enum { ICON_EDGE = 8 };

struct Icon {
    const char *name;
    uint8_t rows[ICON_EDGE];
};

static const Icon icons[] = {
    {"sun", {0x99, 0x5a, 0x3c, 0xff, 0xff, 0x3c, 0x5a, 0x99}},         {"cloud", {0x00, 0x18, 0x3c, 0x7e, 0xff, 0xff, 0x7e, 0x00}},
    {"rain", {0x18, 0x7e, 0xff, 0xff, 0x00, 0x52, 0x12, 0x48}},        {"snow", {0x18, 0x5a, 0x24, 0xdb, 0xdb, 0x24, 0x5a, 0x18}},
    {"drop", {0x10, 0x10, 0x38, 0x38, 0x7c, 0x7c, 0x7c, 0x38}},        {"thermometer", {0x18, 0x14, 0x14, 0x14, 0x1c, 0x3e, 0x3e, 0x1c}},
    {"lamp", {0x3c, 0x7e, 0x7e, 0x7e, 0x3c, 0x18, 0x3c, 0x18}},        {"bell", {0x18, 0x3c, 0x3c, 0x3c, 0x7e, 0xff, 0x00, 0x18}},
    {"heart", {0x66, 0xff, 0xff, 0xff, 0x7e, 0x3c, 0x18, 0x00}},       {"check", {0x00, 0x01, 0x03, 0x86, 0xcc, 0x78, 0x30, 0x00}},
    {"cross", {0x00, 0x42, 0x66, 0x3c, 0x18, 0x3c, 0x66, 0x42}},       {"up", {0x10, 0x38, 0x7c, 0xfe, 0x38, 0x38, 0x38, 0x38}},
    {"down", {0x38, 0x38, 0x38, 0x38, 0xfe, 0x7c, 0x38, 0x10}},
};

static int larger(int first, int second) { return first > second ? first : second; }
static int smaller(int first, int second) { return first < second ? first : second; }

void ScreenPixels::put(const char *text, int x, int y, int size) {
    const MicroclawFont *font = &microclaw_font_5x7;
    for (; *text; text++) {
        const uint8_t *glyph = microclaw_glyph(font, (uint8_t)*text);
        for (int row = 0; glyph && row < font->rows; row++) {
            for (int column = 0; column < glyph[0]; column++) {
                if (microclaw_glyph_pixel(glyph, column, row)) {
                    fill(x + column * size, y + row * size, size, size);
                }
            }
        }
        x += CELL_WIDTH * size;
    }
}

/* Writes the label into the first line if there is another one, and returns the place below it. */
int ScreenPixels::put_label(const char *label) {
    char line[SCREEN_COLUMNS + 1];
    if (!*label || height_ < 2 * CELL_HEIGHT) {
        return 0;
    }
    microclaw_label(label, columns(1), line);
    put_centred(line, 0, 1);
    return CELL_HEIGHT;
}

void ScreenPixels::number(const char *value, const char *unit, const char *label) {
    begin();
    put_number(value, unit, put_label(label), height_);
    end();
}

void ScreenPixels::put_number(const char *text, const char *unit, int top, int bottom) {
    char line[SCREEN_COLUMNS + 1];
    for (int size = sizes_; size > 0; size--) {
        if (put_number_at(text, unit, top, bottom, size)) {
            return;
        }
    }
    microclaw_join(text, "", columns(1), line);
    put_centred(line, top, 1);
}

/* The unit stands beside the number or below it; false if both have no room in this size. */
bool ScreenPixels::put_number_at(const char *text, const char *unit, int top, int bottom, int size) {
    int unit_size = larger(1, size / 2), gap = *unit ? CELL_WIDTH * unit_size / 2 : 0;
    int edge = CELL_HEIGHT * size, unit_edge = *unit ? CELL_HEIGHT * unit_size : 0;
    int width = CELL_WIDTH * size * (int)strlen(text), unit_width = CELL_WIDTH * unit_size * (int)strlen(unit);
    int beside = width + gap + unit_width;
    if (beside <= width_ && edge <= bottom - top) {
        int x = (width_ - beside) / 2, y = (top + bottom - edge) / 2;
        put(text, x, y, size);
        put(unit, x + width + gap, y + edge - unit_edge, unit_size);
        return true;
    }
    if (larger(width, unit_width) > width_ || edge + unit_edge > bottom - top) {
        return false;
    }
    int y = (top + bottom - edge - unit_edge) / 2;
    put_centred(text, y, size);
    put_centred(unit, y + edge, unit_size);
    return true;
}

void ScreenPixels::bar(int percent, const char *label) {
    char text[SCREEN_NUMBER];
    snprintf(text, sizeof text, "%d %%", percent);
    begin();
    int top = put_label(label), thickness = larger(CELL_HEIGHT, height_ / 4), bottom = height_ - thickness;
    if (bottom - top >= CELL_HEIGHT) {
        put_number(text, "", top, bottom);
    }
    fill(0, bottom, width_, 1);
    fill(0, height_ - 1, width_, 1);
    fill(0, bottom, 1, thickness);
    fill(width_ - 1, bottom, 1, thickness);
    fill(2, bottom + 2, (width_ - 4) * percent / 100, thickness - 4);
    end();
}

static const Icon *find_icon(const char *name) {
    for (const Icon &icon : icons) {
        if (strcmp(icon.name, name) == 0) {
            return &icon;
        }
    }
    return NULL;
}

/* For an icon that is not in the table: the label, or else the name. */
void ScreenPixels::icon(const char *name, const char *label) {
    const Icon *icon = find_icon(name);
    if (!icon) {
        text(*label ? label : name);
        return;
    }
    begin();
    int top = put_label(label), size = smaller(width_, height_ - top) / ICON_EDGE;
    int x = (width_ - ICON_EDGE * size) / 2, y = (top + height_ - ICON_EDGE * size) / 2;
    for (int place = 0; place < ICON_EDGE * ICON_EDGE; place++) {
        if (icon->rows[place / ICON_EDGE] & 0x80 >> place % ICON_EDGE) {
            fill(x + place % ICON_EDGE * size, y + place / ICON_EDGE * size, size, size);
        }
    }
    end();
}

void ScreenPixels::graph(const float *values, int count, const char *value, const char *unit, const char *label) {
    char line[SCREEN_COLUMNS + 1];
    begin();
    int top = height_ >= 5 * CELL_HEIGHT ? put_label(label) : 0;
    if (count > 0 && height_ >= 3 * CELL_HEIGHT) {
        microclaw_join(value, unit, columns(1), line);
        put_centred(line, top, 1);
        top += CELL_HEIGHT;
    }
    if (count > 0) {
        put_curve(values, count, top + 1);
    }
    end();
}

void ScreenPixels::put_curve(const float *values, int count, int top) {
    float least = values[0], most = values[0];
    for (int i = 1; i < count; i++) {
        least = values[i] < least ? values[i] : least;
        most = values[i] > most ? values[i] : most;
    }
    float span = most - least;
    int bottom = height_ - 1, x_before = 0, y_before = bottom;
    for (int i = 0; i < count; i++) {
        int x = count > 1 ? i * (width_ - 1) / (count - 1) : width_ - 1;
        int y = span > 0 ? bottom - (int)((values[i] - least) * (float)(bottom - top) / span) : bottom;
        for (int column = x_before; i > 0 && column < x; column++) {
            int from = y_before + (y - y_before) * (column - x_before) / (x - x_before);
            int to = y_before + (y - y_before) * (column + 1 - x_before) / (x - x_before);
            fill(column, smaller(from, to), 1, larger(from, to) - smaller(from, to) + 1);
        }
        fill(x, y, 1, 1);
        x_before = x;
        y_before = y;
    }
}
