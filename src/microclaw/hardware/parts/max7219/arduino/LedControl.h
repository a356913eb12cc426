/* LedControl.h: a chain of up to 8 MAX7219 with matrices or digits on any three pins; our own code behind the names of the
 * library. As there, a chip is shut down until shutdown(addr, false). */
#pragma once
#include <Arduino.h>
#include <arduino/pin_arguments.h>
class LedControl {
  public:
    LedControl(int mosi, int sck, int cs, int count = 1)
        MICROCLAW_OUTPUT_PIN(mosi) MICROCLAW_OUTPUT_PIN(sck) MICROCLAW_OUTPUT_PIN(cs) MICROCLAW_ATTRIBUTE(count);
    int getDeviceCount() { return count_; }
    void shutdown(int addr, bool is_off);
    void setScanLimit(int addr, int limit); /* digits 0 to `limit` are shown */
    void setIntensity(int addr, int intensity);
    void clearDisplay(int addr);
    void setLed(int addr, int row, int column, bool state);
    void setRow(int addr, int row, byte value);
    void setColumn(int addr, int column, byte value);
    void setDigit(int addr, int digit, byte value, bool dp);
    void setChar(int addr, int digit, char value, bool dp);

  private:
    enum { MAX_CHIPS = 8, ROWS = 8 };
    bool begin(int addr); /* at the first call; false if the chain has no such chip */
    void write(int addr, byte reg, byte value);
    void send_row(int addr, int row);
    int mosi_, sck_, cs_, count_;
    bool is_begun_ = false;
    byte rows_[MAX_CHIPS][ROWS] = {};
};
