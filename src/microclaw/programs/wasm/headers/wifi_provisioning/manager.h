/* wifi_provisioning/manager.h: the firmware's Wi-Fi provisioning, with ESP-IDF's names (v5). Only firmware that was built with it has
 * it (group wifi_prov): the check says so. A program that runs was mostly installed over Wi-Fi already, so that it seldom
 * needs this. wifi_prov_mgr_wait blocks the program. The event handler runs in another task, and its data are the
 * firmware's own: do not read them. There are no endpoints: their buffers cannot be read either.
 * Call wifi_prov_mgr_deinit before another init. The firmware's console shows the password that came. */
#pragma once
#include <esp_err.h>
#include <stdbool.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
int wasm_wifi_prov_mgr_init(uint32_t scheme, uint32_t argc, uint32_t *argv);
int wasm_wifi_prov_mgr_deinit(void);
int wasm_wifi_prov_mgr_is_provisioned(bool *provisioned);
int wasm_wifi_prov_mgr_start_provisioning(uint32_t security, uint32_t pop, const char *service_name, uint32_t service_key);
int wasm_wifi_prov_mgr_stop_provisioning(void);
int wasm_wifi_prov_mgr_wait(void);
int wasm_wifi_prov_mgr_disable_auto_stop(uint32_t cleanup_delay);
int wasm_wifi_prov_mgr_get_wifi_state(uint32_t state);
int wasm_wifi_prov_mgr_get_wifi_disconnect_reason(uint32_t reason);
int wasm_wifi_prov_mgr_reset_provisioning(void);
int wasm_wifi_prov_mgr_reset_sm_state_on_failure(void);

typedef enum {
    WIFI_PROV_INIT, WIFI_PROV_START, WIFI_PROV_CRED_RECV, WIFI_PROV_CRED_FAIL, WIFI_PROV_CRED_SUCCESS, WIFI_PROV_END, WIFI_PROV_DEINIT
} wifi_prov_cb_event_t;
typedef void (*wifi_prov_cb_func_t)(void *user_data, wifi_prov_cb_event_t event, void *event_data);
typedef struct {
    wifi_prov_cb_func_t event_cb;
    void *user_data;
} wifi_prov_event_handler_t;
#define WIFI_PROV_EVENT_HANDLER_NONE {0, 0}
typedef enum { WIFI_PROV_SECURITY_0, WIFI_PROV_SECURITY_1, WIFI_PROV_SECURITY_2 } wifi_prov_security_t;
typedef enum { WIFI_PROV_STA_CONNECTING, WIFI_PROV_STA_CONNECTED, WIFI_PROV_STA_DISCONNECTED, WIFI_PROV_STA_CONN_ATTEMPT_FAILED } wifi_prov_sta_state_t;
typedef enum { WIFI_PROV_STA_AUTH_ERROR, WIFI_PROV_STA_AP_NOT_FOUND } wifi_prov_sta_fail_reason_t;
typedef struct {
    uint32_t number; /* the firmware's */
} wifi_prov_scheme_t;
typedef struct {
    wifi_prov_scheme_t scheme; /* wifi_prov_scheme_softap, wifi_prov_scheme_ble */
    uint32_t scheme_event_handler; /* WIFI_PROV_SCHEME_BLE_EVENT_HANDLER_FREE_BTDM ...: what BLE frees at the end */
    wifi_prov_event_handler_t app_event_handler;
} wifi_prov_mgr_config_t;
#define __WIFI_PROV_AT(pointer) ((uint32_t)(uintptr_t)(pointer))

static inline esp_err_t wifi_prov_mgr_init(wifi_prov_mgr_config_t config) {
    uint32_t argv[] = {__WIFI_PROV_AT(config.app_event_handler.event_cb), __WIFI_PROV_AT(config.app_event_handler.user_data)};
    uint32_t ble = config.scheme_event_handler ? config.scheme_event_handler : config.scheme.number;
    return wasm_wifi_prov_mgr_init(config.scheme.number < 2 ? config.scheme.number : ble, 2, argv);
}
static inline void wifi_prov_mgr_deinit(void) { wasm_wifi_prov_mgr_deinit(); }
static inline esp_err_t wifi_prov_mgr_is_provisioned(bool *provisioned) { return wasm_wifi_prov_mgr_is_provisioned(provisioned); }
/* With security 1 `pop` is the text of the proof of possession, or NULL. */
static inline esp_err_t wifi_prov_mgr_start_provisioning(wifi_prov_security_t security, const void *pop, const char *service_name, const char *service_key) {
    return wasm_wifi_prov_mgr_start_provisioning(security, __WIFI_PROV_AT(pop), service_name, __WIFI_PROV_AT(service_key));
}
static inline void wifi_prov_mgr_stop_provisioning(void) { wasm_wifi_prov_mgr_stop_provisioning(); }
static inline void wifi_prov_mgr_wait(void) { wasm_wifi_prov_mgr_wait(); }
static inline esp_err_t wifi_prov_mgr_disable_auto_stop(uint32_t cleanup_delay_ms) { return wasm_wifi_prov_mgr_disable_auto_stop(cleanup_delay_ms); }
static inline esp_err_t wifi_prov_mgr_get_wifi_state(wifi_prov_sta_state_t *state) { return wasm_wifi_prov_mgr_get_wifi_state(__WIFI_PROV_AT(state)); }
static inline esp_err_t wifi_prov_mgr_get_wifi_disconnect_reason(wifi_prov_sta_fail_reason_t *reason) {
    return wasm_wifi_prov_mgr_get_wifi_disconnect_reason(__WIFI_PROV_AT(reason));
}
static inline esp_err_t wifi_prov_mgr_reset_provisioning(void) { return wasm_wifi_prov_mgr_reset_provisioning(); }
static inline esp_err_t wifi_prov_mgr_reset_sm_state_on_failure(void) { return wasm_wifi_prov_mgr_reset_sm_state_on_failure(); }
#ifdef __cplusplus
}
#endif
