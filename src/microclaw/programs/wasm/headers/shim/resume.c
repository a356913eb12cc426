/* The entry functions of a program that blocks in `main`: on_init begins it, a timer's callback takes it up again.
 * stop_unwind and start_rewind are called in the entry functions themselves: Asyncify leaves exactly the functions alone
 * that do so, and a rewritten entry function would never resume anything. They keep no frame on the shadow stack,
 * because they set its pointer. */
#include "shim.h"

#define ROUND_MS (1u << 30)
#define BACKSTOP_MS 500
#define LATE_MS 50
#define NO_TIMER ((timer_id_t)-1)
#define shim __microclaw_shim

struct microclaw_shim __microclaw_shim;
int __main_void(void);

/* The timers of every and after, in programs that use them (timers.c). */
__attribute__((weak)) void microclaw_timer_callback(timer_id_t timer) { (void)timer; }

/* A line of ours on the console, by the firmware's own printf, also where the program has another. */
static __attribute__((noinline)) void say(const char *text, int value) {
    __microclaw_native_printf("microclaw: ");
    __microclaw_native_printf(text, value);
    __microclaw_native_printf("\n");
}

__attribute__((noinline)) void __microclaw_check_guard(void) {
    if (shim.guard != WHOLE) {
        shim.guard = WHOLE;
        shim.phase = OVER; /* the firmware still calls the timers, whose numbers may be lost */
        shim.exited = true;
        say("something wrote past the end of an array", 0);
        __builtin_trap();
    }
}

/* Restarting a one-shot timer from its own callback is lost when the app is quicker than the timer thread, which posts
 * the callback first and puts the timer on its idle list then. So two take turns, and a periodic one stands behind. */
static void arm(uint32_t ms) {
    shim.armed ^= 1;
    wasm_timer_restart(shim.one_shot[shim.armed], (int)(ms ? ms : 1));
}

/* The event "ended", for a host that asked for it: version, action, format, message id, sender (the firmware's), lengths of
 * url and body, url (microclaw/wire/wasmachine/request.py). */
static const char ended_event[] = "\1\6\0\143" "\0\0\0\0" "\0\0\0\0" "\0\6" "\0\0\0\0" "ended";

/* Main is over, however it ended: nothing of it is called any more, and the event says so. */
static __attribute__((noinline)) void close_main(void) {
    if (shim.backstop) {
        wasm_timer_destroy(shim.one_shot[0]);
        wasm_timer_destroy(shim.one_shot[1]);
        wasm_timer_destroy(shim.backstop);
    }
    wasm_post_request(ended_event, sizeof ended_event);
}

static bool create_timers(void) {
    shim.one_shot[0] = wasm_create_timer(BACKSTOP_MS, false, false);
    shim.one_shot[1] = wasm_create_timer(BACKSTOP_MS, false, false);
    shim.backstop = wasm_create_timer(BACKSTOP_MS, true, true);
    return shim.backstop != NO_TIMER; /* created last: when it is there, so are the others */
}

bool __microclaw_may_pause(uint64_t ms) {
    if (shim.phase != IN_MAIN) {
        if (__microclaw_task_pauses && __microclaw_task_pauses(ms)) {
            return true;
        }
        if (!shim.told_outside) {
            shim.told_outside = true;
            say("only main can sleep, callbacks go on at once", 0);
        }
        return false;
    }
    if (!shim.backstop && !create_timers()) {
        say("sleeping takes 3 timers", 0);
        shim.exited = true;
        shim.exit_code = -1;
        return true;
    }
    uint32_t first_ms = (uint32_t)ms & (ROUND_MS - 1);
    shim.more_rounds = (uint32_t)(ms >> 30);
    shim.deadline_ms = wasm_get_sys_tick_ms() + first_ms;
    arm(first_ms);
    return true;
}

void *__microclaw_leave(uintptr_t stack_pointer) {
    if (shim.phase != IN_MAIN) {
        return __microclaw_task_leaves(stack_pointer);
    }
    shim.stack_pointer = stack_pointer;
    shim.unwinding = true;
    shim.unwound.next = shim.stack;
    shim.unwound.end = shim.stack + UNWIND_BYTES;
    return &shim.unwound;
}

/* Whether main is to go on now. */
static __attribute__((noinline)) bool is_due(timer_id_t timer) {
    __microclaw_check_guard();
    if (timer != shim.one_shot[0] && timer != shim.one_shot[1] && timer != shim.backstop) {
        if (!shim.exited) {
            microclaw_timer_callback(timer);
        }
        return false;
    }
    if (shim.phase == IN_MAIN) {
        shim.phase = OVER;
        close_main();
        set_stack_pointer(shim.first_stack_pointer);
        say("ended by the exception above", 0);
    }
    if (shim.phase != PAUSED) {
        return false;
    }
    int32_t left_ms = (int32_t)(shim.deadline_ms - wasm_get_sys_tick_ms());
    if (timer != shim.one_shot[shim.armed] && left_ms > -LATE_MS) {
        return false; /* of an earlier pause, or the backstop: the one that is to come has its place behind the tasks' */
    }
    if (left_ms <= 0 && shim.more_rounds) {
        shim.more_rounds--;
        shim.deadline_ms += ROUND_MS;
        arm(ROUND_MS);
        return false;
    }
    if (left_ms > 0) {
        arm((uint32_t)left_ms); /* it came early */
        return false;
    }
    shim.phase = IN_MAIN;
    shim.resuming = true;
    shim.unwinding = false;
    return true;
}

/* Main has returned: for now or for good? Looks before stop_unwind, which traps once the stack ran over. */
static inline __attribute__((always_inline)) void look(void) {
    shim.overflowed = shim.unwound.next > shim.unwound.end;
    shim.phase = !shim.unwinding || shim.exited || shim.overflowed ? OVER : PAUSED;
    if (shim.overflowed) {
        shim.unwound.next = shim.stack;
    }
}

static __attribute__((noinline)) void tell_end(int result) {
    close_main();
    if (shim.overflowed) {
        say("ended: too many nested calls around a sleep", 0);
    } else if (shim.exited) {
        say("ended: exit(%d)", shim.exit_code);
    } else {
        say("ended: main returned %d", result);
    }
}

void on_init(void) {
    shim.guard = WHOLE;
    shim.first_stack_pointer = stack_pointer();
    shim.phase = IN_MAIN;
    int result = __main_void();
    look();
    if (shim.unwinding) {
        __microclaw_stop_unwind();
    }
    set_stack_pointer(shim.phase == PAUSED ? shim.stack_pointer : shim.first_stack_pointer);
    if (shim.phase == OVER) {
        tell_end(result);
    }
}

void on_timer_callback(timer_id_t timer) {
    if (!is_due(timer)) {
        return;
    }
    set_stack_pointer(shim.stack_pointer);
    __microclaw_start_rewind(&shim.unwound);
    int result = __main_void();
    look();
    if (shim.unwinding) {
        __microclaw_stop_unwind();
    }
    set_stack_pointer(shim.phase == PAUSED ? shim.stack_pointer : shim.first_stack_pointer);
    if (shim.phase == OVER) {
        tell_end(result);
    }
}
