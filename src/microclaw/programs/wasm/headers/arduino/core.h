/* arduino/core.h: what Arduino.h has in C++ only. */
#pragma once
#include "binary.h"
#include "serial.h"
#include <ctype.h>
#define PROGMEM
#define PSTR(text) (text)
#define IRAM_ATTR
#define ICACHE_RAM_ATTR
#define DRAM_ATTR
#define RTC_DATA_ATTR
#define pgm_read_byte(address) (*(const uint8_t *)(address))
#define pgm_read_word(address) (*(const uint16_t *)(address))
#define pgm_read_dword(address) (*(const uint32_t *)(address))
#define pgm_read_ptr(address) (*(void *const *)(address))
#define pgm_read_float(address) (*(const float *)(address))
#define strcpy_P strcpy
#define strlen_P strlen
#define strcmp_P strcmp
#define memcpy_P memcpy
typedef char __FlashStringHelper;
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
inline bool isDigit(int c) { return isdigit(c); }
inline bool isAlpha(int c) { return isalpha(c); }
inline bool isAlphaNumeric(int c) { return isalnum(c); }
inline bool isSpace(int c) { return isspace(c); }
inline bool isUpperCase(int c) { return isupper(c); }
inline bool isLowerCase(int c) { return islower(c); }
inline bool isPunct(int c) { return ispunct(c); }
inline bool isHexadecimalDigit(int c) { return isxdigit(c); }
inline bool isPrintable(int c) { return isprint(c); }

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
char *dtostrf(double value, signed char width, unsigned char digits, char *out);
inline void yield() { delay(1); }

/* At 50 % by PWM, 1 to 9000 Hz; forever, or for so many ms. */
void tone(int pin, unsigned frequency_hz, unsigned long duration_ms = 0) PIN_MARKS_(pin, "pwm");
void noTone(int pin);

/* Programs get no interrupts: the pin is looked at every 5 ms, and the function is called then, between the program's own
 * steps. So noInterrupts has nothing to do. */
#define RISING 3
#define FALLING 2
#define CHANGE 1
#define digitalPinToInterrupt(pin) (pin)
#define NOT_AN_INTERRUPT (-1)
inline void noInterrupts() {}
inline void interrupts() {}
/* Nor has a critical section: nothing runs beside the program's own steps. */
typedef int portMUX_TYPE;
#define portMUX_INITIALIZER_UNLOCKED 0
#define portENTER_CRITICAL(mux) ((void)(mux))
#define portEXIT_CRITICAL(mux) ((void)(mux))
#define portENTER_CRITICAL_ISR(mux) ((void)(mux))
#define portEXIT_CRITICAL_ISR(mux) ((void)(mux))
void attachInterrupt(int pin, void (*task)(), int mode)
    PIN_MARKS_(pin, "gpio")
    __attribute__((diagnose_if(true, "attachInterrupt looks at the pin every 5 ms here: shorter pulses are missed", "warning")));
void detachInterrupt(int pin);

class EspClass {
  public:
    uint32_t getFreeHeap(); /* of the program's own heap: the greatest block that it gives */
    uint32_t getMaxAllocHeap() { return getFreeHeap(); }
};
extern EspClass ESP;
#include "ledc.h"
