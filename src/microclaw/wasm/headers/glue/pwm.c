/* PWM of microclaw.h on /dev/ledc/N, around two habits of the firmware: LEDC channels are numbered over all nodes, and all
 * channels configured through one node get the pin of its channel 0. So the pin of slot N is configured on node N as channels
 * 0 to N: the last one stays wired to the pin, and the channels before it get their own duty again. */
#include "data_seq.h"
#include "glue.h"
#include <fcntl.h>
#include <ledc.h>

#define SLOTS 3
#define FULL_DUTY 8192u /* 13 bits */

static struct {
    int fd; /* + 1; 0 is a free slot */
    uint32_t duty;
} slots[SLOTS];

static void apply(int slot) {
    ledc_duty_cfg_t duty = {.channel = (uint8_t)slot, .duty = slots[slot].duty};
    microclaw_ioctl_ledc(slots[slot].fd - 1, LEDCIOCSSETDUTY, &duty);
}

static void apply_below(int slot) {
    for (int i = 0; i < slot; i++) {
        if (slots[i].fd) {
            apply(i);
        }
    }
}

static int configure(int fd, int slot, int pin, int frequency_hz) {
    ledc_channel_cfg_t channels[SLOTS] = {{.output_pin = (uint8_t)pin}, {.output_pin = (uint8_t)pin}, {.output_pin = (uint8_t)pin}};
    ledc_cfg_t cfg = {.frequency = (uint32_t)frequency_hz, .channel_num = (uint8_t)(slot + 1), .channel_cfg = channels};
    return microclaw_ioctl_ledc(fd, LEDCIOCSCFG, &cfg);
}

int pwm_open(int pin, int frequency_hz) {
    for (int slot = 0; slot < SLOTS; slot++) {
        int fd = slots[slot].fd ? -1 : microclaw_open_node("/dev/ledc/", slot, O_RDWR);
        if (fd < 0) {
            continue;
        }
        if (configure(fd, slot, pin, frequency_hz) < 0) {
            microclaw_close_node(fd);
            continue; /* another program has this node */
        }
        slots[slot].fd = fd + 1;
        slots[slot].duty = 0;
        apply_below(slot);
        return slot;
    }
    return -1;
}

void pwm_set(int pwm, int duty) {
    if (pwm < 0 || pwm >= SLOTS || !slots[pwm].fd) {
        return;
    }
    duty = duty < 0 ? 0 : duty > 255 ? 255 : duty;
    slots[pwm].duty = ((uint32_t)duty * FULL_DUTY + 127) / 255;
    apply(pwm);
}

/* The same with all of the 13 bits, for Servo.h. */
void microclaw_pwm_set_duty(int pwm, unsigned duty) {
    if (pwm >= 0 && pwm < SLOTS && slots[pwm].fd) {
        slots[pwm].duty = duty > FULL_DUTY ? FULL_DUTY : duty;
        apply(pwm);
    }
}

void pwm_close(int pwm) {
    if (pwm < 0 || pwm >= SLOTS || !slots[pwm].fd) {
        return;
    }
    microclaw_close_node(slots[pwm].fd - 1);
    slots[pwm].fd = 0;
    apply_below(pwm); /* closing node N stops channels 0 to N */
}
