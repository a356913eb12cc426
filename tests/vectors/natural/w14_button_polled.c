#include <stdio.h>
#include <fcntl.h>
#include <unistd.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include "ioctl/esp_gpio_ioctl.h"

int main(void)
{
    gpioc_cfg_t config = {0};
    uint8_t level, before = 1;
    int fd = open("/dev/gpio/4", O_RDONLY);
    config.flags_data.pullup_en = 1;
    ioctl(fd, GPIOCSCFG, &config);
    while (1) {
        read(fd, &level, 1);
        if (level != before) {
            printf("level %d\n", level);
            before = level;
        }
        usleep(20 * 1000);
    }
}
