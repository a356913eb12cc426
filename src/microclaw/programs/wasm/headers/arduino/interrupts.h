/* arduino/interrupts.h: programs get no interrupts: the pin is looked at every 5 ms, and the function is called then, between
 * the program's own steps. So noInterrupts has nothing to do, nor has a critical section. */
#pragma once
#define RISING 1
#define FALLING 2
#define CHANGE 3
#define ONLOW 4
#define ONHIGH 5
#define digitalPinToInterrupt(pin) (pin)
#define NOT_AN_INTERRUPT (-1)
inline void noInterrupts() {}
inline void interrupts() {}
inline void cli() {}
inline void sei() {}
typedef int portMUX_TYPE;
#define portMUX_INITIALIZER_UNLOCKED 0
#define portMUX_INITIALIZE(mux) ((void)(mux))
#define spinlock_initialize(mux) ((void)(mux))
#define portENTER_CRITICAL(mux) ((void)(mux))
#define portEXIT_CRITICAL(mux) ((void)(mux))
#define portENTER_CRITICAL_ISR(mux) ((void)(mux))
#define portEXIT_CRITICAL_ISR(mux) ((void)(mux))
#define portENTER_CRITICAL_SAFE(mux) ((void)(mux))
#define portEXIT_CRITICAL_SAFE(mux) ((void)(mux))
#define taskENTER_CRITICAL(mux) ((void)(mux))
#define taskEXIT_CRITICAL(mux) ((void)(mux))
#define taskENTER_CRITICAL_ISR(mux) ((void)(mux))
#define taskEXIT_CRITICAL_ISR(mux) ((void)(mux))
#define portDISABLE_INTERRUPTS() ((void)0)
#define portENABLE_INTERRUPTS() ((void)0)
#define portYIELD_FROM_ISR(...) ((void)0)
#define LOOKED_AT_(name) \
    __attribute__((diagnose_if(true, name " looks at the pin every 5 ms here: shorter pulses are missed", "warning")))
void attachInterrupt(uint8_t pin, void (*task)(), int mode) PIN_MARKS_(pin, "gpio") LOOKED_AT_("attachInterrupt");
void attachInterruptArg(uint8_t pin, void (*task)(void *), void *value, int mode)
    PIN_MARKS_(pin, "gpio") LOOKED_AT_("attachInterruptArg");
void detachInterrupt(uint8_t pin);
void enableInterrupt(uint8_t pin);
void disableInterrupt(uint8_t pin);
