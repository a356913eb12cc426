/* Wire on /dev/i2c/0. What endTransmission(false) leaves is sent with the next requestFrom, as one exchange. */
#include <Wire.h>
#include <i2c.h>

extern "C" {
#include "../glue/glue.h"
}
extern "C" int microclaw_ioctl_i2c(int fd, int command, const void *argument);

TwoWire Wire;

/* The object that opened the bus, and its pins. */
static const TwoWire *opener;
static int sda_pin, scl_pin;

#pragma clang diagnostic ignored "-Wuser-defined-warnings"
bool TwoWire::begin(int sda, int scl, unsigned long frequency_hz) {
    if (opener && opener != this && (sda != sda_pin || scl != scl_pin)) {
        printf("Wire: there is one I2C bus here, and it is open on pins %d and %d\n", sda_pin, scl_pin);
        return false;
    }
    if (i2c_open(sda, scl) < 0) {
        printf("Wire: the I2C bus does not open on pins %d and %d\n", sda, scl);
        return false;
    }
    if (!opener) {
        opener = this;
        sda_pin = sda;
        scl_pin = scl;
    }
    return !frequency_hz || setClock(frequency_hz);
}

bool TwoWire::setPins(int sda, int scl) { return begin(sda, scl); }

uint32_t TwoWire::getClock() const { return microclaw_i2c_clock_hz(); }

bool TwoWire::setClock(unsigned long frequency_hz) { return microclaw_i2c_clock((uint32_t)frequency_hz); }

void TwoWire::beginTransmission(int address) {
    address_ = address;
    sent_ = 0;
    open_ = true;
    pending_ = too_many_ = false;
}

size_t TwoWire::write(uint8_t c) {
    if (!open_ || sent_ == (int)sizeof out_) {
        too_many_ = true;
        return 0;
    }
    out_[sent_++] = c;
    return 1;
}

size_t TwoWire::write(const uint8_t *bytes, size_t size) {
    size_t written = 0;
    while (written < size && TwoWire::write(bytes[written])) {
        written++;
    }
    return written;
}

static bool transfer(int address, uint16_t flags, uint8_t *data, int size) {
    i2c_msg_t message = {};
    message.flags = (uint16_t)(flags | I2C_MSG_CHECK_ACK);
    message.addr = (uint16_t)address;
    message.buffer = data;
    message.size = (uint32_t)size;
    return microclaw_ioctl_i2c(microclaw_i2c_file(), I2CIOCRDWR, &message) >= 0;
}

uint8_t TwoWire::endTransmission(bool stop) {
    open_ = false;
    if (too_many_) {
        return 1;
    }
    if (!stop && sent_) {
        pending_ = true;
        return 0;
    }
    uint8_t nothing;
    bool done = sent_ ? transfer(address_, I2C_MSG_WRITE, out_, sent_) : transfer(address_, 0, &nothing, 1);
    return done ? 0 : 2;
}

uint8_t TwoWire::requestFrom(int address, int size, bool) {
    received_ = taken_ = 0;
    if (size < 1 || size > (int)sizeof buffer_) {
        return 0;
    }
    bool exchanges = pending_ && address == address_;
    pending_ = false;
    if (exchanges) {
        i2c_ex_msg_t exchange = {};
        exchange.flags = I2C_EX_MSG_CHECK_ACK;
        exchange.addr = (uint16_t)address;
        exchange.tx_buffer = out_;
        exchange.tx_size = (uint32_t)sent_;
        exchange.rx_buffer = buffer_;
        exchange.rx_size = (uint32_t)size;
        received_ = microclaw_ioctl_i2c(microclaw_i2c_file(), I2CIOCEXCHANGE, &exchange) < 0 ? 0 : size;
    } else {
        received_ = transfer(address, 0, buffer_, size) ? size : 0;
    }
    return (uint8_t)received_;
}

size_t TwoWire::readBytes(uint8_t *out, size_t size) {
    size_t done = 0;
    while (done < size && taken_ < received_) {
        out[done++] = buffer_[taken_++];
    }
    return done;
}
