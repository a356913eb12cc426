/* wa-inc/timer_wasm_app.h: WAMR's timers with a function each. At most 16 together with those of every and after; a timer
 * that is cancelled is gone, one that fired once may be restarted, also by its own function. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __cplusplus
extern "C" {
#endif
typedef struct user_timer *user_timer_t;
typedef void (*on_user_timer_update_f)(user_timer_t timer);
user_timer_t api_timer_create(int interval, bool is_period, bool auto_start, on_user_timer_update_f on_timer_update);
void api_timer_cancel(user_timer_t timer);
void api_timer_restart(user_timer_t timer, int interval);
#ifdef __cplusplus
}
#endif
