/* The timers of wa-inc/timer_wasm_app.h on those of microclaw.h, which survive what the firmware loses. */
#include <wa-inc/timer_wasm_app.h>

int every(unsigned ms, void (*task)(void));
int after(unsigned ms, void (*task)(void));
void cancel(int timer);
extern int microclaw_fired_timer; /* timers.c */

#define MAX_TIMERS 16
static struct user_timer {
    on_user_timer_update_f update; /* 0: free */
    int timer;
    bool is_periodic;
} timers[MAX_TIMERS];

static void fire(void) {
    for (int i = 0; i < MAX_TIMERS; i++) {
        if (timers[i].update && timers[i].timer == microclaw_fired_timer) {
            timers[i].update(&timers[i]);
            return;
        }
    }
}

void api_timer_restart(user_timer_t timer, int interval) {
    if (!timer) {
        return;
    }
    cancel(timer->timer);
    unsigned ms = interval > 0 ? (unsigned)interval : 1;
    timer->timer = timer->is_periodic ? every(ms, fire) : after(ms, fire);
}

user_timer_t api_timer_create(int interval, bool is_period, bool auto_start, on_user_timer_update_f on_timer_update) {
    for (int i = 0; on_timer_update && i < MAX_TIMERS; i++) {
        if (timers[i].update) {
            continue;
        }
        timers[i] = (struct user_timer){.update = on_timer_update, .timer = -1, .is_periodic = is_period};
        if (auto_start) {
            api_timer_restart(&timers[i], interval);
            if (timers[i].timer < 0) {
                timers[i].update = 0;
                return 0;
            }
        }
        return &timers[i];
    }
    return 0;
}

void api_timer_cancel(user_timer_t timer) {
    if (timer) {
        cancel(timer->timer);
        timer->update = 0;
    }
}
