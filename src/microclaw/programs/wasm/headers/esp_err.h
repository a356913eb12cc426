/* esp_err.h: ESP-IDF's codes, as the firmware's MQTT and HTTP clients answer with them. */
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#ifdef __cplusplus
extern "C" {
#endif
typedef int esp_err_t;
#define ESP_OK 0
#define ESP_FAIL -1
#define ESP_ERR_NO_MEM 0x101
#define ESP_ERR_INVALID_ARG 0x102
#define ESP_ERR_INVALID_STATE 0x103
#define ESP_ERR_INVALID_SIZE 0x104
#define ESP_ERR_NOT_FOUND 0x105
#define ESP_ERR_NOT_SUPPORTED 0x106
#define ESP_ERR_TIMEOUT 0x107
const char *esp_err_to_name(esp_err_t code); /* "ESP_FAIL" ...; "UNKNOWN ERROR" for others */
#define ESP_ERROR_CHECK(call)                                                                      \
    do {                                                                                           \
        esp_err_t esp_error_ = (call);                                                             \
        if (esp_error_ != ESP_OK) {                                                                \
            printf("ESP_ERROR_CHECK failed: %s in line %d\n", esp_err_to_name(esp_error_), __LINE__); \
            abort();                                                                               \
        }                                                                                          \
    } while (0)
#ifdef __cplusplus
}
#endif
