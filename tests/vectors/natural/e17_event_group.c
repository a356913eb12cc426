#include "freertos/FreeRTOS.h"
#include "freertos/event_groups.h"
#include "esp_event.h"

static EventGroupHandle_t events;

void app_main(void)
{
    events = xEventGroupCreate();
    xEventGroupSetBits(events, BIT0);
    xEventGroupWaitBits(events, BIT0, pdTRUE, pdFALSE, portMAX_DELAY);
}
