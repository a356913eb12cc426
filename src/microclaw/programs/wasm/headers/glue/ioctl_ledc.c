/* Settings of /dev/ledc/N. The firmware's frame types have no room for the channel's number: all get channel 0's values. */
#include "data_seq.h"
#include <ledc.h>

#define MAX_CHANNELS 8

static int configure(int fd, const ledc_cfg_t *c) {
    if (c->channel_num > MAX_CHANNELS) {
        return -1;
    }
    DATA_SEQ(seq);
    ADD(1, c->frequency);
    ADD(2, c->channel_num);
    for (int i = 0; i < c->channel_num; i++) {
        ADD(3 | 1 << 8, c->channel_cfg[i].output_pin);
        ADD(3 | 2 << 8, c->channel_cfg[i].duty);
        ADD(3 | 3 << 8, c->channel_cfg[i].phase);
    }
    return firmware_ioctl(fd, LEDCIOCSCFG, &seq);
}

int microclaw_ioctl_ledc(int fd, int command, const void *argument) {
    if (command == LEDCIOCSCFG) {
        return configure(fd, argument);
    }
    if (command != LEDCIOCSSETDUTY && command != LEDCIOCSSETPHASE) {
        return -1;
    }
    const ledc_duty_cfg_t *c = argument; /* ledc_phase_cfg_t is laid out alike */
    DATA_SEQ(seq);
    ADD(1, c->channel);
    ADD(2, c->duty);
    return firmware_ioctl(fd, command, &seq);
}
