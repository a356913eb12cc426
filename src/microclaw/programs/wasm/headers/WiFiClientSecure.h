/* WiFiClientSecure.h: says to HTTPClient.h and PubSubClient.h that the connection is TLS, and whom it trusts. Without setCACert HTTPS
 * trusts the authorities that the firmware was built with; MQTT needs a certificate. The server is always verified. */
#pragma once
#include <WiFiClient.h>

class WiFiClientSecure : public WiFiClient {
  public:
    void setCACert(const char *certificate) { certificate_ = certificate; } /* PEM: keep it as long as the client */
    void setHandshakeTimeout(unsigned long) {}
    bool is_secure_() const override { return true; }
    const char *authority_() const override { return certificate_; }

  private:
    const char *certificate_ = nullptr;
};
typedef WiFiClientSecure NetworkClientSecure;
