/* RainMaker of esp_rmaker_core.h on the firmware's one native of many calls (docs/protocols/wasmachine.md). */
#include "glue.h"
#include <esp_rmaker_core.h>
#include <string.h>

int wasm_rmaker_run(int mode);
int wasm_rmaker_call_native_func(int32_t id, uint32_t argc, uint32_t *argv);

enum { NODE_INIT, NODE_DEINIT, NODE_TEXT, NODE_DEVICE = 4, DEVICE_CREATE = 8, DEVICE_DELETE, DEVICE_PARAM = 12, FIND_PARAM, CALLBACKS,
       SERVICE_CREATE = 16, PARAM_CREATE = 18, PARAM_DELETE, PARAM_UI, PARAM_TEXT, PARAM_UPDATE, PARAM_VALUE, BOUNDS, ALERT };
enum { REPORT = 1, TIMEZONE = 3, SCHEDULES, SCENES, START, STOP }; /* wasm_rmaker_run */
enum { MAX_DEVICES = 8, TEXT_BYTES = 256 };

#define AT(pointer) ((uint32_t)(uintptr_t)(pointer))
#define CALL(id, ...) call(id, sizeof((uint32_t[]){__VA_ARGS__}) / 4, (uint32_t[]){__VA_ARGS__})

static struct {
    uint32_t device; /* 0: free */
    esp_rmaker_device_write_cb_t write;
    esp_rmaker_device_read_cb_t read;
} callbacks[MAX_DEVICES];

static int call(int id, uint32_t argc, uint32_t *argv) {
    return wasm_rmaker_call_native_func(id, argc, argv);
}

/* As the native takes it: a float as the whole number before its point. */
static uint32_t number(esp_rmaker_param_val_t value) {
    switch (value.type) {
    case RMAKER_VAL_TYPE_BOOLEAN:
        return value.val.b;
    case RMAKER_VAL_TYPE_INTEGER:
        return (uint32_t)value.val.i;
    case RMAKER_VAL_TYPE_FLOAT:
        return value.val.f > 0 ? (uint32_t)value.val.f : 0;
    default:
        return AT(value.val.s);
    }
}

/* The firmware's call when somebody wrote: fetch the value, then let the program's function have it. */
static int32_t on_write(uint32_t device, uint32_t param, uint32_t value, uint32_t write, uint32_t data, uint32_t source) {
    int32_t type = 0;
    union {
        char text[TEXT_BYTES];
        int32_t i;
        float f;
        bool b;
    } got;
    memset(&got, 0, sizeof got);
    uint32_t argv[] = {0, value, AT(&type), AT(&got), TEXT_BYTES - 1};
    call(PARAM_VALUE, 5, argv);
    esp_rmaker_param_val_t made = {(esp_rmaker_val_type_t)type, {0}};
    switch (made.type) {
    case RMAKER_VAL_TYPE_BOOLEAN:
        made.val.b = got.b;
        break;
    case RMAKER_VAL_TYPE_INTEGER:
        made.val.i = got.i;
        break;
    case RMAKER_VAL_TYPE_FLOAT:
        made.val.f = got.f;
        break;
    default:
        made.val.s = got.text;
    }
    esp_rmaker_write_ctx_t context = {(esp_rmaker_req_src_t)source};
    esp_rmaker_device_write_cb_t task = (esp_rmaker_device_write_cb_t)(uintptr_t)write;
    return task ? task((const esp_rmaker_device_t *)(uintptr_t)device, (const esp_rmaker_param_t *)(uintptr_t)param, made,
                       (void *)(uintptr_t)data, source < ESP_RMAKER_REQ_SRC_MAX ? &context : 0)
                : ESP_OK;
}

/* The firmware gives no function back here: it is looked up by its device. */
static int32_t on_read(uint32_t device, uint32_t param, uint32_t data, uint32_t source) {
    esp_rmaker_read_ctx_t context = {(esp_rmaker_req_src_t)source};
    for (int i = 0; i < MAX_DEVICES; i++) {
        if (callbacks[i].device == device && callbacks[i].read) {
            return callbacks[i].read((const esp_rmaker_device_t *)(uintptr_t)device, (const esp_rmaker_param_t *)(uintptr_t)param,
                                     (void *)(uintptr_t)data, &context);
        }
    }
    return ESP_OK;
}

static uint32_t text_of(const char *text) {
    return AT(text ? text : "");
}

esp_rmaker_node_t *esp_rmaker_node_init(const esp_rmaker_config_t *config, const char *name, const char *type) {
    esp_rmaker_config_t none = {false};
    return (esp_rmaker_node_t *)(uintptr_t)CALL(NODE_INIT, AT(config ? config : &none), text_of(name), text_of(type));
}

esp_err_t esp_rmaker_node_deinit(const esp_rmaker_node_t *node) { return CALL(NODE_DEINIT, AT(node)); }

esp_err_t esp_rmaker_node_add_device(const esp_rmaker_node_t *node, const esp_rmaker_device_t *device) {
    return CALL(NODE_DEVICE, 1, AT(node), AT(device));
}

esp_err_t esp_rmaker_node_remove_device(const esp_rmaker_node_t *node, const esp_rmaker_device_t *device) {
    return CALL(NODE_DEVICE, 0, AT(node), AT(device));
}

esp_err_t esp_rmaker_node_add_fw_version(const esp_rmaker_node_t *node, const char *version) {
    return CALL(NODE_TEXT, 1, AT(node), text_of(version), 0);
}

