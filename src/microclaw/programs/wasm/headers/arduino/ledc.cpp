/* The ESP32 core's ledc functions on pwm_open: a channel has the frequency and the duty, up to 3 pins follow channels. */
#include <Arduino.h>
extern "C" int microclaw_pwm_open(int pin, int frequency_hz);
extern "C" void microclaw_pwm_set_duty(int pwm, unsigned duty);

#define CHANNELS 16
#define OUTPUTS 3
#define FULL_DUTY 8192
#define MAX_BITS 20
#define MAX_HZ 9000

static struct {
    uint32_t frequency_hz, duty;
    uint8_t bits;
} channels[CHANNELS];
static struct {
    int pin; /* + 1; 0: free */
    int pwm;
    uint8_t channel;
    bool by_pin;
} outputs[OUTPUTS];

static int channel_of(uint8_t pin_or_channel) {
    for (auto &each : outputs) {
        if (each.by_pin && each.pin == pin_or_channel + 1) {
            return each.channel;
        }
    }
    return pin_or_channel < CHANNELS ? pin_or_channel : -1;
}

/* The greatest duty that `bits` can say is fully on, as in the core. */
static unsigned duty_of(int channel) {
    uint32_t full = 1u << channels[channel].bits, duty = channels[channel].duty;
    bool on = duty >= full || (duty == full - 1 && full > 2);
    return on ? FULL_DUTY : (unsigned)((uint64_t)duty * FULL_DUTY >> channels[channel].bits);
}

static bool none_left(int pin) {
    printf("ledc: pin %d gets no PWM, at most 3 pins have it\n", pin);
    return false;
}

/* A channel without a frequency yet gets its PWM with it. */
static bool open(int pin, int &pwm, int channel) {
    uint32_t frequency_hz = channels[channel].frequency_hz;
    pwm = frequency_hz ? microclaw_pwm_open(pin, (int)frequency_hz) : -1;
    return !frequency_hz || pwm >= 0 || none_left(pin);
}

static void apply(int channel) {
    for (auto &each : outputs) {
        if (each.pin && each.channel == channel) {
            microclaw_pwm_set_duty(each.pwm, duty_of(channel));
        }
    }
}

static bool configure(int channel, uint32_t frequency_hz, uint8_t bits) {
    if (channel < 0 || channel >= CHANNELS || bits < 1 || bits > MAX_BITS) {
        return false;
    }
    if (frequency_hz < 1 || frequency_hz > MAX_HZ) {
        printf("ledc: %u Hz is not possible here, only 1 to %d\n", (unsigned)frequency_hz, MAX_HZ);
        return false;
    }
    bool changed = channels[channel].frequency_hz != frequency_hz;
    channels[channel].frequency_hz = frequency_hz;
    channels[channel].bits = bits;
    for (auto &each : outputs) {
        if (changed && each.pin && each.channel == channel) {
            pwm_close(each.pwm);
            open(each.pin - 1, each.pwm, channel);
        }
    }
    apply(channel);
    return true;
}

static void detach(uint8_t pin) {
    for (auto &each : outputs) {
        if (each.pin == pin + 1) {
            pwm_close(each.pwm);
            each.pin = 0;
            each.by_pin = false;
        }
    }
}

static bool attach(uint8_t pin, int channel, bool by_pin) {
    detach(pin);
    for (auto &each : outputs) {
        if (each.pin || pin > 63) {
            continue;
        }
        int pwm;
        if (!open(pin, pwm, channel)) {
            return false;
        }
        each = {pin + 1, pwm, (uint8_t)channel, by_pin};
        apply(channel);
        return true;
    }
    return none_left(pin);
}

double ledcSetup(uint8_t channel, double frequency_hz, uint8_t bits) {
    return configure(channel, (uint32_t)frequency_hz, bits) ? (double)channels[channel].frequency_hz : 0;
}

#pragma clang diagnostic ignored "-Wuser-defined-warnings"
void ledcAttachPin(uint8_t pin, uint8_t channel) {
    if (channel < CHANNELS) {
        attach(pin, channel, false);
    }
}

void ledcDetachPin(uint8_t pin) { detach(pin); }

bool ledcAttachChannel(uint8_t pin, uint32_t frequency_hz, uint8_t bits, uint8_t channel) {
    if (!configure(channel, frequency_hz, bits)) {
        return false;
    }
    return attach(pin, channel, true);
}

bool ledcAttach(uint8_t pin, uint32_t frequency_hz, uint8_t bits) {
    detach(pin);
    unsigned taken = 0;
    for (auto &each : outputs) {
        taken |= each.pin ? 1u << each.channel : 0;
    }
    int channel = CHANNELS - 1; /* core 2's sketches count from 0 */
    while (taken >> channel & 1) {
        channel--;
    }
    channels[channel].duty = 0;
    return ledcAttachChannel(pin, frequency_hz, bits, (uint8_t)channel);
}

bool ledcDetach(uint8_t pin) {
    detach(pin);
    return true;
}

bool ledcWriteChannel(uint8_t channel, uint32_t duty) {
    if (channel >= CHANNELS || !channels[channel].frequency_hz) {
        return false;
    }
    channels[channel].duty = duty;
    apply(channel);
    return true;
}

bool ledcWrite(uint8_t pin_or_channel, uint32_t duty) {
    int channel = channel_of(pin_or_channel);
    return channel >= 0 && ledcWriteChannel((uint8_t)channel, duty);
}

uint32_t ledcRead(uint8_t pin_or_channel) {
    int channel = channel_of(pin_or_channel);
    return channel < 0 ? 0 : channels[channel].duty;
}

uint32_t ledcReadFreq(uint8_t pin_or_channel) {
    int channel = channel_of(pin_or_channel);
    return channel < 0 || !channels[channel].duty ? 0 : channels[channel].frequency_hz;
}

uint32_t ledcChangeFrequency(uint8_t pin_or_channel, uint32_t frequency_hz, uint8_t bits) {
    return configure(channel_of(pin_or_channel), frequency_hz, bits) ? frequency_hz : 0;
}

double ledcWriteTone(uint8_t pin_or_channel, double frequency_hz) {
    int channel = channel_of(pin_or_channel);
    if (channel >= 0 && frequency_hz >= 1 && configure(channel, (uint32_t)frequency_hz, 10)) {
        ledcWriteChannel((uint8_t)channel, 512);
        return frequency_hz;
    }
    if (channel >= 0) {
        ledcWriteChannel((uint8_t)channel, 0);
    }
    return 0;
}
