/* ioctl/esp_i2c_ioctl.h: i2c.h under Espressif's name. */
#pragma once
#include <i2c.h>
