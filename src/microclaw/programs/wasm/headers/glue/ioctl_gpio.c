/* Settings of /dev/gpio/N. */
#include "data_seq.h"
#include <gpio.h>

int microclaw_ioctl_gpio(int fd, int command, const void *argument) {
    if (command != GPIOCSCFG) {
        return -1;
    }
    DATA_SEQ(seq);
    ADD(1, ((const gpioc_cfg_t *)argument)->flags);
    return firmware_ioctl(fd, command, &seq);
}
