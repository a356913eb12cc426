#include <stdio.h>
#include <fcntl.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include "ioctl/esp_spi_ioctl.h"

int main(void)
{
    char out[4] = {0x9f}, in[4];
    spi_cfg_t config = {.cs_pin = 10, .sclk_pin = 12, .mosi_pin = 11, .miso_pin = 13, .flags = SPI_MASTER | SPI_MODE(0)};
    spi_ex_msg_t message = {.tx_buffer = out, .rx_buffer = in, .size = 4};
    int fd = open("/dev/spi/2", O_RDWR);
    config.master.clock = 1000000;
    ioctl(fd, SPIIOCSCFG, &config);
    ioctl(fd, SPIIOCEXCHANGE, &message);
    printf("%02x %02x %02x\n", in[1], in[2], in[3]);
    close(fd);
    return 0;
}
