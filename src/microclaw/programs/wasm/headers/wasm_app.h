/* wasm_app.h: the firmware's own timers, requests and events, below microclaw.h's every and after. With these, define
 * on_timer_callback, on_request or on_response yourself. Never restart a one-shot timer from its own callback: the
 * firmware may lose it. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __cplusplus
extern "C" {
#endif
typedef uint32_t timer_id_t;
void on_timer_callback(timer_id_t timer);
void on_request(char *buffer, int size);
void on_response(char *buffer, int size);
timer_id_t wasm_create_timer(int interval, bool is_period, bool auto_start);
void wasm_timer_destroy(timer_id_t timer);
void wasm_timer_cancel(timer_id_t timer);
void wasm_timer_restart(timer_id_t timer, int interval);
uint32_t wasm_get_sys_tick_ms(void);
void wasm_register_resource(const char *url);
int wasm_response_send(const char *buf, int size);
void wasm_post_request(const char *buf, int size);
void wasm_sub_event(const char *url);
#ifdef __cplusplus
}
#endif
