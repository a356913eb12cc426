#include <stdio.h>
#include "driver/gpio.h"
void app_main(void){ gpio_config_t io = {}; io.pin_bit_mask = 1ULL<<2; io.mode = GPIO_MODE_OUTPUT; gpio_config(&io); gpio_set_level(2, 1); }
