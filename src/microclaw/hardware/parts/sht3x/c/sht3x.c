/* SHT3x: a single shot of high repeatability (Sensirion SHT3x-DIS: 4.3, 4.12, 4.13). */
#include <i2c.h>
#include <microclaw.h>

/* The firmware's own: a sensor is read in callbacks too, and a sleeping main is not left for it. */
__attribute__((import_module("env"), import_name("usleep"))) int microclaw_native_usleep(unsigned microseconds);
/* The open bus: this chip has commands in the place of registers. */
int microclaw_i2c_file(void);
int microclaw_ioctl_i2c(int fd, int command, const void *argument);

enum { MEASURE_US = 16000 };

static uint8_t checksum(const uint8_t *pair) {
    uint8_t crc = 0xff;
    for (int i = 0; i < 2; i++) {
        crc ^= pair[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (uint8_t)(crc & 0x80 ? crc << 1 ^ 0x31 : crc << 1);
        }
    }
    return crc;
}

static int transfer(int address, uint16_t direction, uint8_t *data, uint32_t size) {
    i2c_msg_t message = {.flags = direction | I2C_MSG_CHECK_ACK, .addr = (uint16_t)address, .buffer = data, .size = size};
    return microclaw_ioctl_i2c(microclaw_i2c_file(), I2CIOCRDWR, &message);
}

int sht3x_read(int i2c, int address, sht3x_t *out) {
    (void)i2c;
    uint8_t single_shot[2] = {0x24, 0x00}, raw[6];
    if (transfer(address, I2C_MSG_WRITE, single_shot, 2) < 0) {
        return -1;
    }
    microclaw_native_usleep(MEASURE_US);
    if (transfer(address, 0, raw, 6) < 0 || checksum(raw) != raw[2] || checksum(raw + 3) != raw[5]) {
        return -1;
    }
    out->temperature_c = (float)(raw[0] << 8 | raw[1]) * 175 / 65535 - 45;
    out->humidity_pct = (float)(raw[3] << 8 | raw[4]) * 100 / 65535;
    return 0;
}
