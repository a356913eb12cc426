/* The hardware timers: each counts by the firmware's clock, and one timer of microclaw.h waits for its next alarm. */
#include <Arduino.h>
#include <time.h>

#define TIMERS 4
#define CLOCK_HZ 80000000u
#define MICROS 1000000u

struct hw_timer_s {
    bool is_used, is_running, is_alarmed, reloads, is_periodic;
    uint32_t frequency_hz;
    uint64_t ticks;    /* at since_us */
    uint64_t since_us; /* of the clock, while it runs */
    uint64_t alarm_ticks, reloads_left; /* 0: for ever */
    int waiting;       /* as `after`, or `every` of a periodic one, returned it; -1: none */
    void (*plain)();
    void (*task)(void *);
    void *value;
};
static hw_timer_t timers[TIMERS];

static uint64_t now_us() {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * MICROS + (uint64_t)now.tv_nsec / 1000;
}

/* Seconds and the rest apart: the product of both would not fit into 64 bits after some hours. */
static uint64_t ticks_in(const hw_timer_t *timer, uint64_t us) {
    return us / MICROS * timer->frequency_hz + us % MICROS * timer->frequency_hz / MICROS;
}

static uint64_t us_of(const hw_timer_t *timer, uint64_t ticks) {
    return ticks / timer->frequency_hz * MICROS + ticks % timer->frequency_hz * MICROS / timer->frequency_hz;
}

/* WebAssembly would read and write at address 0, where the stack is. */
static void check(const hw_timer_t *timer) {
    if (!timer) {
        printf("a hardware timer is used without timerBegin: the program ends here\n");
        __builtin_trap();
    }
}

uint64_t timerRead(hw_timer_t *timer) {
    check(timer);
    return timer->ticks + (timer->is_running ? ticks_in(timer, now_us() - timer->since_us) : 0);
}

static void ring(hw_timer_t *timer);
template <int N> static void fire() { ring(&timers[N]); }
static void (*const FIRE[TIMERS])() = {fire<0>, fire<1>, fire<2>, fire<3>};

/* Wait for the next alarm, or for none. */
static void wait(hw_timer_t *timer) {
    check(timer);
    cancel(timer->waiting);
    timer->waiting = -1;
    bool has_task = timer->plain || timer->task;
    if (!timer->is_running || !timer->is_alarmed || !has_task || timer->ticks >= timer->alarm_ticks) {
        return;
    }
    uint64_t now = now_us(), due_us = timer->since_us + us_of(timer, timer->alarm_ticks - timer->ticks);
    uint64_t left_us = due_us > now ? due_us - now : 0, period_us = us_of(timer, timer->alarm_ticks);
    uint64_t ms = left_us + 500 > INT32_MAX * 1000ull ? INT32_MAX : (left_us + 500) / 1000;
    timer->is_periodic = timer->reloads && period_us % 1000 == 0 && period_us == ms * 1000;
    timer->waiting = (timer->is_periodic ? every : after)((unsigned)ms, FIRE[timer - timers]);
    if (timer->waiting < 0) {
        printf("timerAlarm: no timer is left, a program has 16\n");
    }
}

/* The moments of the alarms are counted from the first one, so that a late call does not put off those that follow. */
static void ring(hw_timer_t *timer) {
    uint64_t now = now_us(), due_us = timer->since_us + us_of(timer, timer->alarm_ticks - timer->ticks);
    if (!timer->is_periodic) {
        timer->waiting = -1;
    }
    if (due_us > now + 1000) {
        wait(timer); /* `after` takes 24 days at most */
        return;
    }
    if (timer->reloads) {
        timer->is_alarmed = timer->reloads_left != 1;
        timer->reloads_left -= timer->reloads_left > 1;
        uint64_t period_us = us_of(timer, timer->alarm_ticks);
        bool is_behind = now > due_us + period_us + 1000;
        timer->since_us = is_behind ? now : due_us;
        timer->ticks = 0;
    } else {
        timer->is_alarmed = false;
    }
    if (!timer->is_periodic || !timer->is_alarmed) {
        wait(timer);
    }
    timer->plain ? timer->plain() : timer->task(timer->value);
}

/* Take up the count at this moment, so that it may be changed. */
static void settle(hw_timer_t *timer) {
    timer->ticks = timerRead(timer);
    timer->since_us = now_us();
}

