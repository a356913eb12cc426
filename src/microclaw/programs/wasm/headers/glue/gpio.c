/* Digital pins of microclaw.h on /dev/gpio/N. */
#include "data_seq.h"
#include "glue.h"
#include <fcntl.h>
#include <gpio.h>
#include <unistd.h>

enum { GPIO_IN = 1, GPIO_OUT = 2, GPIO_PULLDOWN = 4, GPIO_PULLUP = 8, GPIO_OPENDRAIN = 16 };

static int file_of(int gpio) { return gpio - FIRST_GPIO; }

void gpio_close(int gpio) { microclaw_close_node(file_of(gpio)); }

int gpio_open(int pin, int flags) {
    /* An output is opened for reading too: gpio_get and gpio_toggle read the pin itself. */
    int fd = microclaw_open_node("/dev/gpio/", pin, flags & GPIO_OUT ? O_RDWR : O_RDONLY);
    gpioc_cfg_t cfg = {.flags = (flags & GPIO_PULLDOWN ? GPIOC_PULLDOWN_EN : 0) |
                                (flags & GPIO_PULLUP ? GPIOC_PULLUP_EN : 0) |
                                (flags & GPIO_OPENDRAIN ? GPIOC_OPENDRAIN_EN : 0)};
    if (fd >= 0 && cfg.flags && microclaw_ioctl_gpio(fd, GPIOCSCFG, &cfg) < 0) {
        microclaw_close_node(fd);
        return -1;
    }
    return fd < 0 ? -1 : fd + FIRST_GPIO;
}

void gpio_set(int gpio, int level) {
    uint8_t byte = level != 0;
    if (write(file_of(gpio), &byte, 1) != 1) {
        microclaw_not_open("gpio", gpio);
    }
}

int gpio_get(int gpio) {
    uint8_t byte = 0;
    if (read(file_of(gpio), &byte, 1) != 1) {
        microclaw_not_open("gpio", gpio);
    }
    return byte != 0;
}

void gpio_toggle(int gpio) { gpio_set(gpio, !gpio_get(gpio)); }
