/* screen_layout.h: what the displays of microclaw_screen.h have in common. Texts have a byte for each character here: ASCII and the
 * degree sign. Places and sizes are in pixels, or in characters on a display of characters. */
#pragma once
#include <microclaw_screen.h>
#include <stdint.h>

enum { SCREEN_COLUMNS = 40, SCREEN_ROWS = 16, SCREEN_TEXT = 256, SCREEN_DEGREE = 0xb0, SCREEN_NUMBER = 24 };

struct ScreenLines {
    int count;
    char rows[SCREEN_ROWS][SCREEN_COLUMNS + 1];
};

class ScreenLayout {
  public:
    virtual void text(const char *text);
    virtual void scroll(const char *text);
    virtual void number(const char *value, const char *unit, const char *label) = 0;
    virtual void bar(int percent, const char *label) = 0;
    virtual void icon(const char *name, const char *label) = 0;
    virtual void graph(const float *values, int count, const char *value, const char *unit, const char *label) = 0;
    void clear();

  protected:
    ScreenLayout(int width, int height, int cell_width, int cell_height, int sizes)
        : width_(width), height_(height), cell_width_(cell_width), cell_height_(cell_height), sizes_(sizes) {}
    virtual void begin() = 0;
    virtual void put(const char *text, int x, int y, int size) = 0;
    virtual void end() = 0;
    void put_centred(const char *text, int y, int size);
    int columns(int size) const;
    int width_, height_, cell_width_, cell_height_, sizes_;

  private:
    int fit(const char *text, int most_rows, ScreenLines *lines) const;
    char moved_[SCREEN_TEXT] = "";
    int step_ = 0;
};

/* Returns the screen of a layout, or -1 if there are too many; `layout` is NULL if it could not be opened. */
int microclaw_add_screen(ScreenLayout *layout);

/* Makes the lines of a text. False if a word is longer than a line, unless it may be broken; a number becomes dashes. */
bool microclaw_wrap(const char *text, int columns, bool may_break, ScreenLines *lines);
/* A number and its unit, or a label and a number, in one line: without room for both, the number alone, and dashes at worst. */
void microclaw_join(const char *first, const char *second, int columns, char *line);
bool microclaw_has_digit(const char *text, int length);
/* The first line of a label. */
void microclaw_label(const char *label, int columns, char *line);
