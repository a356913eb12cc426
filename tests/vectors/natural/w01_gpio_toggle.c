#include <stdio.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include "ioctl/esp_gpio_ioctl.h"

void on_init(void)
{
    uint8_t level = 0;
    gpioc_cfg_t config = {.flags = GPIOC_PULLUP_EN};
    int fd = open("/dev/gpio/5", O_WRONLY);
    if (fd < 0) {
        printf("open failed: %d\n", errno);
        return;
    }
    if (ioctl(fd, GPIOCSCFG, &config) < 0) {
        printf("ioctl failed: %d\n", errno);
    }
    for (int i = 0; i < 6; i++) {
        level = !level;
        write(fd, &level, 1);
        usleep(500 * 1000);
    }
    close(fd);
    printf("closed\n");
}

int main(int argc, char *argv[])
{
    on_init();
    return 0;
}
