/* shim.h: what the shim's files share: how `main` is paused in a sleep and goes on in a timer's callback. Binaryen's
 * Asyncify pass replaces the three imports below and rewrites every function between `main` and a sleep, so that it
 * can return from the middle and be entered there again. Programs cannot include it. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <wasm_app.h>

/* 16 to 116 bytes for natural programs, 36 to 60 a frame. The interpreter's operand stack ends at about 30 frames, so
 * the slack takes what such a depth can write beyond the end before on_init or on_timer_callback finds out. */
#define UNWIND_BYTES 1024
#define SLACK_BYTES 1024
#define TICK_US 10000 /* unistd.h */

enum { NOT_STARTED, IN_MAIN, PAUSED, OVER };

/* The variables lie before the stack: an overflow runs away from them. The guard lies before the variables: what is written
 * past the end of a program's array comes to it first. */
#define WHOLE 0x5eed1e55u
struct microclaw_shim {
    uint32_t guard;
    uint8_t phase;     /* IN_MAIN outside of main's own calls: an exception ended it */
    bool unwinding;    /* main returns, but it is not over */
    bool resuming;     /* the next sleep that is called is the one that main paused in */
    bool told_outside; /* said once that a callback tried to sleep */
    bool exited, overflowed;
    uint8_t armed;    /* which of the two one-shot timers */
    uint16_t rest_us; /* of the present usleep, behind its whole milliseconds */
    timer_id_t one_shot[2], backstop;
    uint32_t deadline_ms; /* of the present pause, or the last one */
    uint32_t more_rounds; /* of ROUND_MS each, once the deadline has passed */
    int exit_code;
    uintptr_t stack_pointer, first_stack_pointer;
    struct {
        uint8_t *next, *end;
    } unwound; /* what Asyncify reads: layout in Binaryen's Asyncify.cpp */
    uint8_t stack[UNWIND_BYTES], slack[SLACK_BYTES];
};
extern struct microclaw_shim __microclaw_shim;

#define ASYNCIFY(name) __attribute__((import_module("asyncify"), import_name(#name)))
ASYNCIFY(start_unwind) void __microclaw_start_unwind(void *unwound);
ASYNCIFY(stop_unwind) void __microclaw_stop_unwind(void);
ASYNCIFY(start_rewind) void __microclaw_start_rewind(void *unwound);
ASYNCIFY(stop_rewind) void __microclaw_stop_rewind(void);

__attribute__((import_module("env"), import_name("printf"))) int __microclaw_native_printf(const char *format, ...);

__attribute__((import_module("env"), import_name("usleep"))) int __microclaw_native_usleep(unsigned us);
void microclaw_delay_us(unsigned us); /* libc/delay_us.c */

/* End the program if something has written over these variables. */
void __microclaw_check_guard(void);

/* Get ready to leave main, or a task, for so long; false outside of them, where nothing may pause. */
bool __microclaw_may_pause(uint64_t ms);
void *__microclaw_leave(uintptr_t stack_pointer); /* what start_unwind takes */
/* In a program with tasks (tasks.c): the same for the task that runs, if one does. */
__attribute__((weak)) bool __microclaw_task_pauses(uint64_t ms);
__attribute__((weak)) void *__microclaw_task_leaves(uintptr_t stack_pointer);
__attribute__((weak)) int __microclaw_task_ran_ms(void); /* since it was taken up; -1: none runs */
static inline int task_ran_ms(void) { return __microclaw_task_ran_ms ? __microclaw_task_ran_ms() : -1; }

static inline __attribute__((always_inline)) uintptr_t stack_pointer(void) {
    uintptr_t value;
    __asm__ volatile(".globaltype __stack_pointer, i32\nglobal.get __stack_pointer\nlocal.set %0" : "=r"(value));
    return value;
}

static inline __attribute__((always_inline)) void set_stack_pointer(uintptr_t value) {
    __asm__ volatile(".globaltype __stack_pointer, i32\nlocal.get %0\nglobal.set __stack_pointer" ::"r"(value));
}

/* The body of each sleep: called once to pause and, in the rewind, once more to go on. False when it did not wait. */
static inline __attribute__((always_inline)) bool wait_ms(uint64_t ms) {
    __microclaw_check_guard();
    if (__microclaw_shim.resuming) {
        __microclaw_shim.resuming = false;
        __microclaw_stop_rewind();
        return true;
    }
    if (!__microclaw_may_pause(ms)) {
        return false;
    }
    __microclaw_start_unwind(__microclaw_leave(stack_pointer()));
    return true;
}

/* usleep: main pauses for the whole milliseconds, at least one, and waits for the rest. A callback blocks: it may be short, and
 * a trial finds out where it is not. */
static inline __attribute__((always_inline)) int wait_us(unsigned us) {
    __microclaw_check_guard();
    bool resumes = __microclaw_shim.resuming;
    if (!resumes && __microclaw_shim.phase != IN_MAIN && task_ran_ms() < 0) {
        return __microclaw_native_usleep(us);
    }
    if (!resumes) {
        __microclaw_shim.rest_us = us % 1000;
    }
    (void)wait_ms(us < 1000 ? 1 : us / 1000);
    if (resumes) {
        microclaw_delay_us(__microclaw_shim.rest_us);
    }
    return 0;
}
