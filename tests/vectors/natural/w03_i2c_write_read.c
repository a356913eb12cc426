#include <stdio.h>
#include <fcntl.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include "ioctl/esp_i2c_ioctl.h"

int main(void)
{
    uint8_t data[1] = {0xd0};
    i2c_cfg_t config = {.sda_pin = 8, .scl_pin = 9, .flags = I2C_MASTER | I2C_SDA_PULLUP | I2C_SCL_PULLUP};
    i2c_msg_t message = {.flags = I2C_MSG_WRITE | I2C_MSG_CHECK_ACK, .addr = 0x76, .buffer = data, .size = 1};
    int fd = open("/dev/i2c/0", O_RDWR);
    config.master.clock = 100 * 1000;
    if (ioctl(fd, I2CIOCSCFG, &config) < 0 || ioctl(fd, I2CIOCRDWR, &message) < 0) {
        printf("nobody answers\n");
        return 1;
    }
    usleep(10000);
    message.flags = 0;
    ioctl(fd, I2CIOCRDWR, &message);
    printf("chip id 0x%02x\n", data[0]);
    close(fd);
    return 0;
}
