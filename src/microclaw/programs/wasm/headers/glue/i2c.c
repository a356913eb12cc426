/* I2C registers of microclaw.h on /dev/i2c/0. */
#include "data_seq.h"
#include "glue.h"
#include <fcntl.h>
#include <i2c.h>
#include <string.h>

#define CLOCK_HZ 100000
#define MAX_WRITE 32

static int bus; /* what i2c_open returned; 0: nothing yet */

int i2c_open(int sda, int scl) {
    if (bus) {
        return bus;
    }
    int fd = microclaw_open_node("/dev/i2c/", 0, O_RDWR);
    i2c_cfg_t cfg = {.sda_pin = (uint16_t)sda,
                     .scl_pin = (uint16_t)scl,
                     .flags = I2C_MASTER | I2C_SDA_PULLUP | I2C_SCL_PULLUP,
                     .master.clock = CLOCK_HZ};
    if (fd < 0) {
        return -1;
    }
    if (microclaw_ioctl_i2c(fd, I2CIOCSCFG, &cfg) < 0) {
        microclaw_close_node(fd);
        return -1;
    }
    bus = fd + FIRST_I2C;
    return bus;
}

int i2c_read_reg(int i2c, int address, int reg, void *data, int size) {
    uint8_t start = (uint8_t)reg;
    i2c_ex_msg_t exchange = {.flags = I2C_EX_MSG_CHECK_ACK,
                             .addr = (uint16_t)address,
                             .tx_buffer = &start,
                             .tx_size = 1,
                             .rx_buffer = data,
                             .rx_size = (uint32_t)size};
    return microclaw_ioctl_i2c(i2c - FIRST_I2C, I2CIOCEXCHANGE, &exchange) < 0 ? -1 : 0;
}

int i2c_write_reg(int i2c, int address, int reg, const void *data, int size) {
    uint8_t bytes[1 + MAX_WRITE];
    if (size < 0 || size > MAX_WRITE) {
        return -1;
    }
    bytes[0] = (uint8_t)reg;
    memcpy(bytes + 1, data, (size_t)size);
    i2c_msg_t message = {.flags = I2C_MSG_WRITE | I2C_MSG_CHECK_ACK,
                         .addr = (uint16_t)address,
                         .buffer = bytes,
                         .size = (uint32_t)size + 1};
    return microclaw_ioctl_i2c(i2c - FIRST_I2C, I2CIOCRDWR, &message) < 0 ? -1 : 0;
}
