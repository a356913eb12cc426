/* BH1750: one measurement of the H-resolution mode, whose longest time is 180 ms (Rohm BH1750FVI). */
#include <i2c.h>
#include <microclaw.h>

/* The firmware's own: a sensor is read in callbacks too, and a sleeping main is not left for it. */
__attribute__((import_module("env"), import_name("usleep"))) int microclaw_native_usleep(unsigned microseconds);
/* The open bus: this chip has instructions in the place of registers. */
int microclaw_i2c_file(void);
int microclaw_ioctl_i2c(int fd, int command, const void *argument);

enum { ONE_TIME_H_RESOLUTION = 0x20, MEASURE_US = 180000 };

static int transfer(int address, uint16_t direction, uint8_t *data, uint32_t size) {
    i2c_msg_t message = {.flags = direction | I2C_MSG_CHECK_ACK, .addr = (uint16_t)address, .buffer = data, .size = size};
    return microclaw_ioctl_i2c(microclaw_i2c_file(), I2CIOCRDWR, &message);
}

int bh1750_read(int i2c, int address, bh1750_t *out) {
    (void)i2c;
    uint8_t instruction = ONE_TIME_H_RESOLUTION, raw[2];
    if (transfer(address, I2C_MSG_WRITE, &instruction, 1) < 0) {
        return -1;
    }
    microclaw_native_usleep(MEASURE_US);
    if (transfer(address, 0, raw, 2) < 0) {
        return -1;
    }
    out->light_lux = (float)(raw[0] << 8 | raw[1]) / 1.2f;
    return 0;
}
