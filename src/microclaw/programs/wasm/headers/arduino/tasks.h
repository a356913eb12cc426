/* arduino/tasks.h: tasks of FreeRTOS that take turns: one runs until it waits (vTaskDelay, delay, a queue, a semaphore), and setup
 * and loop are one of them. At most 4 beside these, each with a stack of 3 KB; priorities and cores change nothing. */
#pragma once
struct microclaw_task;
typedef struct microclaw_task *TaskHandle_t;
typedef void (*TaskFunction_t)(void *);
#define tskIDLE_PRIORITY 0
#define tskNO_AFFINITY 0x7fffffff
#define configMAX_PRIORITIES 25
#define configMINIMAL_STACK_SIZE 768
#define ARDUINO_RUNNING_CORE 0
extern "C" {
TaskHandle_t microclaw_begin_task(TaskFunction_t run, const char *name, void *value);
TaskHandle_t microclaw_current_task(void);
void microclaw_end_task(TaskHandle_t task);
void microclaw_suspend_task(TaskHandle_t task, bool is_suspended);
uint32_t *microclaw_notified(TaskHandle_t task);
const char *microclaw_task_name(TaskHandle_t task);
BaseType_t xTaskCreate(TaskFunction_t run, const char *name, uint32_t stack_bytes, void *value, UBaseType_t priority, TaskHandle_t *made);
}
inline BaseType_t xTaskCreatePinnedToCore(TaskFunction_t run, const char *name, uint32_t stack_bytes, void *value, UBaseType_t priority,
                                          TaskHandle_t *made, BaseType_t) {
    return xTaskCreate(run, name, stack_bytes, value, priority, made);
}
inline BaseType_t xTaskCreateUniversal(TaskFunction_t run, const char *name, uint32_t stack_bytes, void *value, UBaseType_t priority,
                                       TaskHandle_t *made, BaseType_t) {
    return xTaskCreate(run, name, stack_bytes, value, priority, made);
}
void vTaskDelete(TaskHandle_t task); /* NULL: the task that calls */
void vTaskSuspend(TaskHandle_t task);
void vTaskResume(TaskHandle_t task);
inline TaskHandle_t xTaskGetCurrentTaskHandle() { return microclaw_current_task(); }
inline const char *pcTaskGetName(TaskHandle_t task) { return microclaw_task_name(task ? task : microclaw_current_task()); }
inline const char *pcTaskGetTaskName(TaskHandle_t task) { return pcTaskGetName(task); }
inline BaseType_t xPortGetCoreID() { return 0; } /* a program has one processor */
BaseType_t xTaskNotifyGive(TaskHandle_t task);
void vTaskNotifyGiveFromISR(TaskHandle_t task, BaseType_t *woken);
uint32_t ulTaskNotifyTake(BaseType_t takes_all, TickType_t ticks);

/* A queue of items; a semaphore is one of items without bytes. */
struct microclaw_queue;
typedef struct microclaw_queue *QueueHandle_t;
typedef QueueHandle_t SemaphoreHandle_t;
QueueHandle_t xQueueCreate(UBaseType_t room, UBaseType_t item_bytes);
void vQueueDelete(QueueHandle_t queue);
BaseType_t xQueueSend(QueueHandle_t queue, const void *item, TickType_t ticks);
inline BaseType_t xQueueSendToBack(QueueHandle_t queue, const void *item, TickType_t ticks) { return xQueueSend(queue, item, ticks); }
BaseType_t xQueueSendToFront(QueueHandle_t queue, const void *item, TickType_t ticks);
BaseType_t xQueueOverwrite(QueueHandle_t queue, const void *item);
BaseType_t xQueueReceive(QueueHandle_t queue, void *item, TickType_t ticks);
BaseType_t xQueuePeek(QueueHandle_t queue, void *item, TickType_t ticks);
BaseType_t xQueueReset(QueueHandle_t queue);
UBaseType_t uxQueueMessagesWaiting(QueueHandle_t queue);
UBaseType_t uxQueueSpacesAvailable(QueueHandle_t queue);
inline BaseType_t xQueueSendFromISR(QueueHandle_t queue, const void *item, BaseType_t *) { return xQueueSend(queue, item, 0); }
inline BaseType_t xQueueSendToBackFromISR(QueueHandle_t queue, const void *item, BaseType_t *) { return xQueueSend(queue, item, 0); }
inline BaseType_t xQueueReceiveFromISR(QueueHandle_t queue, void *item, BaseType_t *) { return xQueueReceive(queue, item, 0); }
SemaphoreHandle_t xSemaphoreCreateCounting(UBaseType_t most, UBaseType_t count);
inline SemaphoreHandle_t xSemaphoreCreateBinary() { return xSemaphoreCreateCounting(1, 0); }
inline SemaphoreHandle_t xSemaphoreCreateMutex() { return xSemaphoreCreateCounting(1, 1); }
inline BaseType_t xSemaphoreTake(SemaphoreHandle_t semaphore, TickType_t ticks) { return xQueueReceive(semaphore, nullptr, ticks); }
inline BaseType_t xSemaphoreGive(SemaphoreHandle_t semaphore) { return xQueueSend(semaphore, nullptr, 0); }
inline BaseType_t xSemaphoreTakeFromISR(SemaphoreHandle_t semaphore, BaseType_t *) { return xSemaphoreTake(semaphore, 0); }
inline BaseType_t xSemaphoreGiveFromISR(SemaphoreHandle_t semaphore, BaseType_t *) { return xSemaphoreGive(semaphore); }
inline UBaseType_t uxSemaphoreGetCount(SemaphoreHandle_t semaphore) { return uxQueueMessagesWaiting(semaphore); }
inline void vSemaphoreDelete(SemaphoreHandle_t semaphore) { vQueueDelete(semaphore); }