esp_err_t esp_rmaker_node_add_model(const esp_rmaker_node_t *node, const char *model) {
    return CALL(NODE_TEXT, 2, AT(node), text_of(model), 0);
}

esp_rmaker_device_t *esp_rmaker_device_create(const char *name, const char *type, void *priv_data) {
    return (esp_rmaker_device_t *)(uintptr_t)CALL(DEVICE_CREATE, text_of(name), text_of(type), AT(priv_data));
}

esp_rmaker_device_t *esp_rmaker_service_create(const char *name, const char *type, void *priv_data) {
    return (esp_rmaker_device_t *)(uintptr_t)CALL(SERVICE_CREATE, text_of(name), text_of(type), AT(priv_data));
}

esp_err_t esp_rmaker_device_delete(const esp_rmaker_device_t *device) {
    for (int i = 0; i < MAX_DEVICES; i++) {
        if (callbacks[i].device == AT(device)) {
            callbacks[i].device = 0;
        }
    }
    return CALL(DEVICE_DELETE, AT(device));
}

esp_err_t esp_rmaker_device_add_cb(const esp_rmaker_device_t *device, esp_rmaker_device_write_cb_t write_cb, esp_rmaker_device_read_cb_t read_cb) {
    int place = 0;
    while (place < MAX_DEVICES && callbacks[place].device && callbacks[place].device != AT(device)) {
        place++;
    }
    if (!device || place == MAX_DEVICES) {
        return ESP_ERR_NO_MEM;
    }
    callbacks[place].device = AT(device);
    callbacks[place].write = write_cb;
    callbacks[place].read = read_cb;
    uint32_t read = read_cb ? AT(on_read) : 0;
    return CALL(CALLBACKS, AT(device), AT(on_write), AT(write_cb), read);
}

esp_err_t esp_rmaker_device_add_param(const esp_rmaker_device_t *device, const esp_rmaker_param_t *param) {
    return CALL(DEVICE_PARAM, 5, AT(device), AT(param));
}

esp_err_t esp_rmaker_device_assign_primary_param(const esp_rmaker_device_t *device, const esp_rmaker_param_t *param) {
    return CALL(DEVICE_PARAM, 6, AT(device), AT(param));
}

esp_rmaker_param_t *esp_rmaker_device_get_param_by_type(const esp_rmaker_device_t *device, const char *type) {
    return (esp_rmaker_param_t *)(uintptr_t)CALL(FIND_PARAM, 7, AT(device), text_of(type));
}

esp_rmaker_param_t *esp_rmaker_device_get_param_by_name(const esp_rmaker_device_t *device, const char *name) {
    return (esp_rmaker_param_t *)(uintptr_t)CALL(FIND_PARAM, 8, AT(device), text_of(name));
}

esp_rmaker_param_t *esp_rmaker_param_create(const char *name, const char *type, esp_rmaker_param_val_t val, uint8_t properties) {
    return (esp_rmaker_param_t *)(uintptr_t)CALL(PARAM_CREATE, text_of(name), text_of(type), val.type, number(val), properties);
}

esp_err_t esp_rmaker_param_delete(const esp_rmaker_param_t *param) { return CALL(PARAM_DELETE, AT(param)); }

esp_err_t esp_rmaker_param_add_ui_type(const esp_rmaker_param_t *param, const char *ui_type) {
    return CALL(PARAM_UI, 0, AT(param), text_of(ui_type));
}

esp_err_t esp_rmaker_param_add_bounds(const esp_rmaker_param_t *param, esp_rmaker_param_val_t min, esp_rmaker_param_val_t max, esp_rmaker_param_val_t step) {
    return CALL(BOUNDS, AT(param), min.type, number(min), max.type, number(max), step.type, number(step));
}

esp_err_t esp_rmaker_param_update(const esp_rmaker_param_t *param, esp_rmaker_param_val_t val) {
    return CALL(PARAM_UPDATE, 4, AT(param), val.type, number(val));
}

esp_err_t esp_rmaker_param_update_and_report(const esp_rmaker_param_t *param, esp_rmaker_param_val_t val) {
    return CALL(PARAM_UPDATE, 5, AT(param), val.type, number(val));
}

esp_err_t esp_rmaker_param_update_and_notify(const esp_rmaker_param_t *param, esp_rmaker_param_val_t val) {
    return CALL(PARAM_UPDATE, 6, AT(param), val.type, number(val));
}

char *esp_rmaker_param_get_name(const esp_rmaker_param_t *param) {
    static char name[64];
    memset(name, 0, sizeof name);
    CALL(PARAM_TEXT, 2, AT(param), AT(name), sizeof name - 1);
    return name;
}

esp_err_t esp_rmaker_raise_alert(const char *text) { return CALL(ALERT, text_of(text)); }

esp_err_t esp_rmaker_start(void) { return wasm_rmaker_run(START); }
esp_err_t esp_rmaker_stop(void) { return wasm_rmaker_run(STOP); }
esp_err_t esp_rmaker_report_node_details(void) { return wasm_rmaker_run(REPORT); }
esp_err_t esp_rmaker_timezone_service_enable(void) { return wasm_rmaker_run(TIMEZONE); }
esp_err_t esp_rmaker_schedule_enable(void) { return wasm_rmaker_run(SCHEDULES); }
esp_err_t esp_rmaker_scenes_enable(void) { return wasm_rmaker_run(SCENES); }
