/* Queues and semaphores between tasks. Who waits looks again every millisecond. */
#include <Arduino.h>

struct microclaw_queue {
    size_t item_bytes, room, count, first;
    uint8_t *items;
};

QueueHandle_t xQueueCreate(UBaseType_t room, UBaseType_t item_bytes) {
    return new microclaw_queue{item_bytes, room, 0, 0, new uint8_t[room * item_bytes]};
}

SemaphoreHandle_t xSemaphoreCreateCounting(UBaseType_t most, UBaseType_t count) {
    SemaphoreHandle_t semaphore = xQueueCreate(most, 0);
    semaphore->count = count;
    return semaphore;
}

void vQueueDelete(QueueHandle_t queue) {
    delete[] queue->items;
    delete queue;
}

/* Until the queue has more items than `below`, and less than `above`; false when the time is up. */
static bool wait_for(const microclaw_queue *queue, size_t below, size_t above, TickType_t ticks) {
    unsigned began = millis();
    while (queue->count < below || queue->count > above) {
        if (ticks != portMAX_DELAY && millis() - began >= ticks) {
            return false;
        }
        delay(1);
    }
    return true;
}

static uint8_t *item_at(const microclaw_queue *queue, size_t place) {
    return queue->items + (queue->first + place) % queue->room * queue->item_bytes;
}

BaseType_t xQueueSend(QueueHandle_t queue, const void *item, TickType_t ticks) {
    if (!wait_for(queue, 0, queue->room - 1, ticks)) {
        return pdFALSE;
    }
    memcpy(item_at(queue, queue->count++), item, queue->item_bytes);
    return pdTRUE;
}

BaseType_t xQueueSendToFront(QueueHandle_t queue, const void *item, TickType_t ticks) {
    if (!wait_for(queue, 0, queue->room - 1, ticks)) {
        return pdFALSE;
    }
    queue->first = (queue->first + queue->room - 1) % queue->room;
    queue->count++;
    memcpy(item_at(queue, 0), item, queue->item_bytes);
    return pdTRUE;
}

BaseType_t xQueueOverwrite(QueueHandle_t queue, const void *item) {
    queue->count = 0;
    return xQueueSend(queue, item, 0);
}

BaseType_t xQueuePeek(QueueHandle_t queue, void *item, TickType_t ticks) {
    if (!wait_for(queue, 1, queue->room, ticks)) {
        return pdFALSE;
    }
    memcpy(item, item_at(queue, 0), queue->item_bytes);
    return pdTRUE;
}

BaseType_t xQueueReceive(QueueHandle_t queue, void *item, TickType_t ticks) {
    if (!xQueuePeek(queue, item, ticks)) {
        return pdFALSE;
    }
    queue->first = (queue->first + 1) % queue->room;
    queue->count--;
    return pdTRUE;
}

BaseType_t xQueueReset(QueueHandle_t queue) {
    queue->count = 0;
    return pdPASS;
}

UBaseType_t uxQueueMessagesWaiting(QueueHandle_t queue) { return queue->count; }
UBaseType_t uxQueueSpacesAvailable(QueueHandle_t queue) { return queue->room - queue->count; }
