/* The functions of microclaw_screen.h: texts become one byte for each character, numbers become texts. */
#include <microclaw.h>
#include <screen_layout.h>
#include <stdio.h>
#include <string.h>

enum { MOST_SCREENS = 4, FIRST_SCREEN = 0x400, MINUTE_MS = 60000, MINUTES = 60 };

static ScreenLayout *layouts[MOST_SCREENS];

int microclaw_add_screen(ScreenLayout *layout) {
    for (int i = 0; layout && i < MOST_SCREENS; i++) {
        if (!layouts[i]) {
            layouts[i] = layout;
            return FIRST_SCREEN + i;
        }
    }
    return -1;
}

/* NULL for one that could not be opened, which its function said. */
static ScreenLayout *layout_of(int screen) {
    int place = screen - FIRST_SCREEN;
    return place >= 0 && place < MOST_SCREENS ? layouts[place] : NULL;
}

/* From UTF-8: a question mark for each character that the fonts lack. */
static const char *plain(const char *text, char *out) {
    int size = 0;
    for (const uint8_t *at = (const uint8_t *)(text ? text : ""); *at && size < SCREEN_TEXT - 1; at++) {
        bool is_degree = at[0] == 0xc2 && at[1] == SCREEN_DEGREE;
        if (is_degree) {
            out[size++] = (char)SCREEN_DEGREE;
            at++;
        } else if ((*at >= ' ' && *at <= '~') || *at == '\n') {
            out[size++] = (char)*at;
        } else if (*at >= 0xc0) {
            out[size++] = '?';
        }
    }
    out[size] = 0;
    return out;
}

static const char *number_text(double value, bool has_point, char *out) {
    if (!(value > -1e8 && value < 1e8)) {
        return "--"; /* nothing that is measured, or no number at all */
    }
    double scaled = has_point ? value * 10 : value;
    long rounded = (long)(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    unsigned long size = rounded < 0 ? 0ul - (unsigned long)rounded : (unsigned long)rounded;
    const char *sign = rounded < 0 ? "-" : "";
    if (has_point) {
        snprintf(out, SCREEN_NUMBER, "%s%lu.%lu", sign, size / 10, size % 10);
    } else {
        snprintf(out, SCREEN_NUMBER, "%s%lu", sign, size);
    }
    return out;
}

void screen_text(int screen, const char *text) {
    char line[SCREEN_TEXT];
    ScreenLayout *layout = layout_of(screen);
    if (layout) {
        layout->text(plain(text, line));
    }
}

void screen_scroll(int screen, const char *text) {
    char line[SCREEN_TEXT];
    ScreenLayout *layout = layout_of(screen);
    if (layout) {
        layout->scroll(plain(text, line));
    }
}

void screen_clear(int screen) {
    ScreenLayout *layout = layout_of(screen);
    if (layout) {
        layout->clear();
    }
}

void microclaw_screen_number(int screen, double value, int has_point, const char *unit, const char *label) {
    char number[SCREEN_NUMBER], units[SCREEN_TEXT], line[SCREEN_TEXT];
    ScreenLayout *layout = layout_of(screen);
    if (layout) {
        layout->number(number_text(value, has_point, number), plain(unit, units), plain(label, line));
    }
}

void screen_bar(int screen, int percent, const char *label) {
    char line[SCREEN_TEXT];
    ScreenLayout *layout = layout_of(screen);
    if (layout) {
        layout->bar(percent < 0 ? 0 : percent > 100 ? 100 : percent, plain(label, line));
    }
}

void screen_icon(int screen, const char *name, const char *label) {
    char line[SCREEN_TEXT];
    ScreenLayout *layout = layout_of(screen);
    if (layout) {
        layout->icon(name, plain(label, line));
    }
}

void screen_graph(int screen, const float *values, int count, const char *unit, const char *label) {
    char number[SCREEN_NUMBER], units[SCREEN_TEXT], line[SCREEN_TEXT];
    ScreenLayout *layout = layout_of(screen);
    if (layout) {
        const char *last = count > 0 ? number_text((double)values[count - 1], true, number) : "";
        layout->graph(values, count, last, plain(unit, units), plain(label, line));
    }
}

static void append(screen_hour *hour, float value) {
    if (hour->count == MINUTES) {
        memmove(hour->values, hour->values + 1, sizeof hour->values - sizeof hour->values[0]);
        hour->count--;
    }
    hour->values[hour->count++] = value;
}

/* Within a minute the newest value counts, and a minute without any repeats the one before. */
void screen_hour_add(screen_hour *hour, float value) {
    unsigned now_ms = millis();
    if (hour->count == 0) {
        append(hour, value);
        hour->minute_ms = now_ms;
    }
    unsigned minutes = (now_ms - hour->minute_ms) / MINUTE_MS;
    hour->minute_ms += minutes * MINUTE_MS;
    for (unsigned i = 0; i < minutes && i < MINUTES; i++) {
        append(hour, hour->values[hour->count - 1]);
    }
    hour->values[hour->count - 1] = value;
}
