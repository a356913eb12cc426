/* Pins as LLMos's examples write them: one file /dev/gpio, whose ioctl 0x1001 sets a pin's direction and 0x1002 its level.
 * No firmware has it; a program that opens it has other names for open, close and
 * ioctl (program_macros.py), and is told so. */
#include "glue.h"
#include <errno.h>
#include <fcntl.h>
#include <microclaw.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define FILE_NUMBER 0x4c4d
#define PINS 64
enum { SET_DIRECTION = 0x1001, SET_LEVEL = 0x1002 };

static short gpio_of[PINS]; /* + 1; 0 is not open */

int microclaw_llmos_open(const char *path, int flags, ...) {
    return strcmp(path, "/dev/gpio") == 0 ? FILE_NUMBER : open(path, flags);
}

int microclaw_llmos_close(int fd) { return fd == FILE_NUMBER ? 0 : close(fd); }

static int set_direction(int pin, bool output) {
    if (gpio_of[pin]) {
        gpio_close(gpio_of[pin] - 1);
    }
    gpio_of[pin] = (short)(gpio_open(pin, output ? GPIO_IN | GPIO_OUT : GPIO_IN) + 1);
    return gpio_of[pin] ? 0 : -1;
}

int microclaw_llmos_ioctl(int fd, int command, ...) {
    va_list ap;
    va_start(ap, command);
    const struct {
        int pin, value;
    } *setting = va_arg(ap, const void *);
    va_end(ap);
    if (fd != FILE_NUMBER) {
        return ioctl(fd, command, setting);
    }
    bool known = command == SET_DIRECTION || command == SET_LEVEL;
    if (!known || !setting || setting->pin < 0 || setting->pin >= PINS) {
        errno = EINVAL;
        return -1;
    }
    if (command == SET_DIRECTION) {
        return set_direction(setting->pin, setting->value != 0);
    }
    if (!gpio_of[setting->pin] && set_direction(setting->pin, true) < 0) {
        return -1;
    }
    gpio_set(gpio_of[setting->pin] - 1, setting->value);
    return 0;
}
