/* arduino/log.h: the core's log lines. Errors, warnings and infos are printed as those of esp_log.h are; details with
 * #define CORE_DEBUG_LEVEL 5 have no way here, as Arduino.h is read before the sketch. */
#pragma once
#define ARDUHAL_LOG_LEVEL_NONE 0
#define ARDUHAL_LOG_LEVEL_ERROR 1
#define ARDUHAL_LOG_LEVEL_WARN 2
#define ARDUHAL_LOG_LEVEL_INFO 3
#define ARDUHAL_LOG_LEVEL_DEBUG 4
#define ARDUHAL_LOG_LEVEL_VERBOSE 5
#define ARDUHAL_LOG_LEVEL ARDUHAL_LOG_LEVEL_INFO
#define log_printf printf
#define MICROCLAW_LOG_(letter, format, ...) \
    printf("[" letter "][%s:%d] %s(): " format "\n", __FILE_NAME__, __LINE__, __func__, ##__VA_ARGS__)
#define MICROCLAW_NO_LOG_(format, ...)                                                                      \
    do {                                                                                                    \
        if (false) {                                                                                        \
            printf(format, ##__VA_ARGS__);                                                                  \
        }                                                                                                   \
    } while (0)
#define log_n(format, ...) MICROCLAW_LOG_("E", format, ##__VA_ARGS__)
#define log_e(format, ...) MICROCLAW_LOG_("E", format, ##__VA_ARGS__)
#define log_w(format, ...) MICROCLAW_LOG_("W", format, ##__VA_ARGS__)
#define log_i(format, ...) MICROCLAW_LOG_("I", format, ##__VA_ARGS__)
#define log_d(format, ...) MICROCLAW_NO_LOG_(format, ##__VA_ARGS__)
#define log_v(format, ...) MICROCLAW_NO_LOG_(format, ##__VA_ARGS__)
#define isr_log_n log_n
#define isr_log_e log_e
#define isr_log_w log_w
#define isr_log_i log_i
#define isr_log_d log_d
#define isr_log_v log_v
#define ets_printf printf
void log_print_buf(const uint8_t *bytes, size_t size); /* 16 a line, in hexadecimal digits and as characters */
#define log_buf_n(bytes, size) log_print_buf(bytes, size)
#define log_buf_e(bytes, size) log_print_buf(bytes, size)
#define log_buf_w(bytes, size) log_print_buf(bytes, size)
#define log_buf_i(bytes, size) log_print_buf(bytes, size)
#define log_buf_d(bytes, size) ((void)(bytes), (void)(size))
#define log_buf_v(bytes, size) ((void)(bytes), (void)(size))
