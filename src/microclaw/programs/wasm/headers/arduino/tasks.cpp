/* Tasks: what a sketch calls. They are run by shim/tasks.c. */
#include <Arduino.h>

BaseType_t xTaskCreate(TaskFunction_t run, const char *name, uint32_t, void *value, UBaseType_t, TaskHandle_t *made) {
    TaskHandle_t task = microclaw_begin_task(run, name, value);
    if (made) {
        *made = task;
    }
    return task ? pdPASS : pdFAIL;
}

/* A task that is over, or suspended, comes back from its wait only when it is to go on. */
static void wait_if_own(TaskHandle_t task) {
    if (task == microclaw_current_task()) {
        delay(portMAX_DELAY);
    }
}

void vTaskDelete(TaskHandle_t task) {
    task = task ? task : microclaw_current_task();
    microclaw_end_task(task);
    wait_if_own(task);
}

void vTaskSuspend(TaskHandle_t task) {
    task = task ? task : microclaw_current_task();
    microclaw_suspend_task(task, true);
    wait_if_own(task);
}

void vTaskResume(TaskHandle_t task) { microclaw_suspend_task(task, false); }

BaseType_t xTaskNotifyGive(TaskHandle_t task) {
    ++*microclaw_notified(task);
    return pdPASS;
}

void vTaskNotifyGiveFromISR(TaskHandle_t task, BaseType_t *woken) {
    xTaskNotifyGive(task);
    if (woken) {
        *woken = pdTRUE;
    }
}

uint32_t ulTaskNotifyTake(BaseType_t takes_all, TickType_t ticks) {
    uint32_t *notified = microclaw_notified(microclaw_current_task());
    unsigned began = millis();
    while (!*notified && (ticks == portMAX_DELAY || millis() - began < ticks)) {
        delay(1);
    }
    uint32_t count = *notified;
    *notified = takes_all || !count ? 0 : count - 1;
    return count;
}
