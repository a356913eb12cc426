#include "led_strip.h"

void app_main(void)
{
    led_strip_handle_t strip;
    led_strip_config_t config = {.strip_gpio_num = 48, .max_leds = 1};
    led_strip_rmt_config_t rmt = {.resolution_hz = 10 * 1000 * 1000};
    led_strip_new_rmt_device(&config, &rmt, &strip);
    led_strip_set_pixel(strip, 0, 16, 0, 0);
    led_strip_refresh(strip);
}