hw_timer_t *timerBegin(uint32_t frequency_hz) {
    for (auto &timer : timers) {
        if (!timer.is_used && frequency_hz) {
            timer = {};
            timer.is_used = timer.is_running = true;
            timer.frequency_hz = frequency_hz;
            timer.since_us = now_us();
            timer.waiting = -1;
            return &timer;
        }
    }
    printf("timerBegin: a program has %d timers\n", TIMERS);
    return nullptr;
}

hw_timer_t *timerBegin(uint8_t, uint16_t divider, bool) { return timerBegin(divider ? CLOCK_HZ / divider : 0); }

void timerEnd(hw_timer_t *timer) {
    check(timer);
    cancel(timer->waiting);
    *timer = {};
}

static void attach(hw_timer_t *timer, void (*plain)(), void (*task)(void *), void *value) {
    settle(timer);
    timer->plain = plain;
    timer->task = task;
    timer->value = value;
    wait(timer);
}

void timerAttachInterrupt(hw_timer_t *timer, void (*task)()) { attach(timer, task, nullptr, nullptr); }
void timerAttachInterruptArg(hw_timer_t *timer, void (*task)(void *), void *value) { attach(timer, nullptr, task, value); }
void timerDetachInterrupt(hw_timer_t *timer) { attach(timer, nullptr, nullptr, nullptr); }

static void set_alarm(hw_timer_t *timer, uint64_t ticks, bool reloads, uint64_t reload_count, bool is_alarmed) {
    settle(timer);
    timer->alarm_ticks = ticks;
    timer->reloads = reloads;
    timer->reloads_left = reload_count;
    timer->is_alarmed = is_alarmed && ticks;
    if (reloads && us_of(timer, ticks) < 1000) {
        printf("timerAlarm: the timers of a program tick every ms, and this alarm wants %u us\n", (unsigned)us_of(timer, ticks));
    }
    wait(timer);
}

void timerAlarm(hw_timer_t *timer, uint64_t ticks, bool reloads, uint64_t reload_count) {
    set_alarm(timer, ticks, reloads, reload_count, true);
}

void timerAlarmWrite(hw_timer_t *timer, uint64_t ticks, bool reloads) {
    set_alarm(timer, ticks, reloads, 0, timer->is_alarmed);
}

void timerAlarmEnable(hw_timer_t *timer) {
    settle(timer);
    timer->is_alarmed = timer->alarm_ticks > 0;
    wait(timer);
}

void timerAlarmDisable(hw_timer_t *timer) {
    settle(timer);
    timer->is_alarmed = false;
    wait(timer);
}

bool timerAlarmEnabled(hw_timer_t *timer) { return timer->is_alarmed; }
uint64_t timerAlarmRead(hw_timer_t *timer) { return timer->alarm_ticks; }
uint64_t timerAlarmReadMicros(hw_timer_t *timer) { return us_of(timer, timer->alarm_ticks); }
double timerAlarmReadSeconds(hw_timer_t *timer) { return (double)timer->alarm_ticks / timer->frequency_hz; }
void timerSetAutoReload(hw_timer_t *timer, bool reloads) { timer->reloads = reloads; }
bool timerGetAutoReload(hw_timer_t *timer) { return timer->reloads; }

static void run(hw_timer_t *timer, bool is_running) {
    settle(timer);
    timer->is_running = is_running;
    wait(timer);
}

void timerStart(hw_timer_t *timer) { run(timer, true); }
void timerStop(hw_timer_t *timer) { run(timer, false); }
bool timerStarted(hw_timer_t *timer) { return timer->is_running; }
void timerRestart(hw_timer_t *timer) { timerWrite(timer, 0); }

void timerWrite(hw_timer_t *timer, uint64_t ticks) {
    settle(timer);
    timer->ticks = ticks;
    wait(timer);
}

uint64_t timerReadMicros(hw_timer_t *timer) { return us_of(timer, timerRead(timer)); }
uint64_t timerReadMillis(hw_timer_t *timer) { return timerReadMicros(timer) / 1000; }
uint64_t timerReadMilis(hw_timer_t *timer) { return timerReadMillis(timer); }
double timerReadSeconds(hw_timer_t *timer) { return (double)timerRead(timer) / timer->frequency_hz; }
uint32_t timerGetFrequency(hw_timer_t *timer) { return timer->frequency_hz; }
uint16_t timerGetDivider(hw_timer_t *timer) { return (uint16_t)(CLOCK_HZ / timer->frequency_hz); }

void timerSetDivider(hw_timer_t *timer, uint16_t divider) {
    settle(timer);
    timer->frequency_hz = divider ? CLOCK_HZ / divider : timer->frequency_hz;
    wait(timer);
}
