#define CONFIG_FAN_PIN 5
#define CONFIG_FAN_SECONDS 2
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
    int fd = open(PATH(CONFIG_FAN_PIN), O_WRONLY);
    write(fd, &on, 1);
    sleep(CONFIG_FAN_SECONDS);
    on = 0;
    write(fd, &on, 1);
    return 0;
}
