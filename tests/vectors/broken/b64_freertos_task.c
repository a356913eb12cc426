#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "esp_log.h"
#include "driver/gpio.h"
static const char *TAG="x";
void task(void *p){ while(1){ gpio_set_level(GPIO_NUM_2,1); vTaskDelay(pdMS_TO_TICKS(100)); ESP_LOGI(TAG,"hi"); } }
void app_main(void){ xTaskCreate(task,"t",2048,NULL,5,NULL); }
