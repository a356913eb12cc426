/* tasks.h: tasks of FreeRTOS for a program that blocks in main: each is taken up by a timer, while main waits, and leaves when it
 * waits itself. So one task runs at a time, until it waits. Programs cannot include it. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define TASKS 4
#define TASK_UNWIND_BYTES 1024
#define TASK_STACK_BYTES 3072 /* grows down towards the bytes for unwinding, which are free while the task runs */

struct microclaw_task {
    void (*run)(void *); /* 0: the place is free */
    void *value;
    const char *name;
    bool has_begun, is_leaving, is_over, is_suspended;
    int timer; /* -1: none */
    uint32_t notified; /* how often, and not taken yet */
    uintptr_t stack_pointer;
    struct {
        uint8_t *next, *end;
    } unwound; /* what Asyncify reads */
    uint32_t taken_up_ms;
    uint32_t guard; /* a stack that runs over comes to it first */
    _Alignas(16) uint8_t memory[TASK_UNWIND_BYTES + TASK_STACK_BYTES];
};
