/* ledc.h: /dev/ledc/0 to 2. The duty of LEDCIOCSCFG must stay 0 (the firmware scales it wrongly); LEDCIOCSSETDUTY takes
 * 0 to 8192 (13 bits). All channels of one node get channel 0's pin. microclaw.h's pwm_open knows how to live with that. */
#pragma once
#include <stdint.h>
#include <sys/ioctl.h>
#ifdef __cplusplus
extern "C" {
#endif
#define LEDCIOCSCFG 0x8401
#define LEDCIOCSSETFREQ 0x8402
#define LEDCIOCSSETDUTY 0x8403
#define LEDCIOCSSETPHASE 0x8404 /* fails on stock firmware */
#define LEDCIOCSPAUSE 0x8405
#define LEDCIOCSRESUME 0x8406
typedef struct ledc_channel_cfg {
    uint8_t output_pin;
    uint32_t duty;
    uint32_t phase;
} ledc_channel_cfg_t;
typedef struct ledc_cfg {
    uint32_t frequency;
    uint8_t channel_num;
    const ledc_channel_cfg_t *channel_cfg;
} ledc_cfg_t;
typedef struct ledc_duty_cfg {
    uint8_t channel;
    uint32_t duty;
} ledc_duty_cfg_t;
typedef struct ledc_phase_cfg {
    uint8_t channel;
    uint32_t phase;
} ledc_phase_cfg_t;
#ifdef __cplusplus
}
#endif
