#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>
#include "sdkconfig.h"
#include "ioctl/esp_gpio_ioctl.h"

#define PATH_(n) "/dev/gpio/" #n
#define PATH(n) PATH_(n)

int main(void)
{
    uint8_t on = 1;
    int fd = open(PATH(4), O_WRONLY);
    write(fd, &on, 1);
    sleep(CONFIG_FAN_SECONDS);
    on = 0;
    write(fd, &on, 1);
    return 0;
}
