/* esp_rmaker_standard_types.h: the names that RainMaker's phone applications know. */
#pragma once
#include <esp_rmaker_core.h>
#define ESP_RMAKER_DEF_POWER_NAME "Power"
#define ESP_RMAKER_DEF_BRIGHTNESS_NAME "Brightness"
#define ESP_RMAKER_DEF_TEMPERATURE_NAME "Temperature"
#define ESP_RMAKER_DEF_NAME_PARAM "Name"
#define ESP_RMAKER_PARAM_NAME "esp.param.name"
#define ESP_RMAKER_PARAM_POWER "esp.param.power"
#define ESP_RMAKER_PARAM_BRIGHTNESS "esp.param.brightness"
#define ESP_RMAKER_PARAM_TEMPERATURE "esp.param.temperature"
#define ESP_RMAKER_DEVICE_SWITCH "esp.device.switch"
#define ESP_RMAKER_DEVICE_LIGHTBULB "esp.device.lightbulb"
#define ESP_RMAKER_DEVICE_FAN "esp.device.fan"
#define ESP_RMAKER_DEVICE_TEMP_SENSOR "esp.device.temperature-sensor"
#define ESP_RMAKER_UI_TOGGLE "esp.ui.toggle"
#define ESP_RMAKER_UI_SLIDER "esp.ui.slider"
#define ESP_RMAKER_UI_TEXT "esp.ui.text"
static inline esp_rmaker_param_t *esp_rmaker_power_param_create(const char *name, bool value) {
    esp_rmaker_param_t *made = esp_rmaker_param_create(name, ESP_RMAKER_PARAM_POWER, esp_rmaker_bool(value), PROP_FLAG_READ | PROP_FLAG_WRITE);
    if (made) {
        esp_rmaker_param_add_ui_type(made, ESP_RMAKER_UI_TOGGLE);
    }
    return made;
}
static inline esp_rmaker_param_t *esp_rmaker_temperature_param_create(const char *name, float value) {
    return esp_rmaker_param_create(name, ESP_RMAKER_PARAM_TEMPERATURE, esp_rmaker_float(value), PROP_FLAG_READ);
}
/* A device of this type with the parameter "Power", which is its primary one. */
static inline esp_rmaker_device_t *esp_rmaker_switch_device_create(const char *name, void *priv_data, bool power) {
    esp_rmaker_device_t *made = esp_rmaker_device_create(name, ESP_RMAKER_DEVICE_SWITCH, priv_data);
    esp_rmaker_param_t *param = made ? esp_rmaker_power_param_create(ESP_RMAKER_DEF_POWER_NAME, power) : 0;
    if (param) {
        esp_rmaker_device_add_param(made, param);
        esp_rmaker_device_assign_primary_param(made, param);
    }
    return made;
}
