/* Settings and messages of /dev/i2c/N. */
#include "data_seq.h"
#include <i2c.h>

static int configure(int fd, const i2c_cfg_t *c) {
    DATA_SEQ(seq);
    ADD(1, c->sda_pin);
    ADD(2, c->scl_pin);
    ADD(3, c->flags);
    if (c->flags & I2C_MASTER) {
        ADD(4, c->master.clock);
    } else {
        ADD(5, c->slave.max_clock);
        ADD(6, c->slave.addr);
    }
    return firmware_ioctl(fd, I2CIOCSCFG, &seq);
}

static int read_or_write(int fd, const i2c_msg_t *m) {
    DATA_SEQ(seq);
    ADD(1, m->flags);
    ADD(2, m->addr);
    ADD(4, m->size);
    ADD(3, m->buffer);
    return firmware_ioctl(fd, I2CIOCRDWR, &seq);
}

static int exchange(int fd, const i2c_ex_msg_t *m) {
    DATA_SEQ(seq);
    ADD(1, m->flags);
    ADD(2, m->addr);
    ADD(3, m->delay_ms);
    ADD(4, m->tx_buffer);
    ADD(5, m->tx_size);
    ADD(6, m->rx_buffer);
    ADD(7, m->rx_size);
    return firmware_ioctl(fd, I2CIOCEXCHANGE, &seq);
}

int microclaw_ioctl_i2c(int fd, int command, const void *argument) {
    switch (command) {
    case I2CIOCSCFG:
        return configure(fd, argument);
    case I2CIOCRDWR:
        return read_or_write(fd, argument);
    case I2CIOCEXCHANGE:
        return exchange(fd, argument);
    default:
        return -1;
    }
}
