/* i2c.h: /dev/i2c/0. Open once, configure once, then I2CIOCRDWR or I2CIOCEXCHANGE (write, then read). */
#pragma once
#include <stdint.h>
#include <sys/ioctl.h>
#ifdef __cplusplus
extern "C" {
#endif
#define I2CIOCSCFG 0x8201
#define I2CIOCRDWR 0x8202
#define I2CIOCEXCHANGE 0x8203
#define I2C_MASTER (1 << 0)
#define I2C_SDA_PULLUP (1 << 1)
#define I2C_SCL_PULLUP (1 << 2)
#define I2C_ADDR_10BIT (1 << 3)
#define I2C_MSG_WRITE (1 << 0)
#define I2C_MSG_CHECK_ACK (1 << 1)
#define I2C_MSG_NO_START (1 << 2)
#define I2C_MSG_NO_END (1 << 3)
#define I2C_EX_MSG_READ_FIRST (1 << 0)
#define I2C_EX_MSG_CHECK_ACK (1 << 1)
#define I2C_EX_MSG_DELAY_EN (1 << 2)
typedef struct i2c_cfg {
    uint16_t sda_pin, scl_pin;
    union {
        struct {
            uint32_t master : 1, sda_pullup : 1, scl_pullup : 1, addr_10bit : 1;
        } flags_data;
        uint32_t flags; /* I2C_MASTER | ... */
    };
    union {
        struct {
            uint32_t clock;
        } master;
        struct {
            uint32_t max_clock;
            uint16_t addr;
        } slave;
    };
} i2c_cfg_t;
typedef struct i2c_msg {
    union {
        struct {
            uint32_t write : 1, check_ack : 1, no_start : 1, no_end : 1;
        } flags_data;
        uint16_t flags; /* I2C_MSG_... */
    };
    uint16_t addr;
    uint8_t *buffer;
    uint32_t size;
} i2c_msg_t;
typedef struct i2c_ex_msg {
    union {
        struct {
            uint32_t read_first : 1, check_ack : 1, delay_en : 1;
        } flags_data;
        uint16_t flags; /* I2C_EX_MSG_... */
    };
    uint16_t addr;
    uint32_t delay_ms;
    uint8_t *tx_buffer;
    uint32_t tx_size;
    uint8_t *rx_buffer;
    uint32_t rx_size;
} i2c_ex_msg_t;
#ifdef __cplusplus
}
#endif
