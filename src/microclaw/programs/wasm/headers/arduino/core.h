/* arduino/core.h: what Arduino.h has in C++ only. */
#pragma once
#include "attributes.h"
#include "binary.h"
#include "characters.h"
#include "refused.h"
#include "serial.h"
#ifdef MICROCLAW_LIBCXX
#include <initializer_list>
#include <utility>
#else
/* What clang needs for a list in braces, as in `for (int pin : {2, 4, 5})`. */
namespace std {
template <typename T> class initializer_list {
  public:
    constexpr initializer_list() {}
    constexpr size_t size() const { return size_; }
    constexpr const T *begin() const { return begin_; }
    constexpr const T *end() const { return begin_ + size_; }

  private:
    const T *begin_ = nullptr;
    size_t size_ = 0;
};
}
#endif

/* The type of both is a value's, never a reference to a parameter that is gone. */
template <typename A, typename B> using microclaw_common = decltype(true ? A() : B());
template <typename A, typename B> constexpr microclaw_common<A, B> min(A a, B b) { return a < b ? a : b; }
template <typename A, typename B> constexpr microclaw_common<A, B> max(A a, B b) { return a > b ? a : b; }
template <typename T> constexpr T abs(T value) { return value < T(0) ? T(-value) : value; }
#ifdef MICROCLAW_LIBCXX
using std::swap;
#else
template <typename T> inline void swap(T &a, T &b) {
    T kept(static_cast<T &&>(a));
    a = static_cast<T &&>(b);
    b = static_cast<T &&>(kept);
}
#endif

/* From low up to, and without, high. The same numbers after each start unless randomSeed gets another value. */
long random(long high);
long random(long low, long high);
inline void randomSeed(unsigned long seed) { srandom((unsigned)seed); }
inline uint16_t makeWord(uint16_t value) { return value; }
inline uint16_t makeWord(uint8_t high, uint8_t low) { return (uint16_t)(high << 8 | low); }
#define word(...) makeWord(__VA_ARGS__)
#define EULER 2.718281828459045
#define _BV(number) (1UL << (number))
#define _min(a, b) ((a) < (b) ? (a) : (b))
#define _max(a, b) ((a) > (b) ? (a) : (b))
#define _abs(value) ((value) > 0 ? (value) : -(value))
#define _round(value) ((long)((value) >= 0 ? (value) + 0.5 : (value)-0.5))
#define NOP() ((void)0)
#define _NOP() ((void)0)
#define NOT_A_PIN (-1)
#define PULLUP GPIO_PULLUP /* beside INPUT or OUTPUT: pinMode(pin, INPUT | PULLUP) */
#define PULLDOWN GPIO_PULLDOWN
#define OPEN_DRAIN GPIO_OPENDRAIN
inline void yield() { delay(1); }
#define optimistic_yield(us) yield()
/* The servers are not asked: the host sets the clock. Local time is this far from UTC then, and else in the host's time zone. */
extern "C" void microclaw_set_zone(int seconds);
inline void configTime(long offset_s, int daylight_s, const char *, const char * = nullptr, const char * = nullptr) {
    microclaw_set_zone((int)(offset_s + daylight_s)); /* inline: the names of servers are not in a program that asks none */
}
bool getLocalTime(struct tm *now, uint32_t wait_ms = 5000); /* false before anything has set the board's clock */
inline unsigned long pulseInLong(uint8_t pin, uint8_t level, unsigned long timeout_us = 1000000) PIN_MARKS_(pin, "gpio") {
    return pulseIn(pin, level, timeout_us);
}

/* At 50 % by PWM, 1 to 9000 Hz; forever, or for so many ms. */
void tone(uint8_t pin, unsigned frequency_hz, unsigned long duration_ms = 0) PIN_MARKS_(pin, "pwm");
void noTone(uint8_t pin);

#include "interrupts.h"
#include "hw_timer.h"
#include "log.h"
#include "freertos.h"
#include "tasks.h"

class EspClass {
  public:
    uint32_t getFreeHeap(); /* of the program's own heap: the greatest block that it gives */
    uint32_t getMaxAllocHeap() { return getFreeHeap(); }
};
extern EspClass ESP;
#include "ledc.h"
