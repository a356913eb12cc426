/* esp_rmaker_standard_devices.h: its devices are in esp_rmaker_standard_types.h here. */
#pragma once
#include <esp_rmaker_standard_types.h>
