#include <stdio.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include "ioctl/esp_i2c_ioctl.h"

void on_init(void)
{
    uint8_t reg = 0xd0, id = 0;
    i2c_cfg_t config = {0};
    i2c_ex_msg_t message = {0};
    int fd = open("/dev/i2c/0", O_RDWR);
    config.sda_pin = 8;
    config.scl_pin = 9;
    config.flags_data.master = 1;
    config.flags_data.sda_pullup = 1;
    config.flags_data.scl_pullup = 1;
    config.master.clock = 400000;
    printf("configured %d\n", ioctl(fd, I2CIOCSCFG, &config));
    message.flags_data.check_ack = 1;
    message.addr = 0x76;
    message.tx_buffer = &reg;
    message.tx_size = 1;
    message.rx_buffer = &id;
    message.rx_size = 1;
    printf("exchanged %d\n", ioctl(fd, I2CIOCEXCHANGE, &message));
    printf("id %x\n", id);
}
