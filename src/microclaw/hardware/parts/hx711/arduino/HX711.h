/* HX711.h: the amplifier of a load cell; our own code behind the names of the library. */
#pragma once
#include <Arduino.h>
#include <arduino/pin_arguments.h>
class HX711 {
  public:
    void begin(int dout, int sck, byte gain = 128) MICROCLAW_INPUT_PIN(dout) MICROCLAW_OUTPUT_PIN(sck);
    bool is_ready() { return digitalRead(data_) == LOW; }
    void wait_ready(unsigned long delay_ms = 0);
    bool wait_ready_retry(int retries = 3, unsigned long delay_ms = 0);
    bool wait_ready_timeout(unsigned long timeout_ms = 1000, unsigned long delay_ms = 0);
    void set_gain(byte gain = 128); /* 128 or 64 (channel A) or 32 (channel B), from the reading after the next */
    long read();
    long read_average(byte times = 10);
    double get_value(byte times = 1) { return (double)(read_average(times) - offset_); }
    float get_units(byte times = 1) { return (float)(get_value(times) / scale_); }
    void tare(byte times = 10) { set_offset(read_average(times)); }
    void set_scale(float scale = 1) { scale_ = scale; }
    float get_scale() { return scale_; }
    void set_offset(long offset = 0) { offset_ = offset; }
    long get_offset() { return offset_; }
    void power_down();
    void power_up() { digitalWrite(clock_, LOW); }

  private:
    int pulse();
    int data_ = -1, clock_ = -1, extra_pulses_ = 1;
    long offset_ = 0;
    float scale_ = 1;
};
