/* ioctl for programs that call it themselves. Linked with --wrap=ioctl: none can reach the firmware's with a plain struct,
 * which it would take for a data_seq. */
#include "data_seq.h"
#include <ledc.h>
#include <stdarg.h>

int __wrap_ioctl(int fd, int command, ...) {
    va_list ap;
    va_start(ap, command);
    if (command == LEDCIOCSPAUSE || command == LEDCIOCSRESUME) {
        va_end(ap);
        return firmware_ioctl(fd, command);
    }
    uint32_t word = va_arg(ap, uint32_t);
    va_end(ap);
    if (command == LEDCIOCSSETFREQ) {
        return firmware_ioctl(fd, command, word);
    }
    const void *argument = (const void *)word;
    switch (argument ? command >> 8 : 0) {
    case 0x81:
        return microclaw_ioctl_gpio(fd, command, argument);
    case 0x82:
        return microclaw_ioctl_i2c(fd, command, argument);
    case 0x83:
        return microclaw_ioctl_spi(fd, command, argument);
    case 0x84:
        return microclaw_ioctl_ledc(fd, command, argument);
    default:
        return -1;
    }
}
