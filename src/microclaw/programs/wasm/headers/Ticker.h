/* Ticker.h: tasks at times, on every and after of microclaw.h: at most 16 at a time, between the program's own steps. */
#pragma once
#include <Arduino.h>
class Ticker {
  public:
    typedef void (*callback_t)();
    typedef void (*callback_with_arg_t)(void *);
    ~Ticker() { detach(); }
    void attach(float seconds, void (*task)()) { start_(ms(seconds), false, task); }
    void attach_ms(uint32_t ms, void (*task)()) { start_(ms, false, task); }
    void once(float seconds, void (*task)()) { start_(ms(seconds), true, task); }
    void once_ms(uint32_t ms, void (*task)()) { start_(ms, true, task); }
    template <typename T> void attach(float seconds, void (*task)(T), T value) { start_(ms(seconds), false, task, value); }
    template <typename T> void attach_ms(uint32_t ms, void (*task)(T), T value) { start_(ms, false, task, value); }
    template <typename T> void once(float seconds, void (*task)(T), T value) { start_(ms(seconds), true, task, value); }
    template <typename T> void once_ms(uint32_t ms, void (*task)(T), T value) { start_(ms, true, task, value); }
    void detach();
    bool active() const;

  private:
    static uint32_t ms(float seconds) { return (uint32_t)(seconds * 1000 + 0.5f); }
    void start_(uint32_t ms, bool once, void (*task)());
    void start_(uint32_t ms, bool once, void (*task)(void *), void *value);
    /* All of these are one number of 32 bits to a function of WebAssembly. */
    template <typename T> void start_(uint32_t ms, bool once, void (*task)(T), T value) {
        static_assert(sizeof(T) <= 4 && !__is_floating_point(T) && !__is_class(T), "a Ticker's task takes a pointer or a whole number");
        start_(ms, once, (void (*)(void *))task, (void *)value);
    }
    int slot_ = -1, timer_ = -1;
};
