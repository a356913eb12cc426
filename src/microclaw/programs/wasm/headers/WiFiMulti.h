/* WiFiMulti.h: several networks to choose from: the firmware has chosen one already. */
#pragma once
#include <WiFi.h>

class WiFiMulti {
  public:
    bool addAP(const char *, const char * = nullptr) { return true; }
    uint8_t run(uint32_t = 5000) { return WL_CONNECTED; }
};
