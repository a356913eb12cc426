#include <esp_rmaker_core.h>
#include <esp_rmaker_standard_devices.h>
#include <esp_rmaker_standard_params.h>
#include <esp_rmaker_standard_types.h>
#include <lvgl.h>
#include <wifi_provisioning/manager.h>
#include <wifi_provisioning/scheme_ble.h>
#include <wifi_provisioning/scheme_softap.h>
static void clicked(lv_event_t *event) { lv_label_set_text((lv_obj_t *)lv_event_get_user_data(event), "hello"); }
static esp_err_t wrote(const esp_rmaker_device_t *device, const esp_rmaker_param_t *param,
                       const esp_rmaker_param_val_t val, void *data, esp_rmaker_write_ctx_t *ctx) {
    (void)device;
    (void)data;
    return ctx ? esp_rmaker_param_update_and_report(param, val) : ESP_FAIL;
}
void on_init(void) {
    lv_init();
    lvgl_lock();
    lv_obj_t *button = lv_button_create(lv_screen_active());
    lv_obj_t *label = lv_label_create(button);
    lv_obj_set_style_bg_color(button, lv_color_hex(0xff8001), LV_PART_MAIN);
    lv_obj_align_to(label, button, LV_ALIGN_CENTER, -3, 4);
    lv_obj_add_event_cb(button, clicked, LV_EVENT_CLICKED, label);
    lvgl_unlock();
    wifi_prov_mgr_config_t config = {0};
    config.scheme = wifi_prov_scheme_ble;
    config.scheme_event_handler = WIFI_PROV_SCHEME_BLE_EVENT_HANDLER_FREE_BTDM;
    wifi_prov_mgr_init(config);
    config.scheme = wifi_prov_scheme_softap;
    wifi_prov_mgr_init(config);
    wifi_prov_mgr_start_provisioning(WIFI_PROV_SECURITY_1, "abcd1234", "PROV_1", 0);
    esp_rmaker_node_t *node = esp_rmaker_node_init(0, "Node", "Switch");
    esp_rmaker_device_t *lamp = esp_rmaker_switch_device_create("Lamp", 0, true);
    esp_rmaker_device_add_cb(lamp, wrote, 0);
    esp_rmaker_node_add_device(node, lamp);
    esp_rmaker_start();
}
