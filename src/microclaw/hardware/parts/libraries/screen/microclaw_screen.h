/* microclaw_screen.h: text, numbers, bars, icons and graphs on any display, in layouts that fit its size; microclaw.h brings it.
 * A display is opened by the name of its part, such as screen_ssd1306(sda, scl, width, height, address), with its pins in the order
 * of part.toml, then its attributes, then the address; it returns the screen, or -1 if nothing answers. Nothing here waits. */
#pragma once
#ifdef __cplusplus
extern "C" {
#endif
void screen_text(int screen, const char *text); /* "\n" begins a line; wrapped, centred, as large as it fits */
/* A whole number as it is, another one with one digit after its point; "" for no unit or no label. */
#define screen_number(screen, value, unit, label) \
    microclaw_screen_number(screen, (double)(value), (__typeof__(value))0.5 != 0, unit, label)
void microclaw_screen_number(int screen, double value, int has_point, const char *unit, const char *label);
void screen_bar(int screen, int percent, const char *label);
void screen_icon(int screen, const char *name, const char *label); /* "sun", "drop", "lamp", ... */
void screen_graph(int screen, const float *values, int count, const char *unit, const char *label);
void screen_scroll(int screen, const char *text); /* the next step of a text that moves; one that fits stands still */
void screen_clear(int screen);

/* The values of the last hour, one for each minute, the newest last: static screen_hour hour; screen_hour_add(&hour, value). */
typedef struct screen_hour {
    float values[60];
    int count;
    unsigned minute_ms;
} screen_hour;
void screen_hour_add(screen_hour *hour, float value);
#ifdef __cplusplus
}
#endif
