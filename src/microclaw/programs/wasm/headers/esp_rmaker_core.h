/* esp_rmaker_core.h: the firmware's ESP RainMaker, with Espressif's names, as far as its native has them. Only firmware that was
 * built with RainMaker has it (group rainmaker): the check says so. The node has to be claimed, and needs Espressif's cloud.
 * Numbers with a fraction lose it on the way to the firmware (its native passes whole, positive numbers on).
 * Write callbacks run in another task, beside the program. At most 8 devices have them. Texts of a write are cut at 255. */
#pragma once
#include <esp_err.h>
#include <stdbool.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
typedef struct esp_rmaker_node esp_rmaker_node_t;
typedef struct esp_rmaker_device esp_rmaker_device_t;
typedef struct esp_rmaker_param esp_rmaker_param_t;
typedef struct {
    bool enable_time_sync;
} esp_rmaker_config_t;
typedef enum {
    RMAKER_VAL_TYPE_INVALID = 0, RMAKER_VAL_TYPE_BOOLEAN, RMAKER_VAL_TYPE_INTEGER, RMAKER_VAL_TYPE_FLOAT, RMAKER_VAL_TYPE_STRING,
    RMAKER_VAL_TYPE_OBJECT, RMAKER_VAL_TYPE_ARRAY
} esp_rmaker_val_type_t;
typedef struct {
    esp_rmaker_val_type_t type;
    union {
        bool b;
        int i;
        float f;
        char *s;
    } val;
} esp_rmaker_param_val_t;
enum { PROP_FLAG_WRITE = 1, PROP_FLAG_READ = 2, PROP_FLAG_TIME_SERIES = 4, PROP_FLAG_PERSIST = 8, PROP_FLAG_SIMPLE_TIME_SERIES = 16 };
typedef enum {
    ESP_RMAKER_REQ_SRC_INIT, ESP_RMAKER_REQ_SRC_CLOUD, ESP_RMAKER_REQ_SRC_SCHEDULE, ESP_RMAKER_REQ_SRC_SCENE_ACTIVATE,
    ESP_RMAKER_REQ_SRC_SCENE_DEACTIVATE, ESP_RMAKER_REQ_SRC_LOCAL, ESP_RMAKER_REQ_SRC_MAX
} esp_rmaker_req_src_t;
typedef struct {
    esp_rmaker_req_src_t src;
} esp_rmaker_write_ctx_t;
typedef esp_rmaker_write_ctx_t esp_rmaker_read_ctx_t;
typedef esp_err_t (*esp_rmaker_device_write_cb_t)(const esp_rmaker_device_t *device, const esp_rmaker_param_t *param,
                                                  const esp_rmaker_param_val_t val, void *priv_data, esp_rmaker_write_ctx_t *ctx);
typedef esp_err_t (*esp_rmaker_device_read_cb_t)(const esp_rmaker_device_t *device, const esp_rmaker_param_t *param, void *priv_data,
                                                 esp_rmaker_read_ctx_t *ctx);
static inline esp_rmaker_param_val_t esp_rmaker_bool(bool value) {
    esp_rmaker_param_val_t made = {RMAKER_VAL_TYPE_BOOLEAN, {0}};
    made.val.b = value;
    return made;
}
static inline esp_rmaker_param_val_t esp_rmaker_int(int value) {
    esp_rmaker_param_val_t made = {RMAKER_VAL_TYPE_INTEGER, {0}};
    made.val.i = value;
    return made;
}
static inline esp_rmaker_param_val_t esp_rmaker_float(float value) {
    esp_rmaker_param_val_t made = {RMAKER_VAL_TYPE_FLOAT, {0}};
    made.val.f = value;
    return made;
}
static inline esp_rmaker_param_val_t esp_rmaker_str(const char *value) {
    esp_rmaker_param_val_t made = {RMAKER_VAL_TYPE_STRING, {0}};
    made.val.s = (char *)(uintptr_t)value;
    return made;
}
esp_rmaker_node_t *esp_rmaker_node_init(const esp_rmaker_config_t *config, const char *name, const char *type); /* NULL: refused */
esp_err_t esp_rmaker_node_deinit(const esp_rmaker_node_t *node);
esp_err_t esp_rmaker_node_add_device(const esp_rmaker_node_t *node, const esp_rmaker_device_t *device);
esp_err_t esp_rmaker_node_remove_device(const esp_rmaker_node_t *node, const esp_rmaker_device_t *device);
esp_err_t esp_rmaker_node_add_fw_version(const esp_rmaker_node_t *node, const char *version);
esp_err_t esp_rmaker_node_add_model(const esp_rmaker_node_t *node, const char *model);
esp_rmaker_device_t *esp_rmaker_device_create(const char *name, const char *type, void *priv_data);
esp_rmaker_device_t *esp_rmaker_service_create(const char *name, const char *type, void *priv_data);
esp_err_t esp_rmaker_device_delete(const esp_rmaker_device_t *device);
esp_err_t esp_rmaker_device_add_cb(const esp_rmaker_device_t *device, esp_rmaker_device_write_cb_t write_cb, esp_rmaker_device_read_cb_t read_cb);
esp_err_t esp_rmaker_device_add_param(const esp_rmaker_device_t *device, const esp_rmaker_param_t *param);
esp_err_t esp_rmaker_device_assign_primary_param(const esp_rmaker_device_t *device, const esp_rmaker_param_t *param);
esp_rmaker_param_t *esp_rmaker_device_get_param_by_name(const esp_rmaker_device_t *device, const char *name);
esp_rmaker_param_t *esp_rmaker_device_get_param_by_type(const esp_rmaker_device_t *device, const char *type);
esp_rmaker_param_t *esp_rmaker_param_create(const char *name, const char *type, esp_rmaker_param_val_t val, uint8_t properties);
esp_err_t esp_rmaker_param_delete(const esp_rmaker_param_t *param);
esp_err_t esp_rmaker_param_add_ui_type(const esp_rmaker_param_t *param, const char *ui_type);
esp_err_t esp_rmaker_param_add_bounds(const esp_rmaker_param_t *param, esp_rmaker_param_val_t min, esp_rmaker_param_val_t max, esp_rmaker_param_val_t step);
esp_err_t esp_rmaker_param_update(const esp_rmaker_param_t *param, esp_rmaker_param_val_t val);
esp_err_t esp_rmaker_param_update_and_report(const esp_rmaker_param_t *param, esp_rmaker_param_val_t val);
esp_err_t esp_rmaker_param_update_and_notify(const esp_rmaker_param_t *param, esp_rmaker_param_val_t val);
/* The parameter's name in a buffer of its own, which the next call writes over; "" where it has none. */
char *esp_rmaker_param_get_name(const esp_rmaker_param_t *param);
esp_err_t esp_rmaker_raise_alert(const char *text);
esp_err_t esp_rmaker_start(void);
esp_err_t esp_rmaker_stop(void);
esp_err_t esp_rmaker_report_node_details(void);
esp_err_t esp_rmaker_timezone_service_enable(void);
esp_err_t esp_rmaker_schedule_enable(void);
esp_err_t esp_rmaker_scenes_enable(void);
#ifdef __cplusplus
}
#endif
