/* WiFiClient.h: a client of the program's own WiFiServer: the bytes of one HTTP request to read, and the answer, which stop() or
 * the end of the last copy sends. Also the body that HTTPClient keeps. The firmware gives programs no connections of their own:
 * for HTTPClient.h and PubSubClient.h it is only a tag. */
#pragma once
#include <Client.h>

struct WebExchange;

class WiFiClient : public Client {
  public:
    using Print::write;
    WiFiClient() {}
    explicit WiFiClient(WebExchange *exchange) : exchange_(exchange) {} /* takes it over */
    WiFiClient(const WiFiClient &other);
    WiFiClient &operator=(const WiFiClient &other);
    ~WiFiClient() { leave(); }
    operator bool() { return connected(); }
    uint8_t connected();
    int available() override;
    int read() override;
    int read(uint8_t *out, size_t size);
    int peek() override;
    size_t write(uint8_t c) override { return write(&c, 1); }
    size_t write(const uint8_t *data, size_t size) override;
    void flush() override {}
    void stop();
    void setNoDelay(bool) {}
    void setConnectionTimeout(uint32_t) {}
    IPAddress remoteIP() const { return IPAddress(); }
    uint16_t remotePort() const { return 0; }

  protected:
    void leave();
    WebExchange *exchange_ = nullptr;
};
typedef WiFiClient NetworkClient;
