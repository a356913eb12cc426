/* arduino/hw_timer.h: the ESP32's hardware timers on the timers of microclaw.h: at most 4, whose alarms come between the
 * program's own steps, to the millisecond. In core 2 a timer begins with a number, a divider of 80 MHz and a direction; in core 3
 * with its frequency. */
#pragma once
struct hw_timer_s;
typedef struct hw_timer_s hw_timer_t;
hw_timer_t *timerBegin(uint32_t frequency_hz);
hw_timer_t *timerBegin(uint8_t number, uint16_t divider, bool counts_up) MICROCLAW_REFUSED_(!counts_up, "counting down");
void timerEnd(hw_timer_t *timer);

void timerAttachInterrupt(hw_timer_t *timer, void (*task)());
inline void timerAttachInterrupt(hw_timer_t *timer, void (*task)(), bool) { timerAttachInterrupt(timer, task); }
void timerAttachInterruptArg(hw_timer_t *timer, void (*task)(void *), void *value);
inline void timerAttachInterruptArg(hw_timer_t *timer, void (*task)(void *), void *value, bool) {
    timerAttachInterruptArg(timer, task, value);
}
void timerDetachInterrupt(hw_timer_t *timer);

/* An alarm when the timer has counted to `ticks`. With `reloads` it begins at 0 again, and so it does for ever, or as
 * many times as `reload_count` says. */
void timerAlarm(hw_timer_t *timer, uint64_t ticks, bool reloads, uint64_t reload_count);
void timerAlarmWrite(hw_timer_t *timer, uint64_t ticks, bool reloads);
void timerAlarmEnable(hw_timer_t *timer);
void timerAlarmDisable(hw_timer_t *timer);
bool timerAlarmEnabled(hw_timer_t *timer);
uint64_t timerAlarmRead(hw_timer_t *timer);
uint64_t timerAlarmReadMicros(hw_timer_t *timer);
double timerAlarmReadSeconds(hw_timer_t *timer);
void timerSetAutoReload(hw_timer_t *timer, bool reloads);
bool timerGetAutoReload(hw_timer_t *timer);

void timerStart(hw_timer_t *timer);
void timerStop(hw_timer_t *timer);
void timerRestart(hw_timer_t *timer); /* from 0 */
bool timerStarted(hw_timer_t *timer);
void timerWrite(hw_timer_t *timer, uint64_t ticks);
uint64_t timerRead(hw_timer_t *timer);
uint64_t timerReadMicros(hw_timer_t *timer);
uint64_t timerReadMilis(hw_timer_t *timer);
uint64_t timerReadMillis(hw_timer_t *timer);
double timerReadSeconds(hw_timer_t *timer);
uint32_t timerGetFrequency(hw_timer_t *timer);
void timerSetDivider(hw_timer_t *timer, uint16_t divider);
uint16_t timerGetDivider(hw_timer_t *timer);
inline bool timerGetCountUp(hw_timer_t *) { return true; }
