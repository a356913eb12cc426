/* screen_pixels.h: the layouts of microclaw_screen.h on pixels, drawn with our font of 5 x 7 in sizes 1 to 4. */
#pragma once
#include <screen_layout.h>

class ScreenPixels : public ScreenLayout {
  public:
    void number(const char *value, const char *unit, const char *label) override;
    void bar(int percent, const char *label) override;
    void icon(const char *name, const char *label) override;
    void graph(const float *values, int count, const char *value, const char *unit, const char *label) override;

  protected:
    enum { CELL_WIDTH = 6, CELL_HEIGHT = 8, SIZES = 4 };
    ScreenPixels(int width, int height) : ScreenLayout(width, height, CELL_WIDTH, CELL_HEIGHT, SIZES) {}
    virtual void fill(int x, int y, int width, int height) = 0;
    void put(const char *text, int x, int y, int size) override;

  private:
    int put_label(const char *label);
    void put_number(const char *text, const char *unit, int top, int bottom);
    bool put_number_at(const char *text, const char *unit, int top, int bottom, int size);
    void put_curve(const float *values, int count, int top);
};
