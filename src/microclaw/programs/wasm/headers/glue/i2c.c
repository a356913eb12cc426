/* I2C registers of microclaw.h on /dev/i2c/0. */
#include "data_seq.h"
#include "glue.h"
#include <fcntl.h>
#include <i2c.h>
#include <stdbool.h>
#include <string.h>

#define CLOCK_HZ 100000
#define MAX_WRITE 32

static int file = -1; /* of the open bus */
static uint16_t sda_pin, scl_pin;
static uint32_t clock_hz = CLOCK_HZ;

static bool open_bus(uint32_t hz) {
    int fd = microclaw_open_node("/dev/i2c/", 0, O_RDWR);
    i2c_cfg_t cfg = {.sda_pin = sda_pin,
                     .scl_pin = scl_pin,
                     .flags = I2C_MASTER | I2C_SDA_PULLUP | I2C_SCL_PULLUP,
                     .master.clock = hz};
    if (fd < 0) {
        return false;
    }
    if (microclaw_ioctl_i2c(fd, I2CIOCSCFG, &cfg) < 0) {
        microclaw_close_node(fd);
        return false;
    }
    file = fd;
    clock_hz = hz;
    return true;
}

int i2c_open(int sda, int scl) {
    if (file < 0) {
        sda_pin = (uint16_t)sda;
        scl_pin = (uint16_t)scl;
        if (!open_bus(clock_hz)) {
            return -1;
        }
    }
    return FIRST_I2C;
}

void i2c_close(int i2c) {
    if (i2c == FIRST_I2C && file >= 0) {
        microclaw_close_node(file);
        file = -1;
    }
}

int microclaw_i2c_file(void) { return file; }

uint32_t microclaw_i2c_clock_hz(void) { return clock_hz; }

/* The firmware's driver takes a clock only when it is installed, so the bus is closed and opened again. */
bool microclaw_i2c_clock(uint32_t hz) {
    if (file < 0) {
        return false;
    }
    if (hz == clock_hz) {
        return true;
    }
    uint32_t before_hz = clock_hz;
    microclaw_close_node(file);
    file = -1;
    if (open_bus(hz)) {
        return true;
    }
    open_bus(before_hz);
    return false;
}

/* What i2c_open did not return is no bus. */
static int file_of(int i2c) { return i2c == FIRST_I2C ? file : -1; }

int i2c_read_reg(int i2c, int address, int reg, void *data, int size) {
    uint8_t start = (uint8_t)reg;
    i2c_ex_msg_t exchange = {.flags = I2C_EX_MSG_CHECK_ACK,
                             .addr = (uint16_t)address,
                             .tx_buffer = &start,
                             .tx_size = 1,
                             .rx_buffer = data,
                             .rx_size = (uint32_t)size};
    return microclaw_ioctl_i2c(file_of(i2c), I2CIOCEXCHANGE, &exchange) < 0 ? -1 : 0;
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
    return microclaw_ioctl_i2c(file_of(i2c), I2CIOCRDWR, &message) < 0 ? -1 : 0;
}
