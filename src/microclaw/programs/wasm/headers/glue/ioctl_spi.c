/* Settings and exchanges of /dev/spi/N. */
#include "data_seq.h"
#include <spi.h>

static int configure(int fd, const spi_cfg_t *c) {
    DATA_SEQ(seq);
    ADD(1, c->cs_pin);
    ADD(2, c->sclk_pin);
    ADD(3, c->mosi_pin);
    ADD(4, c->miso_pin);
    ADD(5, c->flags);
    if (c->flags & SPI_MASTER) {
        ADD(6, c->master.clock);
    }
    return firmware_ioctl(fd, SPIIOCSCFG, &seq);
}

static int exchange(int fd, const spi_ex_msg_t *m) {
    DATA_SEQ(seq);
    ADD(1, m->tx_buffer);
    ADD(2, m->rx_buffer);
    ADD(3, m->size);
    return firmware_ioctl(fd, SPIIOCEXCHANGE, &seq);
}

int microclaw_ioctl_spi(int fd, int command, const void *argument) {
    switch (command) {
    case SPIIOCSCFG:
        return configure(fd, argument);
    case SPIIOCEXCHANGE:
        return exchange(fd, argument);
    default:
        return -1;
    }
}
