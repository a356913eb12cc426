/* esp_log.h: ESP-IDF's log lines by printf, "I (1234) TAG: text", as its console shows them without colours. */
#pragma once
#include <stdio.h>
#ifdef __cplusplus
extern "C" {
#endif
typedef enum { ESP_LOG_NONE, ESP_LOG_ERROR, ESP_LOG_WARN, ESP_LOG_INFO, ESP_LOG_DEBUG, ESP_LOG_VERBOSE } esp_log_level_t;
__attribute__((import_module("env"), import_name("wasm_get_sys_tick_ms"))) unsigned esp_log_timestamp(void); /* ms */
static inline void esp_log_level_set(const char *tag, esp_log_level_t level) { /* levels are chosen by LOG_LOCAL_LEVEL */
    (void)tag;
    (void)level;
}
#ifdef __cplusplus
}
#endif
#ifndef LOG_LOCAL_LEVEL /* ESP_LOGD and ESP_LOGV print with #define LOG_LOCAL_LEVEL ESP_LOG_VERBOSE before this file */
#define LOG_LOCAL_LEVEL ESP_LOG_INFO
#endif
#define ESP_LOG_LEVEL_LOCAL(level, tag, format, ...)                                                          \
    do {                                                                                                      \
        if ((level) <= LOG_LOCAL_LEVEL) {                                                                     \
            printf("%c (%u) %s: " format "\n", "NEWIDV"[level], esp_log_timestamp(), tag, ##__VA_ARGS__);     \
        }                                                                                                     \
    } while (0)
#define ESP_LOGE(tag, format, ...) ESP_LOG_LEVEL_LOCAL(ESP_LOG_ERROR, tag, format, ##__VA_ARGS__)
#define ESP_LOGW(tag, format, ...) ESP_LOG_LEVEL_LOCAL(ESP_LOG_WARN, tag, format, ##__VA_ARGS__)
#define ESP_LOGI(tag, format, ...) ESP_LOG_LEVEL_LOCAL(ESP_LOG_INFO, tag, format, ##__VA_ARGS__)
#define ESP_LOGD(tag, format, ...) ESP_LOG_LEVEL_LOCAL(ESP_LOG_DEBUG, tag, format, ##__VA_ARGS__)
#define ESP_LOGV(tag, format, ...) ESP_LOG_LEVEL_LOCAL(ESP_LOG_VERBOSE, tag, format, ##__VA_ARGS__)
