#include <stdio.h>
#include <fcntl.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include "ioctl/esp_ledc_ioctl.h"

int main(void)
{
    const ledc_channel_cfg_t channels[1] = {{.output_pin = 5, .duty = 0, .phase = 0}};
    ledc_cfg_t config = {.frequency = 1000, .channel_num = 1, .channel_cfg = channels};
    int fd = open("/dev/ledc/0", O_RDWR);
    if (fd < 0 || ioctl(fd, LEDCIOCSCFG, &config) < 0) {
        printf("no pwm\n");
        return 1;
    }
    for (int i = 1; i <= 4; i++) {
        ledc_duty_cfg_t duty = {.channel = 0, .duty = i * 2048};
        printf("duty %d: %d\n", i, ioctl(fd, LEDCIOCSSETDUTY, &duty));
        sleep(1);
    }
    close(fd);
    return 0;
}
