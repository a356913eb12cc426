#include <stdio.h>
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"

static void hello(void *p)
{
    for (;;) {
        printf("hello from %s\n", (char *)p);
        vTaskDelay(1000 / portTICK_PERIOD_MS);
    }
}

void app_main(void)
{
    xTaskCreate(hello, "one", 2048, "one", 5, NULL);
    xTaskCreate(hello, "two", 2048, "two", 5, NULL);
}
