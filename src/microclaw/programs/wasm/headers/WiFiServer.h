/* WiFiServer.h: a server of HTTP. The host takes the requests and passes them on; up to 4 wait for available(). */
#pragma once
#include <WiFiClient.h>
#include "arduino/web_exchange.h"

class WiFiServer {
  public:
    WiFiServer(uint16_t port = 80, uint8_t = 4) { (void)port; }
    WiFiServer(const IPAddress &, uint16_t port = 80, uint8_t = 4) { (void)port; }
    void begin(uint16_t = 0) MICROCLAW_SERVES_;
    WiFiClient available(); /* false without a request */
    WiFiClient accept() { return available(); }
    bool hasClient();
    void setNoDelay(bool) {}
    void setTimeout(uint32_t) {}
    void end() {}
    void close() {}
    void stop() {}
    operator bool() { return true; }

  private:
    WiFiClient next_;
};
typedef WiFiServer NetworkServer;
