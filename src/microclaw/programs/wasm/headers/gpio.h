/* gpio.h: /dev/gpio/N. Open with O_RDONLY, O_WRONLY or O_RDWR; read and write one byte, 0 or 1. */
#pragma once
#include <stdint.h>
#include <sys/ioctl.h>
#ifdef __cplusplus
extern "C" {
#endif
#define GPIOCSCFG 0x8101
typedef struct gpioc_cfg {
    union {
        struct {
            uint32_t pulldown_en : 1;
            uint32_t pullup_en : 1;
            uint32_t opendrain_en : 1;
        } flags_data;
        uint32_t flags; /* GPIOC_... */
    };
} gpioc_cfg_t;
#define GPIOC_PULLDOWN_EN (1 << 0)
#define GPIOC_PULLUP_EN (1 << 1)
#define GPIOC_OPENDRAIN_EN (1 << 2)
#ifdef __cplusplus
}
#endif
