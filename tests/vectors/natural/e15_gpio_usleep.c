#include <unistd.h>
#include "driver/gpio.h"

void app_main(void)
{
    gpio_set_direction(GPIO_NUM_4, GPIO_MODE_INPUT);
    gpio_set_pull_mode(GPIO_NUM_4, GPIO_PULLUP_ONLY);
    gpio_set_direction(GPIO_NUM_2, GPIO_MODE_OUTPUT);
    while (1) {
        gpio_set_level(GPIO_NUM_2, !gpio_get_level(GPIO_NUM_4));
        usleep(20000);
    }
}
