/* ioctl/esp_ledc_ioctl.h: ledc.h under Espressif's name. */
#pragma once
#include <ledc.h>
