/* ioctl/esp_gpio_ioctl.h: gpio.h under Espressif's name. */
#pragma once
#include <gpio.h>
