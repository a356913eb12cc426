/* esp_event.h: the types of ESP-IDF's event handlers, for mqtt_client.h. Event loops of a program's own are not there. */
#pragma once
#include <esp_err.h>
#ifdef __cplusplus
extern "C" {
#endif
typedef const char *esp_event_base_t;
typedef void (*esp_event_handler_t)(void *arg, esp_event_base_t base, int32_t id, void *data);
#define ESP_EVENT_ANY_ID -1
#ifdef __cplusplus
}
#endif
