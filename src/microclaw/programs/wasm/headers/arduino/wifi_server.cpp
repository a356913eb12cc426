/* WiFiServer.h and WiFiClient.h. */
#include <WiFiServer.h>

enum { MAX_ANSWER = 32768 };

void WiFiServer::begin(uint16_t) { microclaw_open_web(nullptr, nullptr); }

bool WiFiServer::hasClient() {
    if (!next_) {
        WebExchange *exchange = microclaw_next_exchange();
        next_ = exchange ? WiFiClient(exchange) : WiFiClient();
    }
    return next_;
}

WiFiClient WiFiServer::available() {
    WiFiClient client;
    if (hasClient()) {
        client = next_;
        next_ = WiFiClient();
    }
    return client;
}

WiFiClient::WiFiClient(const WiFiClient &other) : exchange_(other.exchange_) {
    if (exchange_) {
        exchange_->users++;
    }
}

WiFiClient &WiFiClient::operator=(const WiFiClient &other) {
    if (other.exchange_) {
        other.exchange_->users++;
    }
    leave();
    exchange_ = other.exchange_;
    return *this;
}

void WiFiClient::leave() {
    if (!exchange_) {
        return;
    }
    if (exchange_->users == 1) {
        microclaw_answer(exchange_);
    }
    microclaw_release(exchange_);
    exchange_ = nullptr;
}

uint8_t WiFiClient::connected() {
    if (!exchange_) {
        return false;
    }
    return available() > 0 || microclaw_is_waited_for(exchange_);
}

int WiFiClient::available() { return exchange_ ? (int)(exchange_->received.length() - exchange_->read_to) : 0; }

int WiFiClient::peek() { return available() ? (uint8_t)exchange_->received.charAt(exchange_->read_to) : -1; }

int WiFiClient::read() {
    int c = peek();
    if (c >= 0) {
        exchange_->read_to++;
    }
    return c;
}

int WiFiClient::read(uint8_t *out, size_t size) {
    int count = 0;
    while ((size_t)count < size && available()) {
        out[count++] = (uint8_t)read();
    }
    return count ? count : -1;
}

size_t WiFiClient::write(const uint8_t *data, size_t size) {
    if (!exchange_ || !exchange_->is_open) {
        return 0;
    }
    if (exchange_->answer.length() + size > MAX_ANSWER) {
        setWriteError();
        return 0;
    }
    exchange_->answer.concat(data, (unsigned)size);
    return size;
}

void WiFiClient::stop() {
    if (exchange_) {
        microclaw_answer(exchange_);
    }
    leave();
}
