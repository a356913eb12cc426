/* wifi_provisioning/scheme_ble.h: over Bluetooth LE; only BLE is in the stock firmware. */
#pragma once
#include <wifi_provisioning/manager.h>
static const wifi_prov_scheme_t wifi_prov_scheme_ble __attribute__((unused)) = {4};
#define WIFI_PROV_SCHEME_BLE_EVENT_HANDLER_FREE_BTDM 2
#define WIFI_PROV_SCHEME_BLE_EVENT_HANDLER_FREE_BT 3
#define WIFI_PROV_SCHEME_BLE_EVENT_HANDLER_FREE_BLE 4
