/* esp_crt_bundle.h: esp_crt_bundle_attach for esp_http_client.h. */
#pragma once
#include <esp_http_client.h>
