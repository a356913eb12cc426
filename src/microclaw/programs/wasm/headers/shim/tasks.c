/* xTaskCreate: tasks that take turns. The timer's function calls stop_unwind and start_rewind itself, as the entry functions of
 * resume.c do, and so it is where a task's own unwinding ends. */
#include "shim.h"
#include "tasks.h"

int after(unsigned ms, void (*task)(void));
void cancel(int timer);

static struct microclaw_task tasks[TASKS], main_task;
static struct microclaw_task *current; /* 0: main runs, or a callback */

static void take_up(struct microclaw_task *task);
static void fire_0(void) { take_up(&tasks[0]); }
static void fire_1(void) { take_up(&tasks[1]); }
static void fire_2(void) { take_up(&tasks[2]); }
static void fire_3(void) { take_up(&tasks[3]); }
static void (*const FIRE[TASKS])(void) = {fire_0, fire_1, fire_2, fire_3};

static __attribute__((noinline)) void end_program(const char *text) {
    __microclaw_shim.phase = OVER; /* the firmware still calls the timers */
    __microclaw_shim.exited = true;
    __microclaw_native_printf("microclaw: %s\n", text);
    __builtin_trap();
}

static __attribute__((noinline)) void wake_in(struct microclaw_task *task, unsigned ms) {
    task->timer = after(ms, FIRE[task - tasks]);
    if (task->timer < 0) {
        end_program("no timer is left for a task, a program has 16");
    }
}

static __attribute__((noinline)) void check_stack(const struct microclaw_task *task, uintptr_t stack_pointer) {
    if (task->guard != WHOLE || stack_pointer < (uintptr_t)(task->memory + TASK_UNWIND_BYTES)) {
        end_program("ended: the stack of a task, 3 KB, ran over");
    }
}

int __microclaw_task_ran_ms(void) { return current ? (int)(wasm_get_sys_tick_ms() - current->taken_up_ms) : -1; }

/* Called by a sleep (resume.c): whether a task sleeps, which then leaves. */
bool __microclaw_task_pauses(uint64_t ms) {
    if (!current) {
        return false;
    }
    if (!current->is_over && !current->is_suspended) {
        wake_in(current, ms > INT32_MAX ? INT32_MAX : (unsigned)ms);
    }
    return true;
}

void *__microclaw_task_leaves(uintptr_t stack_pointer) {
    check_stack(current, stack_pointer);
    current->stack_pointer = stack_pointer;
    current->is_leaving = true;
    current->unwound.next = current->memory;
    current->unwound.end = current->memory + TASK_UNWIND_BYTES;
    return &current->unwound;
}

/* A task has returned: for now or for good? */
static __attribute__((noinline)) void look(struct microclaw_task *task) {
    check_stack(task, task->stack_pointer);
    if (task->is_leaving && task->unwound.next > task->unwound.end) {
        end_program("ended: too many nested calls around a task's wait");
    }
    if (!task->is_leaving || task->is_over) {
        task->run = 0;
    }
}

static __attribute__((noinline)) bool begins_now(struct microclaw_task *task) {
    task->timer = -1;
    if (!task->run || task->is_suspended) {
        return false;
    }
    __microclaw_check_guard();
    current = task;
    task->is_leaving = false;
    task->taken_up_ms = wasm_get_sys_tick_ms();
    return true;
}

static __attribute__((noinline)) void take_up(struct microclaw_task *task) {
    if (!begins_now(task)) {
        return;
    }
    uintptr_t outside = stack_pointer();
    set_stack_pointer(task->stack_pointer);
    if (task->has_begun) {
        __microclaw_shim.resuming = true;
        __microclaw_start_rewind(&task->unwound);
    }
    task->has_begun = true;
    task->run(task->value);
    set_stack_pointer(outside);
    look(task);
    if (task->is_leaving) {
        __microclaw_stop_unwind();
    }
    current = 0;
}

struct microclaw_task *microclaw_begin_task(void (*run)(void *), const char *name, void *value) {
    for (int i = 0; i < TASKS; i++) {
        struct microclaw_task *task = &tasks[i];
        if (task->run) {
            continue;
        }
        task->run = run;
        task->value = value;
        task->name = name;
        task->has_begun = task->is_over = task->is_suspended = false;
        task->notified = 0;
        task->guard = WHOLE;
        task->stack_pointer = (uintptr_t)(task->memory + sizeof task->memory);
        wake_in(task, 1);
        return task;
    }
    __microclaw_native_printf("xTaskCreate: a program has %d tasks\n", TASKS);
    return 0;
}

struct microclaw_task *microclaw_current_task(void) { return current ? current : &main_task; }

/* Another task stays where it waits. What calls this for itself waits for ever behind it. */
void microclaw_end_task(struct microclaw_task *task) {
    task->is_over = true;
    if (task != current && task != &main_task) {
        cancel(task->timer);
        task->run = 0;
    }
}

void microclaw_suspend_task(struct microclaw_task *task, bool is_suspended) {
    bool was_suspended = task->is_suspended;
    task->is_suspended = is_suspended;
    if (is_suspended) {
        cancel(task->timer);
        task->timer = -1;
    } else if (was_suspended && task->run) {
        wake_in(task, 1);
    }
}

uint32_t *microclaw_notified(struct microclaw_task *task) { return &task->notified; }

const char *microclaw_task_name(const struct microclaw_task *task) { return task == &main_task ? "loopTask" : task->name; }
