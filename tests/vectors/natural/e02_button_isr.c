#include "driver/gpio.h"
#include "freertos/FreeRTOS.h"
#include "freertos/queue.h"
#include "esp_log.h"

static const char *TAG = "button";
static QueueHandle_t queue;

static void IRAM_ATTR on_edge(void *arg)
{
    uint32_t pin = (uint32_t)arg;
    xQueueSendFromISR(queue, &pin, NULL);
}

void app_main(void)
{
    gpio_config_t io = {
        .pin_bit_mask = 1ULL << 4,
        .mode = GPIO_MODE_INPUT,
        .pull_up_en = GPIO_PULLUP_ENABLE,
        .intr_type = GPIO_INTR_NEGEDGE,
    };
    gpio_config(&io);
    queue = xQueueCreate(10, sizeof(uint32_t));
    gpio_install_isr_service(0);
    gpio_isr_handler_add(4, on_edge, (void *)4);
    uint32_t pin;
    while (xQueueReceive(queue, &pin, portMAX_DELAY)) {
        ESP_LOGI(TAG, "pressed %lu", pin);
    }
}
