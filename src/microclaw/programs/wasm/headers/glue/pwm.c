/* PWM of microclaw.h on /dev/ledc/N, around two habits of the firmware: LEDC channels are numbered over all nodes, and all
 * channels configured through one node get the pin of its channel 0. So the pin of slot N is configured on node N as channels
 * 0 to N: the last one stays wired to the pin. A node has a timer, and with it a frequency, of its own, so slots are given
 * away from the last: each one's channel is configured last through its own node. Where a slot comes back into use above
 * others, those are configured again. */
#include "data_seq.h"
#include "glue.h"
#include <fcntl.h>
#include <ledc.h>
#include <stdbool.h>

#define SLOTS 3
#define FULL_DUTY 8192u /* 13 bits */

static struct {
    int fd; /* + 1; 0 is a free slot */
    uint32_t frequency_hz, duty;
    uint8_t pin;
} slots[SLOTS];

static void apply(int slot) {
    ledc_duty_cfg_t duty = {.channel = (uint8_t)slot, .duty = slots[slot].duty};
    microclaw_ioctl_ledc(slots[slot].fd - 1, LEDCIOCSSETDUTY, &duty);
}

/* Open and configure the slot's node; false: the firmware refuses, or another program has this node. */
static bool start(int slot) {
    int fd = microclaw_open_node("/dev/ledc/", slot, O_RDWR);
    ledc_channel_cfg_t channels[SLOTS];
    for (int i = 0; i < SLOTS; i++) {
        channels[i] = (ledc_channel_cfg_t){.output_pin = slots[slot].pin};
    }
    ledc_cfg_t cfg = {.frequency = slots[slot].frequency_hz, .channel_num = (uint8_t)(slot + 1), .channel_cfg = channels};
    if (fd >= 0 && microclaw_ioctl_ledc(fd, LEDCIOCSCFG, &cfg) < 0) {
        microclaw_close_node(fd);
        fd = -1;
    }
    slots[slot].fd = fd + 1;
    return fd >= 0;
}

static void restart_below(int slot) {
    for (int i = slot - 1; i >= 0; i--) {
        if (slots[i].fd) {
            microclaw_close_node(slots[i].fd - 1);
            start(i);
        }
    }
    for (int i = 0; i < slot; i++) {
        if (slots[i].fd) {
            apply(i);
        }
    }
}

int pwm_open(int pin, int frequency_hz) {
    for (int slot = SLOTS - 1; slot >= 0; slot--) {
        if (slots[slot].fd) {
            continue;
        }
        slots[slot].pin = (uint8_t)pin;
        slots[slot].frequency_hz = (uint32_t)frequency_hz;
        slots[slot].duty = 0;
        if (start(slot)) {
            restart_below(slot);
            return slot + FIRST_PWM;
        }
    }
    return -1;
}

static bool is_open(int slot) { return slot >= 0 && slot < SLOTS && slots[slot].fd; }

void pwm_set(int pwm, int duty) {
    int slot = pwm - FIRST_PWM;
    if (!is_open(slot)) {
        microclaw_not_open("pwm", pwm);
        return;
    }
    duty = duty < 0 ? 0 : duty > 255 ? 255 : duty;
    slots[slot].duty = ((uint32_t)duty * FULL_DUTY + 127) / 255;
    apply(slot);
}

/* The same with all of the 13 bits, for Servo.h. */
void microclaw_pwm_set_duty(int pwm, unsigned duty) {
    int slot = pwm - FIRST_PWM;
    if (is_open(slot)) {
        slots[slot].duty = duty > FULL_DUTY ? FULL_DUTY : duty;
        apply(slot);
    }
}

void pwm_close(int pwm) {
    int slot = pwm - FIRST_PWM;
    if (is_open(slot)) {
        microclaw_close_node(slots[slot].fd - 1); /* which stops channels 0 to N, and resets this node's timer */
        slots[slot].fd = 0;
        restart_below(slot);
    }
}
