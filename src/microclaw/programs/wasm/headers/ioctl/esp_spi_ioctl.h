/* ioctl/esp_spi_ioctl.h: spi.h under Espressif's name. */
#pragma once
#include <spi.h>
