/* SPI on /dev/spi/1. The node is configured once, so other settings open it anew. */
#include <SPI.h>
#include <spi.h>

extern "C" {
#include "../glue/glue.h"
}
extern "C" int microclaw_ioctl_spi(int fd, int command, const void *argument);

#define HOST 1
#define CHUNK 64 /* a transfer has at most 512 bytes */

SPIClass SPI;

void SPIClass::begin(int sck, int miso, int mosi, int ss) {
    end();
    sck_ = sck;
    miso_ = miso;
    mosi_ = mosi;
    ss_ = ss;
}

void SPIClass::end() {
    microclaw_close_node(fd_);
    fd_ = -1;
    failed_ = false;
}

void SPIClass::beginTransaction(SPISettings settings) {
    bool same = settings.clock_hz_ == settings_.clock_hz_ && settings.order_ == settings_.order_ && settings.mode_ == settings_.mode_;
    settings_ = settings;
    if (!same) {
        end();
    }
}

bool SPIClass::open() {
    if (fd_ >= 0 || failed_) {
        return fd_ >= 0;
    }
    bool lsb = settings_.order_ == LSBFIRST;
    spi_cfg_t cfg = {};
    cfg.cs_pin = (uint8_t)ss_;
    cfg.sclk_pin = (uint8_t)sck_;
    cfg.mosi_pin = (uint8_t)mosi_;
    cfg.miso_pin = (uint8_t)miso_;
    cfg.flags = SPI_MASTER | SPI_MODE(settings_.mode_) | (lsb ? SPI_RX_LSB | SPI_TX_LSB : 0);
    cfg.master.clock = settings_.clock_hz_;
    fd_ = microclaw_open_node("/dev/spi/", HOST, 2);
    if (fd_ >= 0 && microclaw_ioctl_spi(fd_, SPIIOCSCFG, &cfg) < 0) {
        microclaw_close_node(fd_);
        fd_ = -1;
    }
    failed_ = fd_ < 0;
    if (failed_) {
        printf("SPI: the bus does not open on SCK %d, MISO %d, MOSI %d, SS %d\n", sck_, miso_, mosi_, ss_);
    }
    return !failed_;
}

void SPIClass::transferBytes(const uint8_t *data, uint8_t *out, uint32_t size) {
    uint8_t received[CHUNK];
    for (uint32_t done = 0; done < size && open();) {
        uint32_t part = size - done < CHUNK ? size - done : CHUNK;
        spi_ex_msg_t message = {};
        message.tx_buffer = data + done;
        message.rx_buffer = received;
        message.size = part;
        if (microclaw_ioctl_spi(fd_, SPIIOCEXCHANGE, &message) < 0) {
            return;
        }
        if (out) {
            memcpy(out + done, received, part);
        }
        done += part;
    }
}

uint8_t SPIClass::transfer(uint8_t value) {
    uint8_t received = 0;
    transferBytes(&value, &received, 1);
    return received;
}

uint16_t SPIClass::transfer16(uint16_t value) {
    uint8_t bytes[2] = {highByte(value), lowByte(value)};
    if (settings_.order_ == LSBFIRST) {
        swap(bytes[0], bytes[1]);
    }
    transfer(bytes, 2);
    return settings_.order_ == LSBFIRST ? makeWord(bytes[1], bytes[0]) : makeWord(bytes[0], bytes[1]);
}
