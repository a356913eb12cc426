#define LED 2

void app_main(void)
{
    gpio_set_direction(LED, GPIO_MODE_OUTPUT);
    while (1) {
        gpio_set_level(LED, 1);
        vTaskDelay(500 / portTICK_PERIOD_MS);
        gpio_set_level(LED, 0);
        vTaskDelay(500 / portTICK_PERIOD_MS);
    }
}
