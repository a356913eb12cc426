/* screen_characters.h: the layouts of microclaw_screen.h on displays of characters, and on digits of seven segments. */
#pragma once
#include <screen_layout.h>

class ScreenCharacters : public ScreenLayout {
  public:
    void number(const char *value, const char *unit, const char *label) override;
    void bar(int percent, const char *label) override;
    void icon(const char *name, const char *label) override { text(*label ? label : name); }
    void graph(const float *values, int count, const char *value, const char *unit, const char *label) override;

  protected:
    ScreenCharacters(int columns, int rows);
    /* Writes a row that changed, in the display's own table. */
    virtual void write_row(int row, const char *text) = 0;
    /* Defines character `code` by its eight rows of five bits. */
    virtual void define(int code, const uint8_t *rows) = 0;
    void begin() override;
    void put(const char *text, int x, int y, int size) override;
    void end() override;

  private:
    enum { LEVELS = 8, ROWS = 4 };
    void show(const char *first, const char *second);
    void show_value(const char *label, const char *value, const char *picture);
    char rows_[ROWS][SCREEN_COLUMNS + 1], shown_[ROWS][SCREEN_COLUMNS + 1];
    bool has_levels_ = false;
};

/* `has_points`: each digit has a point; without it a number is rounded, and only a colon is shown. */
class ScreenDigits : public ScreenLayout {
  public:
    void text(const char *text) override;
    void scroll(const char *text) override;
    void number(const char *value, const char *, const char *) override { text(value); }
    void bar(int percent, const char *label) override;
    void icon(const char *name, const char *label) override { text(*label ? label : name); }
    void graph(const float *values, int count, const char *value, const char *, const char *) override;

  protected:
    enum { MOST = 32 };
    ScreenDigits(int count, bool has_points)
        : ScreenLayout(count < MOST ? count : MOST, 1, 1, 1, 1), has_points_(has_points) {}
    virtual void send(const uint8_t *segments, int count) = 0; /* a to g are bits 0 to 6, and bit 7 is the dot */
    void begin() override;
    void put(const char *text, int x, int y, int size) override;
    void end() override;

  private:
    int encode(const char *text, uint8_t *codes) const;
    void show(const uint8_t *codes, int count, int place);
    bool has_points_;
    uint8_t line_[MOST] = {}, shown_[MOST] = {};
};
