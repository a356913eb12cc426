/* FunctionalInterrupt.h: interrupts whose task is any object that can be called: a lambda that captures, std::bind, std::function.
 * The object is kept for ever. */
#pragma once
#include <Arduino.h>
#include <arduino/pin_arguments.h>
template <typename Task> void microclaw_call(void *task) { (*(Task *)task)(); }
template <typename Task> void attachInterrupt(uint8_t pin, Task task, int mode) MICROCLAW_PIN_MARKS(pin, "gpio") {
    attachInterruptArg(pin, microclaw_call<Task>, new Task(task), mode);
}
template <typename Task> void timerAttachInterrupt(hw_timer_t *timer, Task task) {
    timerAttachInterruptArg(timer, microclaw_call<Task>, new Task(task));
}
