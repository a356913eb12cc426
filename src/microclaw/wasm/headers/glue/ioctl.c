/* The firmware's ioctl wants a data_seq: a list of (type, size, address) frames. One is good for one call, because the
 * firmware rewrites its addresses. Linked with --wrap=ioctl, so that no program can call the firmware's without it.
 * Frames: esp-wdf 54fc350, as listed in microclaw.wire.wasmachine.ioctl. */
#include <gpio.h>
#include <i2c.h>
#include <ledc.h>
#include <spi.h>
#include <stdarg.h>

#define MAX_CHANNELS 8
#define MAX_FRAMES (2 + 3 * MAX_CHANNELS)

typedef struct {
    uint32_t version, num, index;
    struct {
        uint16_t type, size;
        const void *value;
    } frame[MAX_FRAMES];
} data_seq_t;

int __real_ioctl(int fd, int command, ...);

static void add(data_seq_t *seq, int type, int size, const void *value) {
    seq->frame[seq->index].type = (uint16_t)type;
    seq->frame[seq->index].size = (uint16_t)size;
    seq->frame[seq->index].value = value;
    seq->num = ++seq->index;
}

#define ADD(type, member) add(seq, type, sizeof(member), &(member))

static int add_ledc(data_seq_t *seq, const ledc_cfg_t *c) {
    if (c->channel_num > MAX_CHANNELS) {
        return -1;
    }
    ADD(1, c->frequency);
    ADD(2, c->channel_num);
    for (int i = 0; i < c->channel_num; i++) {
        ADD(3 | 1 << 8, c->channel_cfg[i].output_pin);
        ADD(3 | 2 << 8, c->channel_cfg[i].duty);
        ADD(3 | 3 << 8, c->channel_cfg[i].phase);
    }
    return 0;
}

static void add_i2c_cfg(data_seq_t *seq, const i2c_cfg_t *c) {
    ADD(1, c->sda_pin);
    ADD(2, c->scl_pin);
    ADD(3, c->flags);
    if (c->flags & I2C_MASTER) {
        ADD(4, c->master.clock);
    } else {
        ADD(5, c->slave.max_clock);
        ADD(6, c->slave.addr);
    }
}

static void add_i2c_msg(data_seq_t *seq, const i2c_msg_t *m) {
    ADD(1, m->flags);
    ADD(2, m->addr);
    ADD(4, m->size);
    ADD(3, m->buffer);
}

static void add_i2c_exchange(data_seq_t *seq, const i2c_ex_msg_t *m) {
    ADD(1, m->flags);
    ADD(2, m->addr);
    ADD(3, m->delay_ms);
    ADD(4, m->tx_buffer);
    ADD(5, m->tx_size);
    ADD(6, m->rx_buffer);
    ADD(7, m->rx_size);
}

static void add_spi_cfg(data_seq_t *seq, const spi_cfg_t *c) {
    ADD(1, c->cs_pin);
    ADD(2, c->sclk_pin);
    ADD(3, c->mosi_pin);
    ADD(4, c->miso_pin);
    ADD(5, c->flags);
    if (c->flags & SPI_MASTER) {
        ADD(6, c->master.clock);
    }
}

static void add_spi_exchange(data_seq_t *seq, const spi_ex_msg_t *m) {
    ADD(1, m->tx_buffer);
    ADD(2, m->rx_buffer);
    ADD(3, m->size);
}

/* Fill the frames for a command; -1 for one that the firmware does not know. */
static int fill(data_seq_t *seq, int command, const void *argument) {
    switch (command) {
    case GPIOCSCFG:
        add(seq, 1, 4, &((const gpioc_cfg_t *)argument)->flags);
        return 0;
    case I2CIOCSCFG:
        add_i2c_cfg(seq, argument);
        return 0;
    case I2CIOCRDWR:
        add_i2c_msg(seq, argument);
        return 0;
    case I2CIOCEXCHANGE:
        add_i2c_exchange(seq, argument);
        return 0;
    case SPIIOCSCFG:
        add_spi_cfg(seq, argument);
        return 0;
    case SPIIOCEXCHANGE:
        add_spi_exchange(seq, argument);
        return 0;
    case LEDCIOCSCFG:
        return add_ledc(seq, argument);
    case LEDCIOCSSETDUTY:
    case LEDCIOCSSETPHASE:
        add(seq, 1, 1, &((const ledc_duty_cfg_t *)argument)->channel);
        add(seq, 2, 4, &((const ledc_duty_cfg_t *)argument)->duty);
        return 0;
    default:
        return -1;
    }
}

int __wrap_ioctl(int fd, int command, ...) {
    va_list ap;
    va_start(ap, command);
    uint32_t word = command == LEDCIOCSPAUSE || command == LEDCIOCSRESUME ? 0 : va_arg(ap, uint32_t);
    va_end(ap);
    if (command == LEDCIOCSSETFREQ || command == LEDCIOCSPAUSE || command == LEDCIOCSRESUME) {
        return __real_ioctl(fd, command, word);
    }
    data_seq_t seq;
    seq.version = 1;
    seq.num = seq.index = 0;
    const void *argument = (const void *)word;
    return !argument || fill(&seq, command, argument) < 0 ? -1 : __real_ioctl(fd, command, &seq);
}
