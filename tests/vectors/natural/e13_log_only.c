#include <unistd.h>
#include "esp_log.h"

static const char *TAG = "app";

void app_main(void)
{
    int count = 0;
    while (1) {
        ESP_LOGI(TAG, "count %d", count++);
        sleep(1);
    }
}
