/* every, after and cancel of microclaw.h on the firmware's timers. Every one is periodic, also for `after`: restarting a
 * one-shot from its own callback can be lost, and so can a destroy while its callback is on the way. A periodic timer
 * whose destroy was lost fires again, is not known any more, and is destroyed then. */
#include <stdbool.h>
#include <stdint.h>
#include <wasm_app.h>

#define SLOTS 16

static struct {
    void (*task)(void); /* 0: free */
    timer_id_t timer;
    uint32_t started_ms, interval_ms;
    uint16_t generation;
    bool once, fired;
} slots[SLOTS];

int microclaw_fired_timer; /* the timer whose task runs, as every and after returned it */

static int start(unsigned ms, void (*task)(void), bool once) {
    ms = ms ? ms : 1;
    for (int i = 0; task && ms <= INT32_MAX && i < SLOTS; i++) {
        if (slots[i].task) {
            continue;
        }
        uint32_t now = wasm_get_sys_tick_ms();
        timer_id_t timer = wasm_create_timer((int)ms, true, true);
        if (timer == (timer_id_t)-1) {
            return -1;
        }
        uint16_t generation = (uint16_t)((slots[i].generation + 1) & 0x7fff);
        slots[i].task = task;
        slots[i].timer = timer;
        slots[i].started_ms = now;
        slots[i].interval_ms = ms;
        slots[i].generation = generation;
        slots[i].once = once;
        slots[i].fired = false;
        return generation * SLOTS + i;
    }
    return -1;
}

static void stop(int slot) {
    slots[slot].task = 0;
    wasm_timer_destroy(slots[slot].timer);
}

int every(unsigned ms, void (*task)(void)) { return start(ms, task, false); }

int after(unsigned ms, void (*task)(void)) { return start(ms, task, true); }

void cancel(int timer) {
    int slot = timer % SLOTS;
    if (timer >= 0 && slots[slot].task && slots[slot].generation == timer / SLOTS) {
        stop(slot);
    }
}

/* Named so that only a program that uses every or after has it. Beside a main that sleeps the shim calls it. */
#ifndef MICROCLAW_SHIM
__attribute__((export_name("on_timer_callback")))
#endif
void microclaw_timer_callback(timer_id_t timer) {
    for (int i = 0; i < SLOTS; i++) {
        if (!slots[i].task || slots[i].timer != timer) {
            continue;
        }
        /* A callback that was under way for an earlier timer of the same number comes too early: not ours. */
        if (!slots[i].fired && wasm_get_sys_tick_ms() - slots[i].started_ms < slots[i].interval_ms) {
            return;
        }
        slots[i].fired = true;
        void (*task)(void) = slots[i].task;
        microclaw_fired_timer = slots[i].generation * SLOTS + i;
        if (slots[i].once) {
            stop(i);
        }
        task();
        return;
    }
    wasm_timer_destroy(timer);
}
