/* arduino/freertos.h: waiting and time of FreeRTOS. Its tick is a millisecond, as the ESP32 core sets it. */
#pragma once
typedef uint32_t TickType_t;
typedef int BaseType_t;
typedef unsigned UBaseType_t;
typedef uint8_t StackType_t;
#define pdFALSE 0
#define pdTRUE 1
#define pdFAIL 0
#define pdPASS 1
#define configTICK_RATE_HZ 1000
#define portTICK_PERIOD_MS 1
#define portTICK_RATE_MS 1
#define portMAX_DELAY 0xffffffffu
#define pdMS_TO_TICKS(ms) ((TickType_t)(ms))
#define pdTICKS_TO_MS(ticks) ((uint32_t)(ticks))
inline void vTaskDelay(TickType_t ticks) { delay(ticks); }
/* Until `ticks` after the moment in `before`, which becomes that moment. True if it was still to come. */
BaseType_t xTaskDelayUntil(TickType_t *before, TickType_t ticks);
inline void vTaskDelayUntil(TickType_t *before, TickType_t ticks) { xTaskDelayUntil(before, ticks); }
inline TickType_t xTaskGetTickCount() { return (TickType_t)millis(); }
inline TickType_t xTaskGetTickCountFromISR() { return (TickType_t)millis(); }
inline void taskYIELD() { delay(1); }
inline void portYIELD() { delay(1); }
inline void vPortYield() { delay(1); }
