/* A wait that does not drift. */
#include <Arduino.h>

BaseType_t xTaskDelayUntil(TickType_t *before, TickType_t ticks) {
    *before += ticks;
    TickType_t left = *before - xTaskGetTickCount();
    bool is_to_come = (int32_t)left > 0;
    if (is_to_come) {
        delay(left);
    }
    return is_to_come;
}
