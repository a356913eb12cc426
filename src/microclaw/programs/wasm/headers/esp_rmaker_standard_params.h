/* esp_rmaker_standard_params.h: its parameters are in esp_rmaker_standard_types.h here. */
#pragma once
#include <esp_rmaker_standard_types.h>
